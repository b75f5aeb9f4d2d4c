import test from 'ava'
import { connectRedis } from '../redis/connect.ts'
import { bucketRef, bucketRefs, buy, newSale, press, readMessages, snapshotOf } from '../testing/sale.ts'
import { serviceAddresses } from '../testing/services.ts'
import { bucketKeys, registryKey } from './keys.ts'
import { createSaleStore } from './redis-sale-store.ts'
import type { SaleDefinition, SaleState } from './types.ts'

const redis = connectRedis(serviceAddresses().redisUrl)
const store = createSaleStore(redis)
const sales: SaleDefinition[] = []
test.after.always(async () => {
  await Promise.all(sales.map((sale) => store.expire(sale, 0)))
  redis.disconnect()
})

/** A warmed-up sale and its first bucket. */
async function open(overrides: Partial<SaleDefinition> = {}, options?: { state?: SaleState; left?: number }) {
  const sale = newSale(overrides)
  sales.push(sale)
  await store.warmUp(sale, options)
  return { sale, bucket: bucketRef(sale) }
}
const outcomes = (verdicts: { outcome: string }[]) => verdicts.map(({ outcome }) => outcome)

test('warm-up – creates every bucket once and enters the sale in the registry', async (t) => {
  const sale = newSale({ stock: 10, buckets: 4 })
  sales.push(sale)
  t.is(await store.warmUp(sale), 'created')
  t.is(await store.warmUp({ ...sale, stock: 99 }), 'exists')
  const snapshots = await Promise.all(bucketRefs(sale).map((bucket) => snapshotOf(store, bucket)))
  t.deepEqual(
    snapshots.map(({ total }) => total),
    [3, 3, 2, 2],
  )
  t.deepEqual(
    snapshots.map(({ left }) => left),
    [3, 3, 2, 2],
  )
  t.like(snapshots[0], {
    state: 'open',
    sold: 0,
    confirmed: 0,
    perUserLimit: 1,
    buckets: 4,
    version: 0,
    whole: true,
    outboxLength: 0,
  })
  t.is(snapshots[0]!.endsAtMs, sale.endsAtMs)
  const { tenantId, activityId, buckets } = sale
  t.deepEqual(
    (await store.listSales()).find((known) => known.activityId === activityId),
    { tenantId, activityId, buckets },
  )
})

test('warm-up – left counts the rest as sold', async (t) => {
  const { bucket } = await open({ stock: 10 }, { left: 4, state: 'paused' })
  t.like(await snapshotOf(store, bucket), { total: 10, left: 4, sold: 6, state: 'paused' })
})

test('warm-up – refuses what is no sale', async (t) => {
  for (const wrong of [
    { stock: -1 },
    { stock: 1.5 },
    { perUserLimit: 0 },
    { buckets: 0 },
    { buckets: 65 },
    { startsAtMs: Number.NaN },
  ]) {
    await t.throwsAsync(store.warmUp(newSale(wrong)), { instanceOf: RangeError }, JSON.stringify(wrong))
  }
  await t.throwsAsync(store.warmUp(newSale({ stock: 1 }), { left: 2 }), { instanceOf: RangeError })
})

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

test('release – gives units and right back once, in every state', async (t) => {
  const { bucket } = await open({ stock: 3, perUserLimit: 2 })
  const [ann, bob] = [press('ann', 2), press('bob')]
  await buy(store, bucket, ann, bob)
  await store.confirm(bucket, [ann])
  await store.setState(bucket, 'closed')
  await redis.hset(bucketKeys(bucket).sale, 'run', 'another')
  t.is(await store.release(bucket, [ann, ann, { userId: 'ann', orderNumber: bob.orderNumber }]), 1)
  t.is(await store.release(bucket, [ann]), 0)
  t.like(await snapshotOf(store, bucket), { left: 2, sold: 1, confirmed: 0, version: 1 })
  t.deepEqual(await store.buyers(bucket, ['ann']), [
    [{ orderNumber: ann.orderNumber, quantity: 2, status: 'released' }],
  ])
})

test('release – N parallel callers release once', async (t) => {
  const { bucket } = await open()
  const ann = press('ann')
  await buy(store, bucket, ann)
  const released = await Promise.all(Array.from({ length: 20 }, () => store.release(bucket, [ann])))
  t.is(
    released.reduce((sum, count) => sum + count),
    1,
  )
  t.like(await snapshotOf(store, bucket), { left: 10, sold: 0, version: 1 })
})

test('release – the buyer may buy again; of released entries only the newest is kept', async (t) => {
  const { bucket } = await open()
  const rounds = [press('ann'), press('ann'), press('ann')]
  for (const purchase of rounds) {
    t.deepEqual(outcomes(await buy(store, bucket, purchase)), ['accepted'])
    t.is(await store.release(bucket, [purchase]), 1)
  }
  const last = press('ann')
  await buy(store, bucket, last)
  t.deepEqual(await store.buyers(bucket, ['ann']), [
    [
      { orderNumber: rounds[2]!.orderNumber, quantity: 1, status: 'released' },
      { orderNumber: last.orderNumber, quantity: 1, status: 'accepted' },
    ],
  ])
})

test('release – more than one script call takes, unknown orders and unknown sales', async (t) => {
  const { bucket } = await open({ stock: 600 })
  const presses = Array.from({ length: 600 }, (_, i) => press(`user-${i}`))
  for (let from = 0; from < 600; from += 200) await store.purchase(bucket, presses.slice(from, from + 200))
  t.is(await store.confirm(bucket, presses), 600)
  t.is(await store.release(bucket, [...presses, press('nobody')]), 600)
  t.is(await store.release(bucketRef(newSale()), presses.slice(0, 1)), 0)
  t.is(await store.release(bucket, []), 0)
  await t.throwsAsync(store.release(bucket, [{ userId: 'a b', orderNumber: 'X' }]), { instanceOf: TypeError })
  t.like(await snapshotOf(store, bucket), { left: 600, sold: 0, confirmed: 0 })
})

test('confirm – once for each order, not for released ones', async (t) => {
  const { bucket } = await open({ perUserLimit: 2 })
  const [first, second, gone] = [press('ann'), press('ann'), press('bob')]
  await buy(store, bucket, first, second, gone)
  await store.release(bucket, [gone])
  t.is(await store.confirm(bucket, [second, second, gone, press('nobody')]), 1)
  t.is(await store.confirm(bucket, [second]), 0)
  t.is(await store.confirm(bucketRef(newSale()), [second]), 0)
  await t.throwsAsync(store.confirm(bucket, [{ userId: 'ann', orderNumber: '.*' }]), { instanceOf: TypeError })
  t.is((await snapshotOf(store, bucket)).confirmed, 1)
  t.deepEqual(
    (await store.buyers(bucket, ['ann']))[0]!.map(({ status }) => status),
    ['accepted', 'confirmed'],
  )
})

test('set state – a sale that is being rebuilt stays so until the rebuild ends, or it is closed', async (t) => {
  const { bucket } = await open()
  t.true(await store.setState(bucket, 'rebuilding'))
  for (const state of ['open', 'paused'] as const) {
    t.false(await store.setState(bucket, state))
    t.is((await snapshotOf(store, bucket)).state, 'rebuilding')
  }
  t.true(await store.setState(bucket, 'paused', { rebuilt: true }))
  t.true(await store.setState(bucket, 'rebuilding'))
  t.true(await store.setState(bucket, 'closed'))
})

test('set state – any change but out of closed', async (t) => {
  const { bucket } = await open()
  for (const state of ['paused', 'open', 'closed', 'closed'] as const) {
    t.true(await store.setState(bucket, state), state)
    t.is((await snapshotOf(store, bucket)).state, state)
  }
  t.false(await store.setState(bucket, 'open'))
  t.false(await store.setState(bucketRef(newSale()), 'open'))
  t.is((await snapshotOf(store, bucket)).state, 'closed')
})

test('restore – applies what is missing once, with its message', async (t) => {
  const { bucket } = await open({ stock: 10, perUserLimit: 1 })
  const known = press('ann')
  await buy(store, bucket, known)
  await readMessages(store, bucket)
  const [lost, second] = [press('bob', 2, 'key-1'), press('ann')]
  const operations = [known, lost, second].map((purchase) => ({ kind: 'purchase' as const, ...purchase }))
  t.is(await store.restore(bucket, operations), 2)
  t.is(await store.restore(bucket, operations), 0)
  t.like(await snapshotOf(store, bucket), { left: 6, sold: 4 })
  t.deepEqual(await readMessages(store, bucket), [
    { userId: 'bob', quantity: 2, orderNumber: lost.orderNumber },
    { userId: 'ann', quantity: 1, orderNumber: second.orderNumber },
  ])
  t.deepEqual(await buy(store, bucket, press('bob', 1, 'key-1')), [
    { outcome: 'replayed', orderNumber: lost.orderNumber, quantity: 2 },
  ])
})

test('restore – without messages, in a closed sale, below zero', async (t) => {
  const { bucket } = await open({ stock: 1 })
  await buy(store, bucket, press('ann'))
  await store.setState(bucket, 'closed')
  t.is(await store.restore(bucket, [{ kind: 'purchase', ...press('bob') }], { resend: false }), 1)
  t.like(await snapshotOf(store, bucket), { left: -1, sold: 2, outboxLength: 1 })
  t.is(await store.restore(bucketRef(newSale()), [{ kind: 'purchase', ...press('bob') }]), 0)
})

test('restore – a release that was lost is applied once', async (t) => {
  const { bucket } = await open()
  const ann = press('ann', 1, 'key-1')
  await buy(store, bucket, ann)
  await store.confirm(bucket, [ann])
  const release = { kind: 'release' as const, userId: 'ann', orderNumber: ann.orderNumber }
  t.is(await store.restore(bucket, [release]), 1)
  t.is(await store.restore(bucket, [{ kind: 'purchase', ...ann }, release]), 0)
  t.like(await snapshotOf(store, bucket), { left: 10, sold: 0, confirmed: 0, version: 1 })
})

test('restore – a release restored before its purchase by another process wins', async (t) => {
  const { bucket } = await open()
  const ann = press('ann')
  await store.restore(bucket, [{ kind: 'release', userId: 'ann', orderNumber: ann.orderNumber }])
  t.is(await store.restore(bucket, [{ kind: 'purchase', ...ann }]), 0)
  t.like(await snapshotOf(store, bucket), { left: 10, sold: 0, outboxLength: 0 })
})

test('restore – keeps at most four released entries of a buyer', async (t) => {
  const { bucket } = await open()
  const releases = Array.from({ length: 9 }, () => ({
    kind: 'release' as const,
    userId: 'ann',
    orderNumber: press('ann').orderNumber,
  }))
  await store.restore(bucket, releases)
  const [entries] = await store.buyers(bucket, ['ann'])
  t.deepEqual(
    entries!.map(({ orderNumber }) => orderNumber),
    releases.slice(-4).map(({ orderNumber }) => orderNumber),
  )
})

test('resend – messages of live purchases only', async (t) => {
  const { bucket } = await open({ perUserLimit: 2 })
  const [ann, bob, gone] = [press('ann'), press('bob', 2), press('cid')]
  await buy(store, bucket, ann, bob, gone)
  await readMessages(store, bucket)
  await store.confirm(bucket, [bob])
  await store.release(bucket, [gone])
  t.is(await store.resend(bucket, [gone, bob, ann, press('nobody')]), 2)
  t.is(await store.resend(bucketRef(newSale()), [ann]), 0)
  t.deepEqual(await readMessages(store, bucket), [
    { userId: 'bob', quantity: 2, orderNumber: bob.orderNumber },
    { userId: 'ann', quantity: 1, orderNumber: ann.orderNumber },
  ])
  t.like(await snapshotOf(store, bucket), { left: 7, sold: 3 })
})

test('lower left – only down, never below zero', async (t) => {
  const { bucket } = await open({ stock: 10 })
  t.is(await store.lowerLeft(bucket, 12), 0)
  t.is(await store.lowerLeft(bucket, 7), 3)
  t.is(await store.lowerLeft(bucket, 7), 0)
  t.is(await store.lowerLeft(bucket, -5), 7)
  t.is(await store.lowerLeft(bucketRef(newSale()), 0), 0)
  t.is((await snapshotOf(store, bucket)).left, 0)
})

test('scan of buyers – every buyer in pages', async (t) => {
  const { bucket } = await open({ stock: 1_000 })
  const presses = Array.from({ length: 200 }, (_, i) => press(`user-${i}`))
  await store.purchase(bucket, presses)
  const seen = new Map<string, number>()
  let cursor = '0'
  do {
    const page = await store.scanBuyers(bucket, cursor, 50)
    cursor = page.cursor
    for (const { userId, entries } of page.buyers) seen.set(userId, entries[0]!.quantity)
  } while (cursor !== '0')
  t.deepEqual([...seen.keys()].sort(), presses.map(({ userId }) => userId).sort())
})

test('outbox – each entry goes to one consumer, is claimed from a dead one, and is gone when acknowledged', async (t) => {
  const { bucket } = await open()
  await buy(store, bucket, press('ann'))
  await buy(store, bucket, press('bob'))
  const [first] = await store.readOutbox(bucket, 'one', 1)
  const [second] = await store.readOutbox(bucket, 'two', 10)
  t.deepEqual(
    [first, second].map((entry) => entry!.purchases[0]!.userId),
    ['ann', 'bob'],
  )
  t.deepEqual(await store.readOutbox(bucket, 'two', 10), [])
  t.deepEqual(await store.claimOutbox(bucket, 'two', 60_000, 10), [])
  t.deepEqual(await store.claimOutbox(bucket, 'two', 0, 1), [first!])
  await store.acknowledgeOutbox(bucket, [first!.id])
  await store.acknowledgeOutbox(bucket, [first!.id])
  await store.acknowledgeOutbox(bucket, [])
  t.is((await snapshotOf(store, bucket)).outboxLength, 1)
  t.deepEqual(await store.claimOutbox(bucket, 'three', 0, 10), [second!])
})

test('outbox – an entry that was deleted but not acknowledged is dropped by a claim', async (t) => {
  const { bucket } = await open()
  await buy(store, bucket, press('ann'))
  const [entry] = await store.readOutbox(bucket, 'one', 1)
  await redis.xdel(bucketKeys(bucket).outbox, entry!.id)
  t.deepEqual(await store.claimOutbox(bucket, 'two', 0, 10), [])
  t.deepEqual(await store.claimOutbox(bucket, 'two', 0, 10), [])
})

test('outbox – a sale that does not exist leaves no stream behind', async (t) => {
  const bucket = bucketRef(newSale())
  t.deepEqual(await store.readOutbox(bucket, 'one', 1), [])
  t.deepEqual(await store.claimOutbox(bucket, 'one', 0, 1), [])
  t.is(await redis.exists(bucketKeys(bucket).outbox), 0)
})

test('expire – all keys of the sale go, and its place in the registry', async (t) => {
  const { sale, bucket } = await open({ buckets: 2 })
  await buy(store, bucket, press('ann'))
  await store.expire(sale, 100)
  t.true((await redis.ttl(bucketKeys(bucket).buyers)) > 0)
  t.true((await redis.ttl(bucketKeys(bucketRef(sale, 1)).sale)) > 0)
  t.is(await redis.sismember(registryKey, `${sale.tenantId}:${sale.activityId}:2`), 0)
})

test('scripts – a Redis that forgot them gets them again', async (t) => {
  const { bucket } = await open()
  const forgetful = createSaleStore(
    new Proxy(redis, {
      get: (target, name) =>
        name === 'evalsha'
          ? () => Promise.reject(new Error('NOSCRIPT No matching script. Please use EVAL.'))
          : (Reflect.get(target, name) as (...args: unknown[]) => unknown).bind(target),
    }),
  )
  t.deepEqual(outcomes(await buy(forgetful, bucket, press('ann'))), ['accepted'])
})
