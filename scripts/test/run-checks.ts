import { formatDuration, type Say } from '../lib/terminal.ts'
import { run } from '../services/local/run.ts'
import { root, type CheckStep } from './check-steps.ts'

const limitMs = 300_000
/** Enough of the output to see what is wrong. */
const shownCharacters = 12_000

/** Runs the steps one after the other and says how each went. Returns the numbers of those that passed and failed. */
export async function runChecks(steps: readonly CheckStep[], say: Say): Promise<{ passed: number; failed: number }> {
  let failed = 0
  for (const { name, command, args, remedy } of steps) {
    const beganMs = performance.now()
    const { code, output } = await run(command, args, { cwd: root, limitMs, keepCharacters: shownCharacters })
    const elapsed = formatDuration(performance.now() - beganMs)
    if (code === 0) {
      say(`✔ ${name} (${elapsed})`)
      continue
    }
    failed += 1
    say(`✘ ${name} (${elapsed})\n${output.trimEnd()}${remedy ? `\n  To correct it: ${remedy}` : ''}`)
  }
  return { passed: steps.length - failed, failed }
}
