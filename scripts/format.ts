/** `npm run format`: formats the sources and corrects what the linter can correct safely. */
import { parseArguments } from './lib/arguments.ts'
import { sayToTerminal as say } from './lib/terminal.ts'
import { run } from './services/local/run.ts'
import { root, sourceGlobs } from './test/check-steps.ts'
import { join } from 'node:path'

parseArguments({
  command: 'npm run format',
  summary: 'Formats the sources and corrects what the linter can correct safely.',
  flags: {},
})
const program = (name: string) => join(root, 'node_modules', '.bin', name)
const limitMs = 300_000

// What the linter cannot correct is said by `npm run lint`.
await run(program('oxlint'), ['--type-aware', '--fix', '--quiet', ...sourceGlobs], { cwd: root, limitMs })
const { code, output } = await run(program('prettier'), ['--write', '--log-level', 'warn', '.'], { cwd: root, limitMs })
if (output.trim() !== '') say(output.trim())
say(code === 0 ? 'Formatted.' : 'Some files could not be formatted.')
process.exitCode = code === 0 ? 0 : 1
