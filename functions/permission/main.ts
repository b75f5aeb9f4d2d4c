import { serve } from '@stampede/shared/function/serve.ts'
import { permissionFunction } from './index.ts'

await serve([permissionFunction])
