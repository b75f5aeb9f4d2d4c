import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import type { Say } from '../lib/terminal.ts'
import { root } from './check-steps.ts'
import { readTapLine } from './tap.ts'

export type AvaOptions = {
  args: readonly string[]
  environment: Record<string, string>
  say: Say
  /** Stops the run. */
  signal: AbortSignal
}

export type TestCounts = { passed: number; failed: number; skipped: number }

/** Runs ava and says each result as it comes; the details of failures are repeated at the end, where people look. */
export function runAva({ args, environment, say, signal }: AvaOptions): Promise<TestCounts> {
  const cli = join(root, 'node_modules', 'ava', 'entrypoints', 'cli.js')
  const child = spawn(process.execPath, [cli, '--tap', ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...environment },
    signal,
    killSignal: 'SIGTERM',
  })
  const counts: TestCounts = { passed: 0, failed: 0, skipped: 0 }
  const failures: string[] = []
  let inFailure = false
  const lines = createInterface({ input: child.stdout })
  lines.on('line', (line) => {
    const event = readTapLine(line)
    if (!event) return
    if (event.kind === 'detail') {
      if (inFailure) failures.push(line)
      else say(line)
      return
    }
    if (event.kind === 'comment') {
      say(event.line)
      return
    }
    counts[event.kind] += 1
    inFailure = event.kind === 'failed'
    if (inFailure) failures.push(`✘ ${event.title}`)
    const mark = { passed: '✔', failed: '✘', skipped: '–' }[event.kind]
    say(`${mark} ${event.title}`)
  })
  return new Promise((resolve) => {
    // `close` comes after the last line was read.
    child.once('error', (error) => {
      if (!signal.aborted) say(`ava could not be started: ${error.message}`)
    })
    child.once('close', (code, endedBy) => {
      lines.close()
      if (failures.length > 0) say(`\nFailures:\n\n${failures.join('\n')}`)
      // An uncaught exception, a time-out or a file that cannot be loaded need not be a line of its own.
      if (code !== 0 && counts.failed === 0) {
        counts.failed += 1
        say(`✘ the test run ended with ${endedBy ?? `code ${code}`}`)
      } else if (code === 0 && counts.passed === 0) {
        counts.failed += 1
        say('✘ no test was run')
      }
      resolve(counts)
    })
  })
}
