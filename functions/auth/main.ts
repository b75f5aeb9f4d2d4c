import { serve } from '@stampede/shared/function/serve.ts'
import { authFunction } from './index.ts'

await serve([authFunction])
