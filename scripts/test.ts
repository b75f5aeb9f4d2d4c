/** `npm test`: set-up, generated files, types, lint, format, and every test against real services. The last line counts. */
import { formatDuration } from './lib/terminal.ts'
import { onInterrupt } from './lib/interrupt.ts'
import { ensureSchemathesis } from './fuzz/schemathesis.ts'
import { parseArguments } from './lib/arguments.ts'
import { ensureServices, SetupError, type Services } from './services/ensure.ts'
import { serviceNames } from './services/types.ts'
import { generatedStep, staticSteps } from './test/check-steps.ts'
import { startCoverage } from './test/coverage.ts'
import type { TestCounts } from './test/ava-summary.ts'
import { runAva } from './test/run-ava.ts'
import { runChecks } from './test/run-checks.ts'

const own = ['--yes', '--help', '-h']
const given = process.argv.slice(2)
const { yes } = parseArguments(
  {
    command: 'npm test',
    summary: 'Set-up, generated files, types, lint, format, and every test against real services, with coverage.',
    flags: { yes: { type: 'boolean', help: 'install what is missing without asking' } },
    notes: [
      'Anything else is for ava, and then only those tests are run, without checks and coverage:',
      '  npm test -- shared/database/migrate.test.ts',
      "  npm test -- --match '*deadlock*'",
      'The last line is "N passed, N failed": tests, and each check as one.',
    ],
  },
  given.filter((argument) => own.includes(argument)),
)
const avaArguments = given.filter((argument) => !own.includes(argument))
const beganMs = performance.now()
// One stream for everything, so that the last line is the last.
const say = (line: string) => console.log(line)

const ending = new AbortController()
onInterrupt(() => {
  say('Stopping.')
  ending.abort()
})

/** The part that needs services. */
async function runTests(services: Promise<Services>, checked: Promise<unknown>): Promise<TestCounts> {
  const running = await services
  // After the services: one installation of packages at a time.
  const fuzzer = ensureSchemathesis({ say, assumeYes: yes }).then((python) => ({ FUZZER_PYTHON: python }))
  fuzzer.catch(() => {})
  try {
    await checked
    if (ending.signal.aborted) return { passed: 0, failed: 1, skipped: 0 }
    if (avaArguments.length > 0) {
      return await runAva({
        args: avaArguments,
        environment: { ...running.environment, ...(await fuzzer) },
        signal: ending.signal,
      })
    }
    const coverage = await startCoverage(say)
    try {
      const environment = { ...running.environment, ...(await fuzzer), ...coverage.environment }
      const counts = await runAva({ args: [], environment, signal: ending.signal })
      if (!ending.signal.aborted) await coverage.report()
      return counts
    } finally {
      await coverage.remove()
    }
  } finally {
    await running.stop()
  }
}

// The services start while the checks run; the tests begin when both are done, because both cores are busy until then.
const checks =
  avaArguments.length > 0 ? Promise.resolve({ passed: 0, failed: 0 }) : runChecks([generatedStep, ...staticSteps], say)
const services = ensureServices({ purpose: 'test', say, need: serviceNames, browser: true, assumeYes: yes })
const tests = await runTests(services, checks).catch((error: unknown): TestCounts => {
  say(`✘ set-up\n${error instanceof SetupError ? error.message : String(error instanceof Error ? error.stack : error)}`)
  return { passed: 0, failed: 1, skipped: 0 }
})
const { passed, failed } = await checks
if (tests.skipped > 0) say(`${tests.skipped} skipped`)
say(`It took ${formatDuration(performance.now() - beganMs)}.`)
const failures = failed + tests.failed
say(`${passed + tests.passed} passed, ${failures} failed`)
process.exit(failures > 0 ? 1 : 0)
