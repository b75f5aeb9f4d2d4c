import { serve } from '@stampede/shared/function/serve.ts'
import { seckillFunction } from './index.ts'

await serve([seckillFunction])
