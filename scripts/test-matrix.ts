/** `npm run test:matrix`: every route × everybody who must be refused, in one run of all functions on real services. */
import { onInterrupt } from './lib/interrupt.ts'
import { parseArguments } from './lib/arguments.ts'
import { ensureServices, SetupError } from './services/ensure.ts'
import { serviceNames } from './services/types.ts'
import type { TestCounts } from './test/ava-summary.ts'
import { runAva } from './test/run-ava.ts'

const { yes } = parseArguments({
  command: 'npm run test:matrix',
  summary: 'Asks every route of every function as everybody who must be refused. A part of npm test.',
  flags: { yes: { type: 'boolean', help: 'install what is missing without asking' } },
  notes: [
    'The matrix is made from the declarations: a route that is added is in it. It fails for a route that does not say who may call',
    'it, and for one that is open to everyone without a reason in functions/permissions.test.ts.',
  ],
})
const say = (line: string) => console.log(line)
const ending = new AbortController()
onInterrupt(() => {
  say('Stopping.')
  ending.abort()
})

async function run(): Promise<TestCounts> {
  const services = await ensureServices({ purpose: 'test', say, need: serviceNames, assumeYes: yes })
  try {
    const args = ['functions/permissions.test.ts', 'shared/function/serve-callers.test.ts']
    return await runAva({ args, environment: services.environment, signal: ending.signal })
  } finally {
    await services.stop()
  }
}

const { passed, failed } = await run().catch((error: unknown): TestCounts => {
  say(`✘ set-up\n${error instanceof SetupError ? error.message : String(error instanceof Error ? error.stack : error)}`)
  return { passed: 0, failed: 1, skipped: 0 }
})
say(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 ? 1 : 0)
