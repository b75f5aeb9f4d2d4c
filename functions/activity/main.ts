import { serve } from '@stampede/shared/function/serve.ts'
import { activityFunction } from './index.ts'

await serve([activityFunction])
