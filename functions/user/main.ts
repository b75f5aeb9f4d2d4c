import { serve } from '@stampede/shared/function/serve.ts'
import { userFunction } from './index.ts'

await serve([userFunction])
