/** Whether a step was good: pure, without effects. */
import { quantileMs, type Figures } from './request-count.ts'

export type Limits = {
  /** 0 to 1; answers with 500 and more. */
  maxErrorRate: number
  maxP99Ms: number
  /** Fewer are not judged. */
  minRequests: number
  /** A step takes at least this long … */
  stepMs: number
  /** … and, while it has too few requests, at most this long. */
  maxStepMs: number
  /** What too few requests mean in the end. */
  fewRequests: 'fail' | 'continue'
}

/** What was seen of the new revision since the step began. */
export type Observation = {
  figures: Figures
  elapsedMs: number
  /** True when the last look reached all of its pods. */
  complete: boolean
  /** Containers that ended and were started again, and a revision that is no longer ready: in words. */
  faults: readonly string[]
}

export type Verdict = { verdict: 'wait' } | { verdict: 'good'; note?: string } | { verdict: 'bad'; reason: string }

export function judge({ figures, elapsedMs, complete, faults }: Observation, limits: Limits): Verdict {
  const { requests, errors } = figures
  const enough = requests >= limits.minRequests && requests > 0
  if (faults.length > 0) return bad(faults.join('; '))
  // Too many even if every request up to the least number were answered well: buyers need not meet more of them.
  if (errors > limits.maxErrorRate * Math.max(requests, limits.minRequests))
    return bad(
      `${errors} of ${requests} requests failed with 500 or more (${percent(errors / requests)}; allowed ${percent(limits.maxErrorRate)})`,
    )
  if (elapsedMs < limits.stepMs) return { verdict: 'wait' }
  const late = elapsedMs >= limits.maxStepMs
  if (!complete)
    return late ? bad(`its metrics could not be read for ${seconds(limits.maxStepMs)}`) : { verdict: 'wait' }
  if (!enough) {
    const few = `only ${requests} requests in ${seconds(elapsedMs)}, judged are at least ${limits.minRequests}`
    if (!late) return { verdict: 'wait' }
    return limits.fewRequests === 'fail' ? bad(few) : { verdict: 'good', note: `not judged: ${few}` }
  }
  const p99Ms = quantileMs(figures.buckets, 0.99)
  if (p99Ms !== undefined && p99Ms > limits.maxP99Ms)
    return bad(`p99 was ${formatMs(p99Ms)} over ${requests} requests; allowed are ${formatMs(limits.maxP99Ms)}`)
  return { verdict: 'good' }
}

const bad = (reason: string): Verdict => ({ verdict: 'bad', reason })

export const percent = (share: number): string => `${Number((share * 100).toFixed(2))} %`
export const formatMs = (ms: number): string =>
  ms === Infinity ? 'above the last bound' : `${Number(ms.toFixed(1))} ms`
const seconds = (ms: number): string => `${Number((ms / 1_000).toFixed(1))} s`

/** `812 requests, 3 errors (0.37 %), p50 4.1 ms, p99 48 ms`. */
export function describeFigures({ requests, errors, buckets }: Figures): string {
  if (requests === 0) return 'no requests'
  const p50Ms = quantileMs(buckets, 0.5)
  const p99Ms = quantileMs(buckets, 0.99)
  const times = p50Ms === undefined || p99Ms === undefined ? '' : `, p50 ${formatMs(p50Ms)}, p99 ${formatMs(p99Ms)}`
  return `${requests} requests, ${errors} errors (${percent(errors / requests)})${times}`
}
