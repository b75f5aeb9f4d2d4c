import { serve } from '@stampede/shared/function/serve.ts'
import { gatewayFunction } from './index.ts'

await serve([gatewayFunction])
