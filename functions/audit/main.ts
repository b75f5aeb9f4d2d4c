import { serve } from '@stampede/shared/function/serve.ts'
import { auditFunction } from './index.ts'

await serve([auditFunction])
