import test, { type ExecutionContext } from 'ava'
import { reconcileSale } from './reconcile-sale.ts'
import type { SaleDefinition } from '@stampede/shared/sale/types.ts'
import { startRedis, type OwnRedis } from '@stampede/shared/testing/services.ts'
import { holdSale, type Held } from './testing.ts'

// An own Redis: a relay of another test must not take the messages.
let redis: OwnRedis
test.before(async () => {
  redis = await startRedis()
})
test.after.always(() => redis?.stop())

async function hold(
  t: ExecutionContext,
  overrides: Partial<SaleDefinition> = {},
  orderPageSize?: number,
): Promise<Held> {
  const held = await holdSale(redis.url, overrides, orderPageSize)
  t.teardown(() => held.end())
  return held
}

const sum = (held: Held, field: 'left' | 'sold' | 'total') =>
  held.snapshots().then((snapshots) => snapshots.reduce((units, snapshot) => units + (snapshot?.[field] ?? 0), 0))

async function sell(held: Held, buyers: number): Promise<void> {
  for (let buyer = 0; buyer < buyers; buyer++) held.note(await held.buy(`b${buyer}`), `b${buyer}`, 'live')
}

test('reconcileSale – counters agree: quiet; a full run looks all the same', async (t) => {
  const held = await hold(t, { buckets: 2 })
  await sell(held, 6)
  t.like(await reconcileSale(held.saleEffects, { full: false }), { outcome: 'compared', buyers: 6, orders: 6 })
  t.like(await reconcileSale(held.saleEffects, { full: false }), { outcome: 'quiet', findings: [] })
  t.like(await reconcileSale(held.saleEffects, { full: true }), { outcome: 'compared', findings: [], buyers: 6 })
})

test('reconcileSale – all of Redis lost: rebuilt from the orders, sells exactly the rest', async (t) => {
  const held = await hold(t, { buckets: 3 })
  await sell(held, 7)
  held.note(held.number(), 'gone', 'ended')
  for (const bucket of [0, 1, 2]) await held.loseBucket(bucket)
  const result = await reconcileSale(held.saleEffects, { full: false })
  t.like(result, { outcome: 'rebuilt' })
  t.like(result.findings[0], { kind: 'sale-missing', repaired: 3 })
  t.is(await sum(held, 'left'), 13)
  t.true((await held.snapshots()).every((snapshot) => snapshot?.state === 'open' && snapshot.left >= 0))
  // A buyer of before cannot buy again, others can: exactly 13 more.
  await t.throwsAsync(held.buy('b0'), { message: /duplicate/ })
  let more = 0
  for (let buyer = 0; buyer < 200; buyer++) {
    const user = `n${buyer}`
    const bucket = { ...held.sale, bucket: held.bucketOf(user) }
    const press = async () =>
      (await held.store.purchase(bucket, [{ userId: user, quantity: 1, orderNumber: held.number() }])).verdicts[0]
        ?.outcome
    let outcome = await press()
    if (outcome === 'sold-out' && (await held.store.rebalance(bucket, 3, 1)) > 0) outcome = await press()
    if (outcome === 'accepted') more++
  }
  t.is(more, 13)
})

test('reconcileSale – one bucket of a cluster lost that had received units: together they offer exactly the rest', async (t) => {
  const held = await hold(t, { buckets: 2, perUserLimit: 20 })
  const [zero, one] = [0, 1].map((bucket) =>
    Array.from({ length: 30 }, (_, index) => `u${index}`).find((user) => held.bucketOf(user) === bucket)!,
  )
  await held.store.rebalance({ ...held.sale, bucket: 0 }, 2, 6)
  held.note(await held.buy(zero!, 15), zero!, 'live', 15)
  held.note(await held.buy(one!, 1), one!, 'live', 1)
  await held.loseBucket(0)
  t.like(await reconcileSale(held.saleEffects, { full: false }), { outcome: 'rebuilt' })
  t.is(await sum(held, 'left'), 4)
  t.is(await sum(held, 'sold'), 16)
  t.true((await held.snapshots()).every((snapshot) => snapshot!.left >= 0))
})

test('reconcileSale – one bucket of a cluster lost that had given units: together they offer exactly the rest', async (t) => {
  const held = await hold(t, { buckets: 2, perUserLimit: 20 })
  const one = Array.from({ length: 30 }, (_, index) => `u${index}`).find((user) => held.bucketOf(user) === 1)!
  await held.store.rebalance({ ...held.sale, bucket: 1 }, 2, 6)
  held.note(await held.buy(one, 15), one, 'live', 15)
  await held.loseBucket(0)
  t.like(await reconcileSale(held.saleEffects, { full: false }), { outcome: 'rebuilt' })
  t.is(await sum(held, 'left'), 5)
})

test('reconcileSale – all lost, and one bucket had sold units of the other: none offers what the other sold', async (t) => {
  const held = await hold(t, { buckets: 2, perUserLimit: 20 })
  const users = Array.from({ length: 30 }, (_, index) => `u${index}`)
  const [zero, one] = [0, 1].map((bucket) => users.find((user) => held.bucketOf(user) === bucket)!)
  held.note(held.number(), zero!, 'live', 15)
  held.note(held.number(), one!, 'live', 1)
  for (const bucket of [0, 1]) await held.loseBucket(bucket)
  t.like(await reconcileSale(held.saleEffects, { full: false }), { outcome: 'rebuilt' })
  const lefts = (await held.snapshots()).map((snapshot) => snapshot!.left)
  t.true(lefts.every((left) => left >= 0))
  t.is(lefts[0]! + lefts[1]!, 4)
})

test('reconcileSale – orders still arrive during the rebuild: waits for them', async (t) => {
  const held = await hold(t)
  await sell(held, 2)
  await held.loseBucket(0)
  const late = held.number()
  held.between.set('pause', async () => held.note(late, 'late', 'live', 5))
  t.like(await reconcileSale(held.saleEffects, { full: false }), { outcome: 'rebuilt' })
  t.like(await held.look(), { sold: 7, left: 13, confirmed: 3 })
})

test('reconcileSale – orders never stop arriving: stays closed to buyers until the next run', async (t) => {
  const held = await hold(t, { stock: 1_000 })
  await held.loseBucket(0)
  const keepComing = async () => {
    held.note(held.number(), `u${held.orders.size}`, 'live')
    held.between.set('pause', keepComing)
  }
  await keepComing()
  const first = await reconcileSale(held.saleEffects, { full: false })
  t.like(first, { outcome: 'rebuilding' })
  t.like(first.findings[0], { kind: 'sale-missing', repaired: 0 })
  t.is((await held.look()).state, 'rebuilding')
  held.between.clear()
  t.like(await reconcileSale(held.saleEffects, { full: false }), { outcome: 'rebuilt' })
  t.like(await held.look(), { state: 'open', sold: held.orders.size })
})

test('reconcileSale – the activity is paused or closed: rebuilt into that state', async (t) => {
  for (const state of ['paused', 'closed'] as const) {
    const held = await hold(t)
    await held.loseBucket(0)
    held.want(state)
    await reconcileSale(held.saleEffects, { full: false })
    t.is((await held.look()).state, state)
  }
})

test('reconcileSale – never warmed up: not created', async (t) => {
  const held = await hold(t)
  await held.loseBucket(0)
  t.like(await reconcileSale({ ...held.saleEffects, mayRebuild: async () => false }, { full: true }), {
    outcome: 'not-in-redis',
  })
  t.is(await held.store.snapshot({ ...held.sale, bucket: 0 }), undefined)
})

test('reconcileSale – another stock in Redis than allocated: reported', async (t) => {
  const held = await hold(t)
  const result = await reconcileSale({ ...held.saleEffects, stock: 25 }, { full: false })
  t.like(
    result.findings.find((finding) => finding.kind === 'total-differs'),
    { units: 5, repaired: 0 },
  )
})
