/** Properties of whole sales, by chance: nothing is oversold, nothing is lost between buckets, the last unit is sold. */
import test from 'ava'
import * as fc from 'fast-check'
import { connectRedis } from '../redis/connect.ts'
import { bucketRef, bucketRefs, newSale, press, readMessages, snapshotOf } from '../testing/sale.ts'
import { serviceAddresses } from '../testing/services.ts'
import { bucketOf } from './bucket.ts'
import { bucketKeys } from './keys.ts'
import { createSaleStore } from './redis-sale-store.ts'
import type { BucketRef, Purchase, SaleDefinition } from './types.ts'

const redis = connectRedis(serviceAddresses().redisUrl)
const store = createSaleStore(redis)
test.after.always(() => redis.disconnect())

/** What the sale's path does with a dry bucket: fetch units from others, then decide again. */
async function buyWithRebalance(bucket: BucketRef, buckets: number, purchase: Purchase): Promise<boolean> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const [verdict] = (await store.purchase(bucket, [purchase])).verdicts
    if (verdict!.outcome === 'accepted') return true
    if (verdict!.outcome !== 'sold-out' && verdict!.outcome !== 'insufficient') return false
    const missing = purchase.quantity - (verdict.outcome === 'insufficient' ? verdict.left : 0)
    if (buckets === 1 || (await store.rebalance(bucket, buckets, missing)) === 0) return false
  }
  return false
}

async function sumOver(sale: SaleDefinition) {
  const snapshots = await Promise.all(bucketRefs(sale).map((bucket) => snapshotOf(store, bucket)))
  const sum = { total: 0, left: 0, sold: 0, sent: 0, received: 0 }
  for (const snapshot of snapshots) {
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += snapshot[key]
  }
  return { ...sum, lowest: Math.min(...snapshots.map(({ left }) => left)), snapshots }
}

for (const buckets of [1, 8]) {
  test(`sale with ${buckets} bucket(s) – sells exactly the stock when enough buyers want one unit`, async (t) => {
    const sale = newSale({ stock: 100, buckets })
    await store.warmUp(sale)
    const presses = Array.from({ length: 250 }, (_, i) => press(`buyer-${i}`))
    const accepted = await Promise.all(
      presses.map((purchase) =>
        buyWithRebalance(bucketRef(sale, bucketOf(purchase.userId, buckets)), buckets, purchase),
      ),
    )
    t.is(accepted.filter(Boolean).length, 100)
    const { left, sold, sent, received } = await sumOver(sale)
    t.deepEqual({ left, sold, inTransfer: sent - received }, { left: 0, sold: 100, inTransfer: 0 })
    await store.expire(sale, 0)
  })

  test(`sale with ${buckets} bucket(s) – never oversold, units and messages add up, for any mix of quantities and releases`, async (t) => {
    const action = fc.record({
      user: fc.integer({ min: 0, max: 12 }),
      quantity: fc.integer({ min: 1, max: 4 }),
      release: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 40 }),
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.array(action, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 8 }),
        async (stock, perUserLimit, rounds) => {
          const sale = newSale({ stock, perUserLimit, buckets })
          await store.warmUp(sale)
          const live = new Map<string, Purchase>()
          const everAccepted = new Set<string>()
          for (const round of rounds) {
            // The actions of one round run at the same time.
            await Promise.all(
              round.map(async ({ user, quantity, release }) => {
                const userId = `buyer-${user}`
                const bucket = bucketRef(sale, bucketOf(userId, buckets))
                const own = [...live.values()].find((purchase) => purchase.userId === userId)
                if (release && own) {
                  live.delete(own.orderNumber)
                  t.is(await store.release(bucket, [own]), 1)
                  return
                }
                const purchase = press(userId, quantity)
                if (!(await buyWithRebalance(bucket, buckets, purchase))) return
                live.set(purchase.orderNumber, purchase)
                everAccepted.add(purchase.orderNumber)
              }),
            )
          }
          const { total, left, sold, sent, received, lowest, snapshots } = await sumOver(sale)
          const units = [...live.values()].reduce((sum, { quantity }) => sum + quantity, 0)
          t.deepEqual(
            { total, sold, left, onTheWay: sent - received },
            { total: stock, sold: units, left: stock - units, onTheWay: 0 },
          )
          t.true(lowest >= 0)
          for (const one of snapshots) t.is(one.left + one.sold, one.total + one.received - one.sent)
          for (let user = 0; user <= 12; user++) {
            const mine = [...live.values()].filter(({ userId }) => userId === `buyer-${user}`)
            t.true(mine.reduce((sum, { quantity }) => sum + quantity, 0) <= perUserLimit)
          }
          const messages = (await Promise.all(bucketRefs(sale).map((bucket) => readMessages(store, bucket)))).flat()
          t.deepEqual(messages.map(({ orderNumber }) => orderNumber).sort(), [...everAccepted].sort())
          await store.expire(sale, 0)
        },
      ),
      { numRuns: 40 },
    )
  })
}

test('rebalance – takes from several donors when one has not enough', async (t) => {
  const sale = newSale({ stock: 4, buckets: 4, perUserLimit: 4 })
  await store.warmUp(sale)
  t.is(await store.rebalance(bucketRef(sale, 2), 4, 3), 3)
  t.like(await snapshotOf(store, bucketRef(sale, 2)), { left: 4, received: 3, version: 3 })
  t.is(await store.rebalance(bucketRef(sale, 2), 4, 1), 0)
  await store.expire(sale, 0)
})

test('rebalance – takes half of what a rich donor has, so that the next one need not ask', async (t) => {
  const sale = newSale({ stock: 200, buckets: 2 })
  await store.warmUp(sale)
  t.is(await store.rebalance(bucketRef(sale, 0), 2, 1), 50)
  await store.expire(sale, 0)
})

test('rebalance – a donor that is not whole gives nothing', async (t) => {
  const sale = newSale({ stock: 10, buckets: 2 })
  await store.warmUp(sale)
  await redis.hset(bucketKeys(bucketRef(sale, 1)).sale, 'run', 'another')
  t.is(await store.rebalance(bucketRef(sale, 0), 2, 1), 0)
  t.is((await snapshotOf(store, bucketRef(sale, 1))).left, 5)
  await store.expire(sale, 0)
})

/** A store whose process dies between the two halves of a transfer: the second one never reaches Redis. */
function dyingStore() {
  return createSaleStore(
    new Proxy(redis, {
      get: (target, name) => {
        if (name !== 'evalsha') return (Reflect.get(target, name) as (...args: unknown[]) => unknown).bind(target)
        return (sha: string, keys: number, rest: string[]) =>
          rest[1]?.endsWith(':received') ? Promise.reject(new Error('died')) : target.evalsha(sha, keys, rest)
      },
    }),
  )
}

test('rebalance – a donor that was lost and made again does not use the numbers of its former transfers', async (t) => {
  const sale = newSale({ stock: 20, buckets: 2 })
  await store.warmUp(sale)
  const [to, from] = [bucketRef(sale, 0), bucketRef(sale, 1)]
  t.is(await store.rebalance(to, 2, 2), 5)
  await redis.del(Object.values(bucketKeys(from)))
  t.is(await store.warmUp(sale, { state: 'rebuilding' }), 'created')
  t.is(await store.rebalance(to, 2, 2), 5)
  t.like(await snapshotOf(store, to), { left: 20, received: 10 })
  await store.expire(sale, 0)
})

test('finish transfers – a transfer that a dead process left half done is added once', async (t) => {
  const sale = newSale({ stock: 10, buckets: 2 })
  await store.warmUp(sale)
  const [to, from] = [bucketRef(sale, 0), bucketRef(sale, 1)]
  await t.throwsAsync(dyingStore().rebalance(to, 2, 4), { message: 'died' })
  t.like(await snapshotOf(store, from), { left: 1, sent: 4 })
  t.like(await snapshotOf(store, to), { left: 5, received: 0 })
  const finished = await Promise.all(Array.from({ length: 5 }, () => store.finishTransfers(from)))
  t.is(
    finished.reduce((sum, count) => sum + count),
    1,
  )
  t.like(await snapshotOf(store, to), { left: 9, received: 4 })
  await store.expire(sale, 0)
})

test('rebalance – units that are on their way are found before "sold out" is said', async (t) => {
  const sale = newSale({ stock: 2, buckets: 2 })
  await store.warmUp(sale)
  const [to, from] = [bucketRef(sale, 0), bucketRef(sale, 1)]
  await t.throwsAsync(dyingStore().rebalance(to, 2, 1), { message: 'died' })
  t.is(await store.rebalance(to, 2, 1), 1)
  await t.throwsAsync(dyingStore().rebalance(from, 2, 2), { message: 'died' })
  t.is(await store.rebalance(from, 2, 2), 2)
  t.like(await snapshotOf(store, from), { left: 2 })
  await store.expire(sale, 0)
})

test('finish transfers – the record stays until the receiver cannot forget the units any more', async (t) => {
  const sale = newSale({ stock: 10, buckets: 2 })
  await store.warmUp(sale)
  const [to, from] = [bucketRef(sale, 0), bucketRef(sale, 1)]
  t.is(await store.rebalance(to, 2, 3), 3)
  t.is(await store.finishTransfers(from), 0)
  t.is(await redis.hlen(bucketKeys(from).transfers), 1)
  t.is(await createSaleStore(redis, { transferMemoryMs: 0 }).finishTransfers(from), 0)
  t.is(await redis.hlen(bucketKeys(from).transfers), 0)
  t.like(await snapshotOf(store, to), { left: 8 })
  await store.expire(sale, 0)
})

test('bucket of a buyer – the same for ever, and even', (t) => {
  // Another result would send buyers of a running sale to buckets that do not know them.
  t.deepEqual(
    ['ann', 'bob', 'user-1', 'user-2', ''].map((userId) => bucketOf(userId, 64)),
    [48, 22, 55, 63, 1],
  )
  t.is(bucketOf('ann', 1), 0)
  for (const buckets of [2, 8, 64]) {
    const counts = Array.from({ length: buckets }, () => 0)
    for (let i = 0; i < 64_000; i++) counts[bucketOf(`user-${i}`, buckets)]!++
    const mean = 64_000 / buckets
    t.true(Math.max(...counts) < mean * 1.2 && Math.min(...counts) > mean * 0.8, `${buckets}: ${counts.join()}`)
  }
})
