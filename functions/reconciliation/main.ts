import { serve } from '@stampede/shared/function/serve.ts'
import { reconciliationFunction } from './index.ts'

await serve([reconciliationFunction])
