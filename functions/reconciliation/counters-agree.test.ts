/** What a run that looks at the counters alone must not call quiet. */
import test from 'ava'
import type { BucketSnapshot } from '@stampede/shared/sale/types.ts'
import { countersAgree } from './reconcile-sale.ts'

const snapshot = (own: Partial<BucketSnapshot> = {}): BucketSnapshot => ({
  state: 'open',
  nowMs: 0,
  total: 10,
  left: 6,
  sold: 4,
  confirmed: 3,
  received: 0,
  sent: 0,
  recoveries: 0,
  perUserLimit: 2,
  buckets: 2,
  startsAtMs: 0,
  endsAtMs: 1,
  outboxLength: 0,
  version: 0,
  whole: true,
  ...own,
})
const totals = { liveUnits: 8, liveOrders: 6 }
const agree = (first: Partial<BucketSnapshot>, second: Partial<BucketSnapshot> = {}, own = totals, stock = 20) =>
  countersAgree([snapshot(first), snapshot(second)], own, stock)

test('counters agree – both buckets add up to what order counts, in every state but that of a rebuild', (t) => {
  t.true(agree({}))
  for (const state of ['open', 'paused', 'closed'] as const) t.true(agree({ state }), state)
  t.false(agree({ state: 'rebuilding' }))
  t.true(countersAgree([], { liveUnits: 0, liveOrders: 0 }, 0))
})

test('counters agree – a finished transfer between buckets changes nothing', (t) => {
  t.true(agree({ left: 3, sent: 3 }, { left: 9, received: 3 }))
})

test('counters differ – units left one bucket and never reached the other: each bucket agrees with itself', (t) => {
  t.false(agree({ left: 3, sent: 3 }))
  t.false(agree({ left: 3, sent: 3 }, { left: 8, received: 2 }))
})

test('counters differ – units were received that nobody sent: a donor forgot its half', (t) => {
  t.false(agree({}, { left: 9, received: 3 }))
})

test('counters differ – a bucket is missing, not whole, oversold, or has something in its outbox', (t) => {
  t.false(countersAgree([snapshot({ left: 2, sold: 8, confirmed: 6 }), undefined], totals, 10))
  t.false(agree({ whole: false }))
  t.false(agree({ left: -1, sold: 11 }, { left: 10, sold: 0 }, { liveUnits: 11, liveOrders: 6 }))
  t.false(agree({ outboxLength: 1 }))
  t.false(agree({}, { outboxLength: 1 }), 'each bucket is looked at, not the first alone')
})

test('counters differ – a bucket does not agree with itself, although the sums do', (t) => {
  t.false(agree({ left: 5 }))
  t.false(agree({ left: 7 }))
  t.false(agree({ left: 5 }, { left: 7 }))
})

test('counters differ – order has more or fewer units or orders, or another stock was allocated', (t) => {
  for (const difference of [-1, 1]) {
    t.false(agree({}, {}, { liveUnits: 8 + difference, liveOrders: 6 }))
    t.false(agree({}, {}, { liveUnits: 8, liveOrders: 6 + difference }))
    t.false(agree({}, {}, totals, 20 + difference))
  }
})
