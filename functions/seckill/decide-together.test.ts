/** Which presses are decided together, when, and what becomes of them when Redis fails; the last look on real Redis. */
import test, { type ExecutionContext } from 'ava'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import type { BucketRef, Purchase, PurchaseBatchResult, SaleDefinition } from '@stampede/shared/sale/types.ts'
import { bucketRef, buy, newSale, press as purchaseOf, snapshotOf } from '@stampede/shared/testing/sale.ts'
import { serviceAddresses } from '@stampede/shared/testing/services.ts'
import {
  createDecider,
  type DecisionEffects,
  type DecisionOptions,
  type DecisionOutcome,
  type PendingPurchase,
} from './decide-together.ts'

const bucket: BucketRef = { tenantId: 't', activityId: 'a', bucket: 0 }
const other: BucketRef = { tenantId: 't', activityId: 'a', bucket: 1 }
const roomy: DecisionOptions = { batch: 3, callsInFlight: 2, queue: 100, timeoutMs: 1_000 }

type Call = { ref: BucketRef; users: string[]; accept(): Promise<void>; fail(): Promise<void>; late(): void }

/** A decider whose turns end, whose time passes and whose Redis answers when the test says so. */
function stage(options: Partial<DecisionOptions> = {}, own: Partial<DecisionEffects<PendingPurchase>> = {}) {
  const calls: Call[] = []
  const log: string[] = []
  const settled: [string, DecisionOutcome['outcome']][] = []
  const turns: (() => void)[] = []
  const timers: { timeoutMs: number; callback: () => void; off: boolean }[] = []
  const answered = () => new Promise<void>(setImmediate)
  const effects: DecisionEffects<PendingPurchase> = {
    store: {
      purchase: (ref, purchases) => {
        const { promise, resolve, reject } = Promise.withResolvers<PurchaseBatchResult>()
        const timer = timers.at(-1)!
        calls.push({
          ref,
          users: purchases.map(({ userId }) => userId),
          accept: () => {
            const verdicts = purchases.map(({ orderNumber }) => ({ outcome: 'accepted' as const, orderNumber }))
            resolve({ verdicts, left: 1, recoveries: 0 })
            return answered()
          },
          fail: () => {
            reject(new Error('no answer'))
            return answered()
          },
          late: () => timer.callback(),
        })
        return promise
      },
      rebalance: () => Promise.reject(new Error('not asked for here')),
    },
    record: (_ref, purchases) => log.push(`record ${purchases.map(({ userId }) => userId).join()}`),
    mayHaveUnits: () => true,
    settle: ({ purchase }, { outcome }) => {
      settled.push([purchase.userId, outcome])
      log.push(`settle ${purchase.userId}`)
    },
    acceptedSome: () => log.push('accepted some'),
    failed: (error) => log.push(`failed ${(error as Error).message}`),
    endOfTurn: (callback) => turns.push(callback),
    after: (timeoutMs, callback) => {
      const timer = { timeoutMs, callback, off: false }
      timers.push(timer)
      return () => {
        timer.off = true
      }
    },
    ...own,
  }
  const decider = createDecider(effects, { ...roomy, ...options })
  return {
    decider,
    calls,
    log,
    settled,
    turns,
    timers,
    submit: (userId: string, ref = bucket) =>
      decider.submit({ purchase: purchaseOf(userId), ref, buckets: 1, attempts: 0 }),
    endTurn: () => {
      for (const callback of turns.splice(0)) callback()
    },
    users: () => calls.map((call) => call.users.join('')),
  }
}

test('decider – presses of one turn go together at its end, those of each bucket in a call of their own', async (t) => {
  const { submit, endTurn, calls, turns, users, settled } = stage()
  submit('a')
  submit('b')
  submit('x', other)
  t.deepEqual(users(), [])
  t.is(turns.length, 1, 'asked for once')
  endTurn()
  t.deepEqual(users(), ['ab', 'x'])
  t.deepEqual(
    calls.map(({ ref }) => ref),
    [bucket, other],
  )
  submit('c')
  t.is(calls.length, 2)
  endTurn()
  t.deepEqual(users(), ['ab', 'x', 'c'])
  for (const call of calls) await call.accept()
  t.deepEqual(
    settled,
    ['a', 'b', 'x', 'c'].map((user) => [user, 'accepted']),
  )
})

test('decider – a whole batch goes at once, the rest at the end of the turn, each press once', (t) => {
  const { submit, endTurn, users } = stage()
  submit('a')
  submit('b')
  t.deepEqual(users(), [])
  submit('c')
  t.deepEqual(users(), ['abc'])
  submit('d')
  t.deepEqual(users(), ['abc'])
  endTurn()
  t.deepEqual(users(), ['abc', 'd'])
})

test('decider – no more calls of a bucket than allowed; what waits goes in batches as they end, others are not held up', async (t) => {
  const { submit, endTurn, calls, users } = stage()
  for (const user of 'abcdefghijk') submit(user)
  endTurn()
  t.deepEqual(users(), ['abc', 'def'])
  submit('x', other)
  endTurn()
  t.deepEqual(users(), ['abc', 'def', 'x'])
  await calls[1]!.accept()
  t.deepEqual(users(), ['abc', 'def', 'x', 'ghi'])
  await calls[0]!.accept()
  t.deepEqual(users(), ['abc', 'def', 'x', 'ghi', 'jk'])
})

test('decider – what was accepted is remembered and announced before anybody is told', async (t) => {
  const { submit, endTurn, calls, log } = stage()
  submit('a')
  submit('b')
  endTurn()
  await calls[0]!.accept()
  t.deepEqual(log, ['record a,b', 'accepted some', 'settle a', 'settle b'])
})

test('decider – a failed call is undecided for each of its presses and does not block later ones', async (t) => {
  const { submit, endTurn, calls, settled, log, timers, decider, users } = stage({ callsInFlight: 1 })
  for (const user of 'abcd') submit(user)
  endTurn()
  t.deepEqual(users(), ['abc'])
  await calls[0]!.fail()
  t.deepEqual(
    settled,
    ['a', 'b', 'c'].map((user) => [user, 'undecided']),
  )
  t.deepEqual(log.slice(0, 1), ['failed no answer'])
  t.true(timers[0]!.off)
  t.deepEqual(users(), ['abc', 'd'])
  await calls[1]!.accept()
  t.deepEqual(settled.at(-1), ['d', 'accepted'])
  t.is(decider.pending(), 0)
})

test('decider – a late call is undecided at its time; its answer is remembered, and nobody is told twice', async (t) => {
  const { submit, endTurn, calls, settled, log, timers, decider, users } = stage({ callsInFlight: 1 })
  for (const user of 'abcd') submit(user)
  endTurn()
  t.is(timers[0]!.timeoutMs, 1_000)
  calls[0]!.late()
  t.deepEqual(
    settled,
    ['a', 'b', 'c'].map((user) => [user, 'undecided']),
  )
  t.deepEqual(users(), ['abc', 'd'])
  await calls[0]!.accept()
  t.is(settled.length, 3)
  t.deepEqual(log.slice(-2), ['record a,b,c', 'accepted some'])
  for (const user of 'efg') submit(user)
  t.deepEqual(users(), ['abc', 'd'], 'the late answer freed no second place')
  await calls[1]!.accept()
  t.deepEqual(users(), ['abc', 'd', 'efg'])
  calls[2]!.late()
  await calls[2]!.fail()
  t.is(settled.length, 7)
  t.is(decider.pending(), 0)
})

test('decider – the queue is limited over all buckets, counts what is in flight, and has room again', async (t) => {
  const { submit, endTurn, calls, settled, decider } = stage({ queue: 4 })
  t.deepEqual([submit('a'), submit('b'), submit('c'), submit('x', other)], [true, true, true, true])
  endTurn()
  t.is(decider.pending(), 4)
  t.false(submit('d'))
  t.is(decider.pending(), 4)
  await calls[0]!.accept()
  t.is(decider.pending(), 1)
  t.true(submit('e'))
  endTurn()
  t.deepEqual(calls.at(-1)!.users, ['e'])
  t.false(settled.some(([user]) => user === 'd'))
})

test('decider – idle when nothing is pending any more, also when calls fail', async (t) => {
  const { submit, endTurn, calls, decider } = stage()
  await decider.idle()
  submit('a')
  submit('x', other)
  let idle = false
  const done = decider.idle().then(() => (idle = true))
  endTurn()
  await calls[0]!.accept()
  t.false(idle)
  await calls[1]!.fail()
  await done
  t.true(idle)
})

const redis = connectRedis(serviceAddresses().redisUrl)
const store = createSaleStore(redis)
test.after.always(() => redis.disconnect())

/** A sale of two units in two buckets on real Redis, whose first bucket is sold out; `decide` presses there. */
async function dryBucket(t: ExecutionContext, own: Partial<DecisionEffects<PendingPurchase>['store']> = {}) {
  const sale: SaleDefinition = newSale({ stock: 2, buckets: 2 })
  await store.warmUp(sale)
  t.teardown(() => store.expire(sale, 0))
  const [here, there] = [bucketRef(sale, 0), bucketRef(sale, 1)]
  const first = purchaseOf('first')
  await buy(store, here, first)
  const used = { ...store, ...own }
  const looks: string[] = []
  const count = async <T>(name: string, work: Promise<T>) => {
    looks.push(name)
    return work
  }
  const decide = (mayHaveUnits = true) => {
    const { promise, resolve } = Promise.withResolvers<DecisionOutcome>()
    const decider = createDecider(
      {
        store: {
          purchase: (ref: BucketRef, purchases: readonly Purchase[]) =>
            count('purchase', used.purchase(ref, purchases)),
          rebalance: (...parameters) => count('rebalance', used.rebalance(...parameters)),
        },
        record: () => {},
        mayHaveUnits: () => mayHaveUnits,
        settle: (_pending, outcome) => resolve(outcome),
        acceptedSome: () => {},
        failed: () => {},
        endOfTurn: setImmediate,
        after: (timeoutMs, callback) => {
          const timer = setTimeout(callback, timeoutMs)
          return () => clearTimeout(timer)
        },
      },
      { ...roomy, timeoutMs: 10_000 },
    )
    decider.submit({ purchase: purchaseOf('last'), ref: here, buckets: 2, attempts: 0 })
    return promise
  }
  return { here, there, first, looks, decide }
}

test('several buckets – a unit of another bucket is fetched and sold', async (t) => {
  const { there, looks, decide } = await dryBucket(t)
  t.is((await decide()).outcome, 'accepted')
  t.deepEqual(looks, ['purchase', 'rebalance', 'purchase'])
  t.like(await snapshotOf(store, there), { left: 0, sent: 1 })
})

test('several buckets – a unit came back to the own bucket while the others were asked: sold, not "sold out"', async (t) => {
  const { here, there, first, looks, decide } = await dryBucket(t, {
    rebalance: async (...parameters) => {
      const moved = await store.rebalance(...parameters)
      t.is(moved, 0)
      t.is(await store.release(here, [first]), 1)
      return moved
    },
  })
  await buy(store, there, purchaseOf('second'))
  t.is((await decide()).outcome, 'accepted')
  t.deepEqual(looks, ['purchase', 'rebalance', 'purchase'])
  t.like(await snapshotOf(store, here), { left: 0, sold: 1 })
})

test('several buckets – "sold out" after one look elsewhere and one last look here, no more', async (t) => {
  const { there, looks, decide } = await dryBucket(t)
  await buy(store, there, purchaseOf('second'))
  t.is((await decide()).outcome, 'sold-out')
  t.deepEqual(looks, ['purchase', 'rebalance', 'purchase'])
})

test('several buckets – others take what is fetched each time: the truth of the moment after three times', async (t) => {
  const { looks, decide } = await dryBucket(t, { rebalance: async () => 1 })
  t.is((await decide()).outcome, 'sold-out')
  t.is(looks.filter((look) => look === 'rebalance').length, 3)
  t.is(looks.length, 7)
})

test('several buckets – known to have nothing: not looked for', async (t) => {
  const { looks, decide } = await dryBucket(t)
  t.is((await decide(false)).outcome, 'sold-out')
  t.deepEqual(looks, ['purchase'])
})

test('several buckets – Redis does not answer where units may be: undecided, not "sold out"', async (t) => {
  const { decide } = await dryBucket(t, { rebalance: () => Promise.reject(new Error('no answer')) })
  t.is((await decide()).outcome, 'undecided')
})
