import test from 'ava'
import { parseDuration } from './duration.ts'
import {
  backoffMs,
  defaultRetryPolicy,
  isRetriedStatus,
  longestWaitMs,
  retryAfterMs,
  waitMs,
  type RetryPolicy,
} from './retry-policy.ts'

const policy = (more: Partial<RetryPolicy>): RetryPolicy => ({ ...defaultRetryPolicy, backoffDelayMs: 200, ...more })
const nowMs = Date.parse('2026-01-02T03:04:05Z')

test('isRetriedStatus – is true for 404, 408, 409, 429 and 5xx alone', (t) => {
  const retried = Array.from({ length: 500 }, (_, index) => index + 100).filter(isRetriedStatus)
  t.deepEqual(
    retried.filter((status) => status < 500),
    [404, 408, 409, 429],
  )
  t.is(retried.filter((status) => status >= 500).length, 100)
})

test('backoffMs – linear grows by the delay, exponential doubles, neither passes the longest wait', (t) => {
  const waits = (name: 'linear' | 'exponential') =>
    [1, 2, 3, 4].map((repeat) => backoffMs(policy({ backoffPolicy: name }), repeat))
  t.deepEqual(waits('linear'), [200, 400, 600, 800])
  t.deepEqual(waits('exponential'), [400, 800, 1_600, 3_200])
  t.is(backoffMs(policy({ backoffPolicy: 'exponential' }), 1_000), longestWaitMs)
})

test('retryAfterMs – reads seconds and dates, and nothing else', (t) => {
  t.is(retryAfterMs('3', nowMs), 3_000)
  t.is(retryAfterMs(' 0 ', nowMs), 0)
  t.is(retryAfterMs('Fri, 02 Jan 2026 03:04:15 GMT', nowMs), 10_000)
  t.is(retryAfterMs('Fri, 02 Jan 2026 03:04:00 GMT', nowMs), 0)
  for (const header of [undefined, '', 'soon', '-1', '1.5', '99999999999'])
    t.is(retryAfterMs(header, nowMs), undefined, header)
})

test('waitMs – a longer Retry-After of 429 and 503 wins, up to its maximum', (t) => {
  t.is(waitMs(policy({}), 1, { status: 429, retryAfter: '5' }, nowMs), 5_000)
  t.is(waitMs(policy({}), 1, { status: 503, retryAfter: '0' }, nowMs), 400)
  t.is(waitMs(policy({}), 1, { status: 500, retryAfter: '5' }, nowMs), 400)
  t.is(waitMs(policy({ retryAfterMaxMs: 2_000 }), 1, { status: 429, retryAfter: '5' }, nowMs), 2_000)
  t.is(waitMs(policy({ retryAfterMaxMs: 0 }), 1, { status: 429, retryAfter: '5' }, nowMs), 400)
  t.is(waitMs(policy({}), 1, { status: 429, retryAfter: '99999' }, nowMs), longestWaitMs)
})

test('parseDuration – reads ISO 8601 durations and refuses other text', (t) => {
  t.is(parseDuration('PT0.5S'), 500)
  t.is(parseDuration('PT1M30S'), 90_000)
  t.is(parseDuration('P1DT2H'), 93_600_000)
  t.is(parseDuration('PT0S'), 0)
  for (const text of ['', 'P', 'PT', '5s', '-PT1S', 'PT1', 'P1Y', '1000']) t.is(parseDuration(text), undefined, text)
})
