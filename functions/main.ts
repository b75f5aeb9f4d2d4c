/** The collection in one process: small installations and tests. FUNCTIONS: only these of them, separated by commas. */
import { serve } from '@stampede/shared/function/serve.ts'
import { chosenFunctions } from './chosen.ts'
import { functions } from './index.ts'

await serve(chosenFunctions(functions, process.env['FUNCTIONS']))
