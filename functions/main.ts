/** The whole collection in one process: small installations and tests. */
import { serve } from '@stampede/shared/function/serve.ts'
import { functions } from './index.ts'

await serve(functions)
