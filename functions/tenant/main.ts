import { serve } from '@stampede/shared/function/serve.ts'
import { tenantFunction } from './index.ts'

await serve([tenantFunction])
