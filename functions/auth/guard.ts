/** Counters against guessing and flooding: pure decisions. Where the counters are kept is the store's business. */

export type Counter = {
  /** What was counted in the window. */
  amount: number
  /** Then the counter is forgotten. */
  windowEndsAtMs: number
  /** Nothing is let through before. */
  blockedUntilMs: number | undefined
}

export type Verdict = { allowed: true; counter: Counter } | { allowed: false; retryAfterMs: number }

/** Failures are free at first; from then on each makes the next wait twice as long. */
export type DelayPolicy = { freeFailures: number; firstDelayMs: number; longestDelayMs: number; windowMs: number }

const blocked = (counter: Counter | undefined, nowMs: number): number => {
  const untilMs = counter?.blockedUntilMs ?? 0
  return untilMs > nowMs ? untilMs - nowMs : 0
}

const amountIn = (counter: Counter | undefined, nowMs: number): number =>
  counter === undefined || counter.windowEndsAtMs <= nowMs ? 0 : counter.amount

/** May somebody try now? Counts nothing. */
export function mayTry(counter: Counter | undefined, nowMs: number): { allowed: boolean; retryAfterMs: number } {
  const retryAfterMs = blocked(counter, nowMs)
  return { allowed: retryAfterMs === 0, retryAfterMs }
}

/**
 * Counts a try before its outcome is known, so that many at the same time are not all let through; a success takes the counter away. A try
 * that is not allowed is not counted: who waits is not made to wait longer.
 */
export function countTry(counter: Counter | undefined, policy: DelayPolicy, nowMs: number): Verdict {
  const retryAfterMs = blocked(counter, nowMs)
  if (retryAfterMs > 0) return { allowed: false, retryAfterMs }
  const amount = amountIn(counter, nowMs) + 1
  const over = amount - policy.freeFailures
  // A shift of more than 30 would be beyond any longest delay.
  const delayMs = over < 0 ? 0 : Math.min(policy.longestDelayMs, policy.firstDelayMs * 2 ** Math.min(over, 30))
  const blockedUntilMs = delayMs === 0 ? undefined : nowMs + delayMs
  return {
    allowed: true,
    counter: { amount, windowEndsAtMs: (blockedUntilMs ?? nowMs) + policy.windowMs, blockedUntilMs },
  }
}

/** So many in a window that begins with the first. */
export type RatePolicy = { limit: number; windowMs: number }

export function countUse(counter: Counter | undefined, policy: RatePolicy, nowMs: number): Verdict {
  const amount = amountIn(counter, nowMs)
  const windowEndsAtMs = amount === 0 ? nowMs + policy.windowMs : counter!.windowEndsAtMs
  if (amount >= policy.limit) return { allowed: false, retryAfterMs: windowEndsAtMs - nowMs }
  return { allowed: true, counter: { amount: amount + 1, windowEndsAtMs, blockedUntilMs: undefined } }
}
