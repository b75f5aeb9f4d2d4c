/** `npm run lint`: generated files, types, lint and format; no service is needed. */
import { parseArguments } from './lib/arguments.ts'
import { sayToTerminal } from './lib/terminal.ts'
import { generatedStep, staticSteps } from './test/check-steps.ts'
import { runChecks } from './test/run-checks.ts'

parseArguments({ command: 'npm run lint', summary: 'Checks generated files, types, lint and format.', flags: {} })
const { failed } = await runChecks([generatedStep, ...staticSteps], sayToTerminal)
process.exitCode = failed > 0 ? 1 : 0
