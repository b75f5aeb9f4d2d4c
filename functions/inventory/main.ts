import { serve } from '@stampede/shared/function/serve.ts'
import { inventoryFunction } from './index.ts'

await serve([inventoryFunction])
