import { serve } from '@stampede/shared/function/serve.ts'
import { orderFunction } from './index.ts'

await serve([orderFunction])
