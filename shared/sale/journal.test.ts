import test from 'ava'
import { createJournal, type JournalOptions } from './journal.ts'
import type { Purchase, PurchaseBatchResult } from './types.ts'

const bucket = { tenantId: 't', activityId: 'a', bucket: 0 }
const purchase = (name: string): Purchase => ({ userId: name, quantity: 1, orderNumber: `N-${name}` })
const accepted = (purchases: readonly Purchase[], recoveries = 0): PurchaseBatchResult => ({
  verdicts: purchases.map(({ orderNumber }) => ({ outcome: 'accepted', orderNumber })),
  left: 1,
  recoveries,
})

function start(options: JournalOptions = {}) {
  const clock = { ms: 0 }
  const journal = createJournal({ now: () => clock.ms, ...options })
  const buy = (names: string[], recoveries = 0, where = bucket) => {
    const purchases = names.map(purchase)
    journal.purchased(where, purchases, accepted(purchases, recoveries))
  }
  const names = (where = bucket) => journal.operations(where).map(({ userId }) => userId)
  return { clock, journal, buy, names }
}

test('journal – keeps accepted purchases and releases in order, per bucket', (t) => {
  const { journal, buy, names } = start()
  const purchases = [purchase('ann'), purchase('bob'), { ...purchase('cid'), idempotencyKey: 'key', traceparent: 'x' }]
  const { verdicts } = accepted(purchases)
  journal.purchased(bucket, purchases, {
    verdicts: [verdicts[0]!, { outcome: 'sold-out' }, verdicts[2]!],
    left: 0,
    recoveries: 0,
  })
  journal.released(bucket, [{ userId: 'ann', orderNumber: 'N-ann' }])
  buy(['dan'], 0, { ...bucket, bucket: 1 })
  t.deepEqual(journal.operations(bucket), [
    { kind: 'purchase', userId: 'ann', quantity: 1, orderNumber: 'N-ann', idempotencyKey: undefined },
    { kind: 'purchase', userId: 'cid', quantity: 1, orderNumber: 'N-cid', idempotencyKey: 'key' },
    { kind: 'release', userId: 'ann', orderNumber: 'N-ann' },
  ])
  t.deepEqual(names({ ...bucket, bucket: 1 }), ['dan'])
  t.is(journal.size(), 4)
  journal.forget(bucket)
  t.deepEqual(names(), [])
  t.is(journal.size(), 1)
})

test('journal – what was only seen in the outbox is restored after what is known with its key', (t) => {
  const { journal } = start()
  journal.relayed(bucket, [
    { userId: 'ann', quantity: 1, orderNumber: 'N-ann' },
    { userId: 'bob', quantity: 2, orderNumber: 'N-bob' },
  ])
  const purchases = [{ ...purchase('ann'), idempotencyKey: 'key' }]
  journal.purchased(bucket, purchases, accepted(purchases))
  journal.confirmed(bucket, [{ userId: 'ann', orderNumber: 'N-ann' }])
  t.deepEqual(journal.operations(bucket), [
    { kind: 'purchase', userId: 'ann', quantity: 1, orderNumber: 'N-ann', idempotencyKey: 'key' },
    { kind: 'purchase', userId: 'ann', quantity: 1, orderNumber: 'N-ann' },
    { kind: 'purchase', userId: 'bob', quantity: 2, orderNumber: 'N-bob' },
  ])
  t.deepEqual(journal.confirmations(bucket), [{ userId: 'ann', orderNumber: 'N-ann' }])
})

test('journal – remembers a purchase that is answered again, with the number and units of the first time', (t) => {
  const { journal } = start()
  const presses: Purchase[] = [
    { userId: 'ann', quantity: 2, orderNumber: 'N-2', idempotencyKey: 'key' },
    { userId: 'bob', quantity: 1, orderNumber: 'N-3' },
  ]
  journal.purchased(bucket, presses, {
    verdicts: [{ outcome: 'replayed', orderNumber: 'N-1', quantity: 1 }, { outcome: 'sold-out' }],
    left: 0,
    recoveries: 0,
  })
  t.deepEqual(journal.operations(bucket), [
    { kind: 'purchase', userId: 'ann', quantity: 1, orderNumber: 'N-1', idempotencyKey: 'key' },
  ])
})

test('journal – forgets what is older than ten seconds, counted back from the last successful call', (t) => {
  const { clock, journal, buy, names } = start()
  buy(['ann'])
  clock.ms = 10_000
  buy(['bob'])
  t.deepEqual(names(), ['ann', 'bob'])
  clock.ms = 60_000
  // Time alone forgets nothing: Redis may be down since the last call.
  t.deepEqual(names(), ['ann', 'bob'])
  journal.released(bucket, [{ userId: 'ann', orderNumber: 'N-ann' }])
  t.deepEqual(names(), ['ann', 'bob', 'ann'])
  buy(['cid'])
  t.deepEqual(names(), ['ann', 'cid'])
  t.is(journal.size(), 2)
})

test('journal – a snapshot of a whole sale counts as a successful call', (t) => {
  const { clock, journal, buy, names } = start()
  buy(['ann'])
  clock.ms = 20_000
  journal.observed(bucket, { whole: true, recoveries: 0 })
  t.deepEqual(names(), [])
  t.false(journal.mustReplay(bucket))
})

test('journal – forgets nothing from "recovering" until it was replayed, and keeps it for as long again', (t) => {
  const { clock, journal, buy, names } = start()
  buy(['ann'])
  journal.purchased(bucket, [purchase('bob')], { verdicts: [{ outcome: 'recovering' }], left: undefined })
  t.true(journal.mustReplay(bucket))
  clock.ms = 60_000
  buy(['cid'], 1)
  t.deepEqual(names(), ['ann', 'cid'])
  journal.replayed(bucket, 1)
  t.false(journal.mustReplay(bucket))
  clock.ms = 70_000
  buy(['dan'], 1)
  t.deepEqual(names(), ['ann', 'cid', 'dan'])
  clock.ms = 70_001
  buy([], 1)
  journal.observed(bucket, { whole: true, recoveries: 1 })
  t.deepEqual(names(), ['dan'])
})

test('journal – another count of recoveries, or a sale that is not whole, asks for a replay', (t) => {
  const { clock, journal, buy, names } = start()
  buy(['ann'], 3)
  t.false(journal.mustReplay(bucket))
  clock.ms = 60_000
  buy(['bob'], 4)
  t.true(journal.mustReplay(bucket))
  t.deepEqual(names(), ['ann', 'bob'])
  journal.replayed(bucket, 4)
  journal.observed(bucket, { whole: false, recoveries: 4 })
  t.true(journal.mustReplay(bucket))
})

test('journal – other refusals of a batch change nothing', (t) => {
  const { journal, names } = start()
  for (const outcome of ['paused', 'closed', 'ended', 'unknown-activity'] as const) {
    journal.purchased(bucket, [purchase('ann')], { verdicts: [{ outcome }], left: undefined })
  }
  t.deepEqual(names(), [])
  t.false(journal.mustReplay(bucket))
})

test('journal – is bounded in operations and buckets; the oldest go first', (t) => {
  const { buy, names, journal } = start({ maximumOperations: 3, maximumBuckets: 2 })
  buy(['a', 'b'])
  buy(['c'])
  buy(['d'])
  t.deepEqual(names(), ['c', 'd'])
  buy(['x'], 0, { ...bucket, bucket: 1 })
  buy(['e'])
  buy(['y'], 0, { ...bucket, bucket: 2 })
  t.deepEqual(names({ ...bucket, bucket: 1 }), [])
  t.deepEqual(names(), ['c', 'd', 'e'])
  t.is(journal.size(), 4)
})

test('journal – a transfer is kept for both buckets, once, as long as an operation', (t) => {
  const { clock, journal, buy } = start({ keepMs: 10_000 })
  const other = { ...bucket, bucket: 1 }
  const transfer = { from: 1, to: 0, sequence: '7', units: 3 }
  journal.transferred(other, transfer, 0)
  journal.transferred(other, transfer)
  t.deepEqual(journal.transfers(bucket), [transfer])
  t.deepEqual(journal.transfers(other), [transfer])
  t.deepEqual(journal.transfers({ ...bucket, bucket: 2 }), [])
  clock.ms = 10_000
  buy(['ann'], 0, other)
  t.deepEqual(journal.transfers(other), [transfer])
  clock.ms = 10_001
  buy(['bob'], 0, other)
  t.deepEqual(journal.transfers(other), [])
  // Nothing was heard of the receiver since.
  t.deepEqual(journal.transfers(bucket), [transfer])
})

test('journal – a transfer tells the recoveries of its donor; nothing is forgotten before it was replayed', (t) => {
  const { clock, journal } = start({ keepMs: 10_000 })
  const other = { ...bucket, bucket: 1 }
  const transfer = { from: 1, to: 0, sequence: '7', units: 3 }
  journal.transferred(other, transfer, 0)
  clock.ms = 60_000
  journal.observed(other, { whole: true, recoveries: 1 })
  t.true(journal.mustReplay(other))
  t.deepEqual(journal.transfers(other), [transfer])
  journal.replayed(other, 1)
  clock.ms = 70_000
  journal.observed(other, { whole: true, recoveries: 1 })
  t.deepEqual(journal.transfers(other), [transfer])
  clock.ms = 70_001
  journal.observed(other, { whole: true, recoveries: 1 })
  t.deepEqual(journal.transfers(other), [])
})
