/** Knative's rules for repeated delivery, as pure functions. */
export type RetryPolicy = {
  /** Repeats after the first attempt. */
  retry: number
  backoffPolicy: 'linear' | 'exponential'
  backoffDelayMs: number
  /** Time for one attempt. */
  timeoutMs: number
  /** Longest `Retry-After` that is honoured; 0: the header is ignored. */
  retryAfterMaxMs: number
}

/** No wait between two attempts is longer, whatever policy or header say: a lane would stand still for hours. */
export const longestWaitMs = 300_000

export const defaultRetryPolicy: RetryPolicy = {
  retry: 0,
  backoffPolicy: 'exponential',
  backoffDelayMs: 200,
  timeoutMs: 30_000,
  retryAfterMaxMs: longestWaitMs,
}

/**
 * 404 is retried because a route may not be there yet, 408, 409 and 429 because the subscriber asks for it, 5xx because it
 * failed. Everything else that is not 2xx is final.
 */
export function isRetriedStatus(status: number): boolean {
  return status >= 500 || status === 404 || status === 408 || status === 409 || status === 429
}

/** Wait before repeat number `repeat` (1 is the first): `delay × repeat`, or `delay × 2^repeat`. */
export function backoffMs(policy: RetryPolicy, repeat: number): number {
  const { backoffDelayMs, backoffPolicy } = policy
  const wait = backoffPolicy === 'linear' ? backoffDelayMs * repeat : backoffDelayMs * 2 ** repeat
  return Math.min(wait, longestWaitMs)
}

/** Milliseconds that a `Retry-After` header asks for: seconds, or an HTTP date. Undefined when it is neither. */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined
  const trimmed = header.trim()
  if (/^\d{1,9}$/.test(trimmed)) return Number(trimmed) * 1_000
  const at = /[a-z]/i.test(trimmed) ? Date.parse(trimmed) : Number.NaN
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs)
}

/** Wait before a repeat: the back-off, or what a 429 or 503 asked for when that is longer. */
export function waitMs(
  policy: RetryPolicy,
  repeat: number,
  answer: { status?: number | undefined; retryAfter?: string | undefined },
  nowMs: number,
): number {
  const backoff = backoffMs(policy, repeat)
  if (policy.retryAfterMaxMs === 0 || (answer.status !== 429 && answer.status !== 503)) return backoff
  const asked = retryAfterMs(answer.retryAfter, nowMs) ?? 0
  return Math.max(backoff, Math.min(asked, policy.retryAfterMaxMs, longestWaitMs))
}
