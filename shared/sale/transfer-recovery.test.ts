/**
 * Redis forgets transfers between buckets. On a Cluster the buckets are on different nodes and lose different tails: here each bucket alone is put
 * back to what it was, and looks as after a restart of its Redis.
 */
import test, { type ExecutionContext } from 'ava'
import type { Redis } from 'ioredis'
import { connectRedis } from '../redis/connect.ts'
import { bucketRef, bucketRefs, newSale, snapshotOf } from '../testing/sale.ts'
import { serviceAddresses } from '../testing/services.ts'
import { createJournal } from './journal.ts'
import { bucketKeys } from './keys.ts'
import { recoverUntilWhole } from './recovery.ts'
import { createSaleStore } from './redis-sale-store.ts'
import type { BucketRef, Transfer } from './types.ts'

const graceMs = 50
const pause = (durationMs: number) => new Promise<void>((resolve) => setTimeout(resolve, durationMs))

/** A sale of 20 units in two buckets, and a process with its journal. Transfers go from bucket 1 to bucket 0. */
async function start(t: ExecutionContext) {
  const redis = connectRedis(serviceAddresses().redisUrl) as Redis
  const sale = newSale({ stock: 20, buckets: 2 })
  const newProcess = () => {
    const journal = createJournal()
    const transfers: Transfer[] = []
    const store = createSaleStore(redis, {
      transferred: (donor, transfer, recoveries) => {
        transfers.push(transfer)
        journal.transferred(donor, transfer, recoveries)
      },
    })
    const recover = (bucket: BucketRef) => recoverUntilWhole(store, bucket, journal, { graceMs, pause })
    return { journal, store, transfers, recover }
  }
  const mover = newProcess()
  await mover.store.warmUp(sale)
  t.teardown(async () => {
    await mover.store.expire(sale, 1)
    redis.disconnect()
  })
  const [to, from] = [bucketRef(sale, 0), bucketRef(sale, 1)]

  /** What the bucket holds now; call it to put the bucket back to this in a restarted Redis. */
  const remember = async (bucket: BucketRef) => {
    const keys = Object.values(bucketKeys(bucket))
    const values = await Promise.all(keys.map((key) => redis.dumpBuffer(key)))
    return async () => {
      for (const [i, key] of keys.entries()) {
        const value = values[i]
        if (value) await redis.restore(key, 0, value, 'REPLACE')
        else await redis.del(key)
      }
      await redis.hset(bucketKeys(bucket).sale, 'run', 'former')
    }
  }
  /** Units in the buckets, and those written down at the donor that the receiver does not have. */
  const unitsOf = async () => {
    let units = 0
    for (const bucket of bucketRefs(sale)) {
      const { left, sold, received, sent, total } = await snapshotOf(mover.store, bucket)
      t.is(left + sold, total + received - sent)
      units += left + sold
    }
    const there = await redis.hgetall(bucketKeys(to).received)
    for (const [sequence, record] of Object.entries(await redis.hgetall(bucketKeys(from).transfers))) {
      if (there[`1:${sequence}`] === undefined) units += Number(record.split(':')[1])
    }
    return units
  }
  const isWhole = async (expected: { from: number; to: number }) => {
    t.like(await snapshotOf(mover.store, from), { left: expected.from, whole: true })
    t.like(await snapshotOf(mover.store, to), { left: expected.to, whole: true })
    t.is(expected.from + expected.to, 20)
    t.is(await unitsOf(), 20)
    t.is(await mover.store.finishTransfers(from), 0)
  }
  return { redis, sale, to, from, mover, newProcess, remember, unitsOf, isWhole }
}

for (const first of ['donor', 'receiver'] as const) {
  test(`transfer that both buckets forgot – repeated from the journal, once, the ${first} first`, async (t) => {
    const { to, from, mover, remember, unitsOf, isWhole } = await start(t)
    const forget = [await remember(from), await remember(to)]
    t.is(await mover.store.rebalance(to, 2, 2), 5)
    for (const forgetOne of forget) await forgetOne()
    t.is((await snapshotOf(mover.store, from)).left, 10)

    const order = first === 'donor' ? [from, to] : [to, from]
    for (const bucket of order) {
      t.like(await mover.recover(bucket), { whole: true })
      t.is(await unitsOf(), 20)
    }
    await isWhole({ from: 5, to: 15 })
    for (const bucket of order) t.deepEqual(await mover.recover(bucket), { restored: 0, whole: true })
    await isWhole({ from: 5, to: 15 })
  })
}

test('transfer that only the donor forgot – taken from it again, before the grace period ends', async (t) => {
  const { to, from, mover, remember, isWhole } = await start(t)
  const forget = await remember(from)
  await mover.store.rebalance(to, 2, 2)
  await forget()
  t.deepEqual(await mover.store.restoreTransfers(from, mover.transfers), { restored: 1, complete: true })
  t.deepEqual(await mover.store.restoreTransfers(from, mover.transfers), { restored: 0, complete: true })
  t.like(await snapshotOf(mover.store, from), { left: 5, sent: 5, whole: false })
  t.like(await mover.recover(from), { whole: true })
  await isWhole({ from: 5, to: 15 })
})

test('transfer that only the receiver forgot – added again from the journal, once', async (t) => {
  const { to, from, mover, redis, remember, isWhole } = await start(t)
  const forget = await remember(to)
  await mover.store.rebalance(to, 2, 2)
  // So old that the donor has deleted its record: nobody else could finish it.
  await redis.del(bucketKeys(from).transfers)
  await forget()
  t.deepEqual(await mover.recover(to), { restored: 1, whole: true })
  await isWhole({ from: 5, to: 15 })
  t.deepEqual(await mover.store.restoreTransfers(to, mover.transfers), { restored: 0, complete: true })
  await isWhole({ from: 5, to: 15 })
})

test('transfers of two processes – repeated in any order, and only those that were forgotten', async (t) => {
  const { to, from, mover, newProcess, remember, isWhole } = await start(t)
  const other = newProcess()
  await mover.store.rebalance(to, 2, 2)
  const forget = [await remember(from), await remember(to)]
  t.is(await mover.store.rebalance(to, 2, 1), 2)
  t.is(await other.store.rebalance(to, 2, 1), 1)
  for (const forgetOne of forget) await forgetOne()
  // The newer one first: the older one must not be taken for known.
  t.deepEqual(await other.store.restoreTransfers(from, other.transfers), { restored: 1, complete: true })
  t.deepEqual(await mover.store.restoreTransfers(from, mover.transfers), { restored: 1, complete: true })
  for (const bucket of [from, to]) t.like(await mover.recover(bucket), { whole: true })
  for (const bucket of [from, to]) t.like(await other.recover(bucket), { whole: true })
  await isWhole({ from: 2, to: 18 })
})

test('transfer of a process that slept through the recovery – is not taken for a new one, and repeated late', async (t) => {
  const { to, from, mover, newProcess, remember, isWhole } = await start(t)
  const asleep = newProcess()
  const forget = [await remember(from), await remember(to)]
  await asleep.store.rebalance(to, 2, 2)
  for (const forgetOne of forget) await forgetOne()
  for (const bucket of [from, to]) await mover.recover(bucket)
  await isWhole({ from: 10, to: 10 })
  t.is(await mover.store.rebalance(to, 2, 6), 6)
  t.not(mover.transfers[0]!.sequence, asleep.transfers[0]!.sequence)

  asleep.journal.observed(from, await snapshotOf(asleep.store, from))
  t.true(asleep.journal.mustReplay(from))
  t.deepEqual(await asleep.recover(from), { restored: 1, whole: true })
  t.like(await asleep.recover(to), { restored: 1, whole: true })
  // Units that were moved twice: the donor owes one, and gets it from the others.
  await isWhole({ from: -1, to: 21 })
})

test('transfer whose process died – the receiver knows it, and the donor does not sell its units', async (t) => {
  const { to, from, mover, newProcess, redis, remember, isWhole } = await start(t)
  const forget = await remember(from)
  await mover.store.rebalance(to, 2, 2)
  await forget()
  const other = newProcess()
  t.like(await other.recover(from), { whole: true })
  t.is(await redis.hlen(bucketKeys(from).transfers), 1)
  await isWhole({ from: 5, to: 15 })
  // Who comes later with the same transfer changes nothing.
  t.like(await mover.recover(from), { restored: 0 })
  await isWhole({ from: 5, to: 15 })
})

test('transfer whose process died between repeating the halves – another process finishes it', async (t) => {
  const { to, from, mover, newProcess, remember, unitsOf, isWhole } = await start(t)
  const forget = [await remember(from), await remember(to)]
  await mover.store.rebalance(to, 2, 2)
  for (const forgetOne of forget) await forgetOne()
  await mover.store.restoreTransfers(from, mover.transfers)
  const other = newProcess()
  for (const bucket of [to, from]) t.like(await other.recover(bucket), { restored: 0, whole: true })
  t.is(await unitsOf(), 20)
  t.is(await other.store.finishTransfers(from), 1)
  await isWhole({ from: 5, to: 15 })
})

test('transfer that another process finished – it remembers both halves, too', async (t) => {
  const { to, from, newProcess, redis, remember, isWhole } = await start(t)
  const forget = [await remember(from), await remember(to)]
  // The mover dies between the halves.
  await redis.hincrby(bucketKeys(from).sale, 'left', -3)
  await redis.hincrby(bucketKeys(from).sale, 'sent', 3)
  await redis.hincrby(bucketKeys(from).sale, 'transfers', 1)
  await redis.hset(bucketKeys(from).transfers, '1', `0:3:${Date.now()}`)
  const other = newProcess()
  t.is(await other.store.finishTransfers(from), 1)
  for (const forgetOne of forget) await forgetOne()
  for (const bucket of [to, from]) t.like(await other.recover(bucket), { whole: true })
  await isWhole({ from: 7, to: 13 })
})

test('receiver whose donor does not exist at the moment – nothing is added, the journal is kept until it does', async (t) => {
  const { sale, to, from, mover, redis, remember, unitsOf } = await start(t)
  const forget = await remember(to)
  await mover.store.rebalance(to, 2, 2)
  await forget()
  await redis.del(Object.values(bucketKeys(from)))
  mover.journal.observed(to, await snapshotOf(mover.store, to))
  const round = () =>
    recoverUntilWhole(mover.store, to, mover.journal, { graceMs: 0, pause: () => Promise.resolve(), maximumRounds: 3 })
  t.deepEqual(await round(), { restored: 0, whole: false })
  t.true(mover.journal.mustReplay(to))
  t.like(await snapshotOf(mover.store, to), { left: 10, whole: true })

  // Made again, it gets all of its units; what it gave away is taken from it before it is added here.
  await mover.store.warmUp(sale, { state: 'rebuilding' })
  t.like(await round(), { restored: 1, whole: true })
  t.is(await unitsOf(), 20)
  t.like(await snapshotOf(mover.store, from), { left: 5 })
  t.like(await snapshotOf(mover.store, to), { left: 15 })
})
