/** What goes away when a cluster comes back: nobody answered, or somebody in between said that nobody is there. */
import { setTimeout as sleepFor } from 'node:timers/promises'
import { KubectlError } from './kubectl.ts'
import { NoAnswerError } from './send.ts'

/** An error with `status` is an answer; these come from what stands in front of a function. */
const passingStatuses = new Set([502, 503, 504])

export function isPassing(error: unknown): boolean {
  if (error instanceof NoAnswerError) return true
  if (error instanceof KubectlError) return error.failure === 'unreachable' || error.failure === 'timeout'
  if (!(error instanceof Error)) return false
  if (error.name === 'TimeoutError' || (error instanceof TypeError && error.cause !== undefined)) return true
  return 'status' in error && passingStatuses.has(Number(error.status))
}

const firstPauseMs = 500
const longestPauseMs = 5_000

/** Repeats work that may be done twice, as long as it fails by what passes. @throws what `work` throws, at the latest after `withinMs` */
export async function patiently<T>(
  work: () => Promise<T>,
  options: {
    withinMs: number
    /** Of the first failure. */
    onWait?: (error: Error) => void
    sleep?: (durationMs: number) => Promise<unknown>
    nowMs?: () => number
  },
): Promise<T> {
  const { withinMs, onWait = () => undefined, sleep = sleepFor, nowMs = () => performance.now() } = options
  const deadlineMs = nowMs() + withinMs
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
    try {
      return await work()
    } catch (error) {
      if (!isPassing(error) || nowMs() > deadlineMs) throw error
      if (pauseMs === firstPauseMs) onWait(error as Error)
      await sleep(pauseMs)
    }
  }
}
