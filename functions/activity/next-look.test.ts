import test from 'ava'
import { nextLookMs } from './next-look.ts'
import type { Activity } from './store.ts'

const at = (ms: number) => new Date(ms).toISOString()
const minuteMs = 60_000
const hourMs = 3_600_000
const beginMs = Date.parse('2030-01-01T12:00:00Z')
const endMs = beginMs + 600_000

const activity = (state: Activity['state'], more: Partial<Activity> = {}): Activity =>
  ({
    state,
    startsAt: at(beginMs),
    endsAt: at(endMs),
    updatedAt: at(beginMs),
    paymentTimeoutSeconds: 900,
    ...more,
  }) as Activity

test('next look – before the window at its beginning; late, within seconds', (t) => {
  for (const state of ['scheduled', 'warmed-up'] as const) {
    t.is(nextLookMs(activity(state), beginMs - 5 * hourMs), beginMs)
    t.is(nextLookMs(activity(state), beginMs), beginMs + 20_000)
  }
})

test('next look – each minute while the sale runs, and at its end', (t) => {
  for (const state of ['open', 'paused'] as const) {
    t.is(nextLookMs(activity(state), beginMs + 1_000), beginMs + minuteMs)
    t.is(nextLookMs(activity(state, { endsAt: at(endMs + 5_000) }), endMs - 1_000), endMs + 5_000)
    t.is(nextLookMs(activity(state), endMs + 1), endMs + 20_000)
  }
})

test('next look – after the close while it may be settled: for an hour, and for an hour after the last payment', (t) => {
  const closed = activity('closed', { updatedAt: at(endMs), paymentTimeoutSeconds: 4 * 3_600 })
  t.is(nextLookMs(closed, endMs), endMs + minuteMs)
  t.is(nextLookMs(closed, endMs + hourMs), endMs + 4 * hourMs)
  t.is(nextLookMs(closed, endMs + 4 * hourMs), endMs + 4 * hourMs + minuteMs)
  t.is(nextLookMs(closed, endMs + 5 * hourMs), undefined, 'something else is wrong: once an hour is enough')
})

test('next look – none where only people or events go on', (t) => {
  for (const state of ['draft', 'allocation-refused', 'settled', 'cancelled'] as const)
    t.is(nextLookMs(activity(state), beginMs), undefined, state)
})
