/** A sale from its warm-up to its end: its state, its buyers and its outbox. */
import test from 'ava'
import { openSales } from '../testing/open-sales.ts'
import { bucketRef, bucketRefs, buy, newSale, press, snapshotOf } from '../testing/sale.ts'
import { bucketKeys, registryKey } from './keys.ts'
import { createSaleStore } from './redis-sale-store.ts'

const { redis, store, plan, open, close } = openSales()
test.after.always(close)

test('warm-up – creates every bucket once and enters the sale in the registry', async (t) => {
  const sale = plan({ stock: 10, buckets: 4 })
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
  const verdicts = await buy(forgetful, bucket, press('ann'))
  t.deepEqual(
    verdicts.map(({ outcome }) => outcome),
    ['accepted'],
  )
})
