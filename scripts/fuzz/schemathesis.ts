/** Schemathesis, the fuzzer: a Python program in an environment of its own below `.stampede/`, with every package pinned. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { withProgress, type Say } from '../lib/terminal.ts'
import { preparedFolder } from '../services/local/prepared-folder.ts'
import { run } from '../services/local/run.ts'
import { installPackages, type NeededPackage } from '../services/packages.ts'
import { stampedeFolder } from '../services/ensure.ts'
import { SetupError } from '../services/types.ts'

const requirements = join(import.meta.dirname, 'requirements.txt')
const installLimitMs = 600_000

/** Whether Python can make environments; Debian has that part in a package of its own. */
async function pythonPackages(): Promise<NeededPackage[]> {
  const { code } = await run('python3', ['-c', 'import venv, ensurepip, sys; sys.exit(sys.version_info < (3, 10))'], {
    limitMs: 60_000,
  })
  return code === 0 ? [] : [{ name: 'python3-venv', why: 'the fuzzer is a Python program' }]
}

/**
 * Installs what is missing and returns the program that runs Schemathesis (`<python> -m schemathesis.cli`). The folder's name
 * follows the list of packages, so that another list makes another environment.
 * @throws SetupError with the next step
 */
export async function ensureSchemathesis(options: { say: Say; assumeYes: boolean }): Promise<string> {
  const digest = createHash('sha256')
    .update(await readFile(requirements))
    .digest('hex')
    .slice(0, 12)
  const folder = join(stampedeFolder, 'fuzz', `schemathesis-${digest}`)
  const missing = await pythonPackages()
  if (missing.length > 0) await installPackages(missing, options)
  await preparedFolder(folder, async (temporary) => {
    await mustRun('python3', ['-m', 'venv', temporary], options.say, 'making an environment for Python')
    const python = join(temporary, 'bin', 'python')
    const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--requirement', requirements]
    await mustRun(python, install, options.say, 'installing the fuzzer')
  })
  return join(folder, 'bin', 'python')
}

async function mustRun(command: string, args: readonly string[], say: Say, what: string): Promise<void> {
  const { code, output } = await withProgress(
    say,
    (elapsed) => `  ${what}, ${elapsed} …`,
    () => run(command, args, { limitMs: installLimitMs }),
  )
  if (code === 0) return
  throw new SetupError(
    `Failed: ${what}.\n${output.trim().split('\n').slice(-8).join('\n')}\nIt needs Python 3.10 or later and a way to the Python package index; then run the same command again.`,
  )
}
