/** The purchase script through the store: each verdict, batches, repeats and many callers at once. */
import test from 'ava'
import { openSales } from '../testing/open-sales.ts'
import { bucketRef, buy, newSale, press, readMessages, snapshotOf } from '../testing/sale.ts'
import { bucketKeys } from './keys.ts'

const { redis, store, open, close } = openSales()
test.after.always(close)

const outcomes = (verdicts: { outcome: string }[]) => verdicts.map(({ outcome }) => outcome)

test('purchase – accepted takes the units, enters the buyer and writes one outbox entry for the batch', async (t) => {
  const { bucket } = await open({ stock: 10, perUserLimit: 3 })
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const purchases = [{ ...press('ann', 2), traceparent }, press('bob', 1)]
  const result = await store.purchase(bucket, purchases)
  t.deepEqual(result, {
    verdicts: purchases.map(({ orderNumber }) => ({ outcome: 'accepted', orderNumber })),
    left: 7,
    recoveries: 0,
  })
  t.like(await snapshotOf(store, bucket), { left: 7, sold: 3, outboxLength: 1 })
  t.deepEqual(await store.buyers(bucket, ['bob', 'nobody', 'ann']), [
    [{ orderNumber: purchases[1]!.orderNumber, quantity: 1, status: 'accepted' }],
    [],
    [{ orderNumber: purchases[0]!.orderNumber, quantity: 2, status: 'accepted' }],
  ])
  const [entry, ...more] = await store.readOutbox(bucket, 'relay-1', 10)
  t.is(more.length, 0)
  t.deepEqual(entry!.purchases, [
    { userId: 'ann', quantity: 2, orderNumber: purchases[0]!.orderNumber, traceparent },
    { userId: 'bob', quantity: 1, orderNumber: purchases[1]!.orderNumber },
  ])
  t.true(Math.abs(entry!.acceptedAtMs - Date.now()) < 60_000)
})

test('purchase – a traceparent that is none does not reach the line format', async (t) => {
  const { bucket } = await open()
  const purchase = { ...press('ann'), traceparent: 'x\nmallory 1 01ARZ3NDEKTSV4RRFFQ69G5FAV . .' }
  t.deepEqual(outcomes(await buy(store, bucket, purchase)), ['accepted'])
  t.deepEqual(await readMessages(store, bucket), [{ userId: 'ann', quantity: 1, orderNumber: purchase.orderNumber }])
})

test('purchase – unknown activity', async (t) => {
  t.deepEqual(await store.purchase(bucketRef(newSale()), [press('ann'), press('bob')]), {
    verdicts: [{ outcome: 'unknown-activity' }, { outcome: 'unknown-activity' }],
    left: undefined,
  })
})

test('purchase – not started, ended, paused, closed, rebuilding: each its answer, and nothing changes', async (t) => {
  const startsAtMs = Date.now() + 3_600_000
  const cases = [
    { sale: await open({ startsAtMs, endsAtMs: startsAtMs + 1 }), verdict: { outcome: 'not-started', startsAtMs } },
    { sale: await open({ endsAtMs: Date.now() - 3_600_000 }), verdict: { outcome: 'ended' } },
    { sale: await open({}, { state: 'paused' }), verdict: { outcome: 'paused' } },
    { sale: await open({}, { state: 'closed' }), verdict: { outcome: 'closed' } },
    { sale: await open({}, { state: 'rebuilding' }), verdict: { outcome: 'recovering' } },
  ]
  for (const { sale, verdict } of cases) {
    t.deepEqual(await store.purchase(sale.bucket, [press('ann')]), { verdicts: [verdict as never], left: undefined })
    t.like(await snapshotOf(store, sale.bucket), { left: 10, sold: 0, outboxLength: 0 })
  }
})

test('purchase – another Redis process than the sale knows: recovering', async (t) => {
  const { bucket } = await open()
  await redis.hset(bucketKeys(bucket).sale, 'run', 'another')
  t.deepEqual(outcomes(await buy(store, bucket, press('ann'))), ['recovering'])
  t.like(await snapshotOf(store, bucket), { whole: false, left: 10 })
})

test('purchase – duplicate names the newest live order', async (t) => {
  const { bucket } = await open({ perUserLimit: 2 })
  const first = press('ann')
  const second = press('ann')
  await buy(store, bucket, first, second)
  t.deepEqual(await buy(store, bucket, press('ann')), [{ outcome: 'duplicate', orderNumber: second.orderNumber }])
  await store.release(bucket, [{ userId: 'ann', orderNumber: second.orderNumber }])
  const third = press('ann', 2)
  t.deepEqual(await buy(store, bucket, third), [{ outcome: 'over-limit', remaining: 1 }])
})

test('purchase – the limit holds within one batch', async (t) => {
  const { bucket } = await open({ perUserLimit: 3, stock: 100 })
  const presses = [press('ann', 2), press('ann', 2), press('bob', 4), press('ann', 1), press('ann', 1)]
  t.deepEqual(await buy(store, bucket, ...presses), [
    { outcome: 'accepted', orderNumber: presses[0]!.orderNumber },
    { outcome: 'over-limit', remaining: 1 },
    { outcome: 'over-limit', remaining: 3 },
    { outcome: 'accepted', orderNumber: presses[3]!.orderNumber },
    { outcome: 'duplicate', orderNumber: presses[3]!.orderNumber },
  ])
  t.like(await snapshotOf(store, bucket), { left: 97, sold: 3 })
  t.is((await store.buyers(bucket, ['ann']))[0]!.length, 2)
})

test('purchase – insufficient leaves the units to others, then sold out', async (t) => {
  const { bucket } = await open({ stock: 2, perUserLimit: 5 })
  const presses = [press('ann', 3), press('bob', 2), press('cid', 1), press('bob', 1)]
  const result = await store.purchase(bucket, presses)
  t.deepEqual(result.verdicts, [
    { outcome: 'insufficient', left: 2 },
    { outcome: 'accepted', orderNumber: presses[1]!.orderNumber },
    { outcome: 'sold-out' },
    { outcome: 'sold-out' },
  ])
  t.is(result.left, 0)
  t.deepEqual(await store.purchase(bucket, [press('dan')]), {
    verdicts: [{ outcome: 'sold-out' }],
    left: 0,
    recoveries: 0,
  })
  t.is((await snapshotOf(store, bucket)).outboxLength, 1)
})

test('purchase – the same idempotency key gets the same order number, before the limit and the stock are looked at', async (t) => {
  const { bucket } = await open({ stock: 1 })
  const first = press('ann', 1, 'key-1')
  t.deepEqual(outcomes(await buy(store, bucket, first, press('ann', 1, 'key-1'))), ['accepted', 'replayed'])
  t.deepEqual(await buy(store, bucket, press('ann', 1, 'key-1'), press('ann', 1, 'key-2'), press('bob', 1, 'key-1')), [
    { outcome: 'replayed', orderNumber: first.orderNumber, quantity: 1 },
    { outcome: 'duplicate', orderNumber: first.orderNumber },
    { outcome: 'sold-out' },
  ])
  await store.confirm(bucket, [first])
  await store.release(bucket, [first])
  t.deepEqual(await buy(store, bucket, press('ann', 1, 'key-1')), [
    { outcome: 'replayed', orderNumber: first.orderNumber, quantity: 1 },
  ])
  t.like(await snapshotOf(store, bucket), { left: 1, sold: 0 })
})

test('purchase – a batch that is sent twice changes nothing the second time', async (t) => {
  const { bucket } = await open({ perUserLimit: 5 })
  const batch = [press('ann', 2), press('bob')]
  const first = await store.purchase(bucket, batch)
  const before = await redis.hgetall(bucketKeys(bucket).buyers)
  t.deepEqual(await store.purchase(bucket, batch), first)
  t.deepEqual(await redis.hgetall(bucketKeys(bucket).buyers), before)
  t.like(await snapshotOf(store, bucket), { left: 7, sold: 3, outboxLength: 1 })
})

test('purchase – 256 in one batch, not one more', async (t) => {
  const { bucket } = await open({ stock: 1_000 })
  const batch = (prefix: string, size: number) => Array.from({ length: size }, (_, i) => press(`${prefix}${i}`))
  t.is((await store.purchase(bucket, batch('a', 256))).left, 744)
  await t.throwsAsync(store.purchase(bucket, batch('b', 257)), { message: /malformed/ })
  t.is((await snapshotOf(store, bucket)).left, 744)
  t.deepEqual(await store.purchase(bucket, []), { verdicts: [], left: undefined })
})

test('purchase – malformed identifiers refuse the batch, nothing is done', async (t) => {
  const { bucket } = await open()
  for (const userId of ['two words', 'a\nb 1 X . .', '']) {
    await t.throwsAsync(store.purchase(bucket, [press('fine'), press(userId)]), { instanceOf: TypeError }, userId)
  }
  await t.throwsAsync(store.purchase(bucket, [press('ann', -1)]), { instanceOf: TypeError })
  t.like(await snapshotOf(store, bucket), { left: 10, outboxLength: 0 })
})

test('purchase – N parallel callers never get more than there is', async (t) => {
  const { bucket } = await open({ stock: 50 })
  const presses = Array.from({ length: 200 }, (_, i) => press(`user-${i % 120}`))
  const verdicts = (await Promise.all(presses.map((purchase) => buy(store, bucket, purchase)))).flat()
  const winners = presses.filter((_, i) => verdicts[i]!.outcome === 'accepted').map(({ userId }) => userId)
  t.is(winners.length, 50)
  t.is(new Set(winners).size, 50)
  t.like(await snapshotOf(store, bucket), { left: 0, sold: 50, outboxLength: 50 })
})
