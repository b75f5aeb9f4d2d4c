import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { countsOf, hasSummary, type TestCounts } from './ava-summary.ts'
import { root } from './check-steps.ts'

export type AvaOptions = {
  args: readonly string[]
  environment: Record<string, string>
  /** Stops the run. */
  signal: AbortSignal
}

/** More than all results and any summary. */
const keptCharacters = 20_000_000

/** Runs ava; its output, results as they come and the details of failures at the end, is passed on as it is. */
export function runAva({ args, environment, signal }: AvaOptions): Promise<TestCounts> {
  const cli = join(root, 'node_modules', 'ava', 'entrypoints', 'cli.js')
  const child = spawn(process.execPath, [cli, ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...environment },
    signal,
    killSignal: 'SIGTERM',
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    process.stdout.write(chunk)
    output = (output + chunk).slice(-keptCharacters)
  })
  return new Promise((resolve) => {
    child.once('error', (error) => {
      if (!signal.aborted) console.log(`ava could not be started: ${error.message}`)
    })
    // `close` comes after the last output was read.
    child.once('close', (code, endedBy) => {
      if (!hasSummary(output) && !signal.aborted)
        console.log(`ava ended without a summary: ${endedBy === null ? `code ${code}` : `by ${endedBy}`}.`)
      resolve(countsOf(output, code))
    })
  })
}
