/** Started by `serve-process.test.ts` as a function is in production: alone in its process. */
import { serve } from './serve.ts'
import { createProbe } from './serve.fixture.ts'

const { url } = await serve([createProbe().definition])
process.stdout.write(`listening ${url}\n`)
