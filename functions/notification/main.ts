import { serve } from '@stampede/shared/function/serve.ts'
import { notificationFunction } from './index.ts'

await serve([notificationFunction])
