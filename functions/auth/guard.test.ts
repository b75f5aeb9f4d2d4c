import test from 'ava'
import * as fc from 'fast-check'
import { countTry, countUse, mayTry, type Counter } from './guard.ts'

const policy = { freeFailures: 3, firstDelayMs: 1_000, longestDelayMs: 8_000, windowMs: 60_000 }

test('tries – some are free, then each makes the next wait twice as long, up to the longest', (t) => {
  let counter: Counter | undefined
  let nowMs = 1_000_000
  const waits: number[] = []
  for (let index = 0; index < 8; index++) {
    const verdict = countTry(counter, policy, nowMs)
    if (!verdict.allowed) throw new Error('nobody was waiting')
    counter = verdict.counter
    const { retryAfterMs } = mayTry(counter, nowMs)
    waits.push(retryAfterMs)
    t.is(countTry(counter, policy, nowMs).allowed, retryAfterMs === 0, 'nobody tries while they wait')
    nowMs += retryAfterMs
  }
  t.deepEqual(waits, [0, 0, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000])
  const later = countTry(counter, policy, nowMs + policy.windowMs)
  t.like(later, { allowed: true, counter: { amount: 1, blockedUntilMs: undefined } }, 'old failures are forgotten')
})

test('tries – whoever waits is not made to wait longer by trying', (t) => {
  const counter = { amount: 9, windowEndsAtMs: 100_000, blockedUntilMs: 5_000 }
  t.deepEqual(countTry(counter, policy, 4_000), { allowed: false, retryAfterMs: 1_000 })
})

test('uses – at most so many in a window, whatever the times', (t) => {
  const rate = { limit: 5, windowMs: 10_000 }
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 4_000 }), { maxLength: 60 }), (pauses) => {
      let counter: Counter | undefined
      let nowMs = 1
      const allowed: number[] = []
      for (const pauseMs of pauses) {
        nowMs += pauseMs
        const verdict = countUse(counter, rate, nowMs)
        if (verdict.allowed) {
          counter = verdict.counter
          allowed.push(nowMs)
        } else t.true(verdict.retryAfterMs > 0 && verdict.retryAfterMs <= rate.windowMs)
      }
      // Windows begin with the first use: any one of them holds no more than the limit, two that touch no more than twice it.
      for (const fromMs of allowed) {
        const inWindow = allowed.filter((atMs) => atMs >= fromMs && atMs < fromMs + rate.windowMs).length
        if (inWindow > 2 * rate.limit - 1) return false
      }
      return true
    }),
  )
  t.pass()
})
