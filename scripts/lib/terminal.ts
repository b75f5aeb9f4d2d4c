/** What commands say to people. Lines go to standard error: the last line of standard output may be read by a program. */
import { createInterface } from 'node:readline/promises'

export type Say = (line: string) => void

export const sayToTerminal: Say = (line) => {
  process.stderr.write(`${line}\n`)
}

/** `0.2 s`, `12.3 s`, `1 min 5 s`. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 59_950) return `${(durationMs / 1000).toFixed(1)} s`
  const wholeSeconds = Math.round(durationMs / 1000)
  return `${Math.floor(wholeSeconds / 60)} min ${wholeSeconds % 60} s`
}

/** True when a person can be asked. */
export function isAtTerminal(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY
}

/** Asks once; Enter means yes. */
export async function confirm(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = (await terminal.question(`${question} [Y/n] `)).trim().toLowerCase()
    return answer === '' || answer === 'y' || answer === 'yes'
  } finally {
    terminal.close()
  }
}

/**
 * Says something while a long piece of work goes on, so that nobody wonders whether it hangs.
 * @param message gets the time since the beginning
 */
export async function withProgress<T>(
  say: Say,
  message: (elapsed: string) => string,
  work: () => Promise<T>,
  everyMs = 5_000,
): Promise<T> {
  const beganMs = performance.now()
  const timer = setInterval(() => say(message(formatDuration(performance.now() - beganMs))), everyMs)
  try {
    return await work()
  } finally {
    clearInterval(timer)
  }
}
