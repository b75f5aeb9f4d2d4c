/** Runs one of this repository's commands, as a person would, and hears what it says. */
import { runProgram } from '../cluster/run-program.ts'
import { repositoryFolder } from '../sale/child.ts'
import type { PartContext } from './part.ts'

export type ScriptRun = {
  exitCode: number | undefined
  /** The JSON object on its last line. */
  result: Record<string, unknown>
}

export async function runScript(
  { connection, say }: Pick<PartContext, 'connection' | 'say'>,
  words: readonly string[],
  options: { timeoutMs: number; environment?: Record<string, string>; onLine?: (line: string) => void },
): Promise<ScriptRun> {
  const target = connection.context === undefined ? [] : ['--context', connection.context]
  let rest = ''
  const { exitCode, stdout } = await runProgram(process.execPath, ['scripts/run.mjs', ...words, ...target], {
    folder: repositoryFolder,
    timeoutMs: options.timeoutMs,
    environment: { ...process.env, ...options.environment },
    onOutput(text) {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (line.trim() === '' || line.startsWith('{')) continue
        // A line for each second is for eyes that watch that command alone.
        if (!/^\s*\d+ s \|/.test(line)) say(`  ${line}`)
        options.onLine?.(line)
      }
    },
  })
  const last = stdout.trim().split('\n').at(-1) ?? ''
  return { exitCode, result: last.startsWith('{') ? (JSON.parse(last) as Record<string, unknown>) : {} }
}
