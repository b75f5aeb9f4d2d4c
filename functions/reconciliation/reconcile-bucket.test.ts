import test, { type ExecutionContext } from 'ava'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { defaultBucketLimits, reconcileBucket, type BucketResult } from './reconcile-bucket.ts'
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

const kinds = (result: BucketResult) =>
  result.status === 'compared'
    ? result.findings.map(({ kind, count, repaired }) => `${kind} ${count}/${repaired}`)
    : [result.status]

/** Runs, and runs again: what was repaired must not be found a second time. */
async function compare(t: ExecutionContext, held: Held, again: string[] = []): Promise<string[]> {
  const found = kinds(await reconcileBucket(held.effects(0)))
  t.deepEqual(kinds(await reconcileBucket(held.effects(0))), again, 'the second run')
  return found
}

test('reconcileBucket – everything agrees: nothing found, nothing changed', async (t) => {
  const held = await hold(t)
  for (const user of ['u1', 'u2', 'u3']) held.note(await held.buy(user), user, 'live')
  await reconcileBucket(held.effects(0))
  const before = await held.look()
  t.deepEqual(kinds(await reconcileBucket(held.effects(0))), [])
  t.like(await held.look(), { left: before.left, sold: 3, confirmed: 3, version: before.version })
})

test('reconcileBucket – live order missing in Redis: restored and confirmed, without a message', async (t) => {
  const held = await hold(t)
  const orderNumber = held.number()
  held.note(orderNumber, 'u1', 'live', 2)
  t.deepEqual(await compare(t, held), ['missing-in-redis 1/1'])
  t.like(await held.look(), { left: 18, sold: 2, confirmed: 1, outboxLength: 0 })
})

test('reconcileBucket – order cancelled between the look and the check: not restored', async (t) => {
  const held = await hold(t)
  const orderNumber = held.number()
  held.note(orderNumber, 'u1', 'live')
  held.between.set('buyers', async () => held.note(orderNumber, 'u1', 'ended'))
  t.deepEqual(await compare(t, held), [])
  t.like(await held.look(), { left: 20, sold: 0 })
})

test('reconcileBucket – order cancelled between the check and the restore: released again', async (t) => {
  const held = await hold(t)
  const orderNumber = held.number()
  held.note(orderNumber, 'u1', 'live')
  held.between.set('restore', async () => held.note(orderNumber, 'u1', 'ended'))
  await compare(t, held)
  t.like(await held.look(), { left: 20, sold: 0 })
})

test('reconcileBucket – ended order still live in Redis: released once, the buyer may buy again', async (t) => {
  const held = await hold(t)
  held.note(await held.buy('u1', 1), 'u1', 'ended')
  t.deepEqual(await compare(t, held), ['ended-in-orders 1/1'])
  t.like(await held.look(), { left: 20, sold: 0 })
  await t.notThrowsAsync(held.buy('u1'))
})

test('reconcileBucket – stored but not confirmed: confirmed', async (t) => {
  const held = await hold(t)
  held.note(await held.buy('u1'), 'u1', 'live')
  t.deepEqual(await compare(t, held), ['not-confirmed 1/1'])
  t.like(await held.look(), { left: 19, sold: 1, confirmed: 1 })
})

test('reconcileBucket – unknown to order: message sent again, counted, reported after the last', async (t) => {
  const held = await hold(t)
  const orderNumber = await held.buy('u1')
  const limits = { ...defaultBucketLimits, maximumResends: 1 }
  t.deepEqual(kinds(await reconcileBucket(held.effects(0), limits)), ['not-in-orders 1/1'])
  t.is(held.resends.get(orderNumber), 1)
  t.is((await held.look()).outboxLength, 1)
  const [entry] = await held.store.readOutbox({ ...held.sale, bucket: 0 }, 'test', 10)
  t.like(entry?.purchases[0], { userId: 'u1', quantity: 1, orderNumber })
  t.deepEqual(kinds(await reconcileBucket(held.effects(0), limits)), ['never-stored 1/0'])
  t.is((await held.look()).left, 19, 'reporting releases nothing')
})

test('reconcileBucket – a purchase of this moment is nobody’s business', async (t) => {
  const held = await hold(t)
  const orderNumber = orderNumbers()()
  await held.store.purchase({ ...held.sale, bucket: 0 }, [{ userId: 'u1', quantity: 1, orderNumber }])
  t.deepEqual(await compare(t, held), [])
  t.is((await held.look()).outboxLength, 1)
})

test('reconcileBucket – left too high: lowered', async (t) => {
  const held = await hold(t)
  held.note(await held.buy('u1'), 'u1', 'live')
  await held.redis.hincrby(held.key().sale, 'left', 5)
  t.deepEqual(await compare(t, held), ['not-confirmed 1/1', 'left-too-high 1/1'])
  t.is((await held.look()).left, 19)
})

test('reconcileBucket – left too high and a release meanwhile: lowered only when nothing moves', async (t) => {
  const held = await hold(t)
  const orderNumber = await held.buy('u1')
  held.note(orderNumber, 'u1', 'live')
  await reconcileBucket(held.effects(0))
  await held.redis.hincrby(held.key().sale, 'left', 5)
  const effects = held.effects(0)
  let snapshots = 0
  const first = await reconcileBucket({
    ...effects,
    snapshot: async () => {
      snapshots++
      // Between the judgement and the repair.
      if (snapshots === 3) await held.store.release({ ...held.sale, bucket: 0 }, [{ userId: 'u1', orderNumber }])
      return effects.snapshot()
    },
  })
  t.deepEqual(kinds(first), ['left-too-high 1/0'])
  t.is((await held.look()).left, 25)
  held.note(orderNumber, 'u1', 'ended')
  await reconcileBucket(held.effects(0))
  t.is((await held.look()).left, 20, 'not one unit less')
})

test('reconcileBucket – left too low: reported, never raised', async (t) => {
  const held = await hold(t)
  await held.redis.hincrby(held.key().sale, 'left', -5)
  t.deepEqual(await compare(t, held, ['left-too-low 1/0']), ['left-too-low 1/0'])
  t.is((await held.look()).left, 15)
})

test('reconcileBucket – unfinished transfer: finished', async (t) => {
  const held = await hold(t, { buckets: 2 })
  // Half one of a transfer of 3 units from bucket 0 to bucket 1, whose process died.
  await held.redis.hset(held.key(0).transfers, '1', `1:3:${Date.now()}`)
  await held.redis.hincrby(held.key(0).sale, 'left', -3)
  await held.redis.hincrby(held.key(0).sale, 'sent', 3)
  await held.redis.hincrby(held.key(0).sale, 'transfers', 1)
  t.deepEqual(await compare(t, held), ['unfinished-transfers 1/1'])
  t.deepEqual(
    (await held.snapshots()).map((snapshot) => snapshot?.left),
    [7, 13],
  )
})

test('reconcileBucket – units sold twice make left negative: other buckets offer fewer', async (t) => {
  const held = await hold(t, { buckets: 2, perUserLimit: 10 })
  const user = Array.from({ length: 20 }, (_, index) => `u${index}`).find((name) => held.bucketOf(name) === 0)!
  await held.buy(user, 10)
  // An order that Redis forgot, whose units were sold again.
  held.note(held.number(), user, 'live', 4)
  for (const entry of (await held.store.buyers({ ...held.sale, bucket: 0 }, [user]))[0]!)
    held.note(entry.orderNumber, user, 'live', 10)
  const result = await reconcileBucket(held.effects(0))
  t.true(kinds(result).includes('left-negative 1/1'))
  const snapshots = await held.snapshots()
  t.true(snapshots.every((snapshot) => snapshot!.left >= 0))
  t.is(
    snapshots.reduce((sum, snapshot) => sum + snapshot!.left, 0),
    20 - 14,
  )
})

test('reconcileBucket – Redis restarted and not recovered: nothing is touched', async (t) => {
  const held = await hold(t)
  held.note(held.number(), 'u1', 'live')
  await held.redis.hset(held.key().sale, 'run', 'another-process')
  t.deepEqual(await compare(t, held, ['recovering']), ['recovering'])
  t.is((await held.look()).sold, 0)
})

test('reconcileBucket – a thousand purchases, orders and releases while it runs: no unit made or lost', async (t) => {
  const held = await hold(t, { stock: 600, perUserLimit: 3 }, 200)
  const running = new AbortController()
  const buyers = Array.from({ length: 4 }, async (_, worker) => {
    for (let round = 0; round < 250; round++) {
      const user = `w${worker}-${round % 100}`
      const orderNumber = held.number()
      const { verdicts } = await held.store.purchase({ ...held.sale, bucket: 0 }, [
        { userId: user, quantity: 1, orderNumber },
      ])
      if (verdicts[0]?.outcome !== 'accepted') continue
      held.note(orderNumber, user, 'live')
      if (round % 3 === 0) {
        held.note(orderNumber, user, 'ended')
        await held.store.release({ ...held.sale, bucket: 0 }, [{ userId: user, orderNumber }])
      }
    }
  })
  const done = Promise.all(buyers).finally(() => running.abort())
  let runs = 0
  while (!running.signal.aborted) {
    await reconcileBucket(held.effects(0), { ...defaultBucketLimits, pageSize: 20 })
    runs++
  }
  await done
  await reconcileBucket(held.effects(0))
  const live = [...held.orders.values()].filter((order) => order.fact === 'live').length
  t.true(runs > 1)
  t.like(await held.look(), { sold: live, left: 600 - live, confirmed: live })
})
