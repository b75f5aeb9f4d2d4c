/** Redis is killed, forgets its last operations, and starts again: the journals of the processes make it whole. */
import { readdir, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { connectRedis } from '../redis/connect.ts'
import { bucketRef, newSale, press, readMessages, snapshotOf } from '../testing/sale.ts'
import { startRedis, type OwnRedis } from '../testing/services.ts'
import { createJournal, type Journal } from './journal.ts'
import { recoverBucket, recoverUntilWhole } from './recovery.ts'
import { createSaleStore } from './redis-sale-store.ts'
import type { BucketRef, Purchase, SaleStore } from './types.ts'

const graceMs = 200
const pause = (durationMs: number) => new Promise<void>((resolve) => setTimeout(resolve, durationMs))

async function ownStore(t: ExecutionContext) {
  // `always`, so that a test knows what the file holds: with `everysec` Redis also writes late while the disk is busy.
  const server = await startRedis({ appendonly: true, args: ['--appendfsync', 'always'] })
  const redis = connectRedis(server.url)
  t.teardown(async () => {
    redis.disconnect()
    await server.stop()
  })
  return { server, redis, store: createSaleStore(redis) }
}

/** Size of the append-only file now: Redis writes it before it answers. */
async function tail(server: OwnRedis): Promise<{ path: string; size: number }> {
  const folder = join(server.directory, 'appendonlydir')
  const name = (await readdir(folder)).find((file) => file.endsWith('.incr.aof'))!
  const path = join(folder, name)
  return { path, size: (await stat(path)).size }
}

async function crash(server: OwnRedis, forgetAfter: { path: string; size: number }): Promise<void> {
  await server.kill('SIGKILL')
  await truncate(forgetAfter.path, forgetAfter.size)
  await server.restart()
}

async function buyAs(store: SaleStore, journal: Journal, bucket: BucketRef, purchases: Purchase[]) {
  const result = await store.purchase(bucket, purchases)
  journal.purchased(bucket, purchases, result)
  return result.verdicts.map(({ outcome }) => outcome)
}

test('restart with a lost tail – recovering, restored from the journals, whole, and the totals are exact', async (t) => {
  const { server, store } = await ownStore(t)
  const sale = newSale({ stock: 20, perUserLimit: 2 })
  const bucket = bucketRef(sale)
  await store.warmUp(sale)
  const [one, two] = [createJournal(), createJournal()]
  const kept = [press('ann', 2), press('bob')]
  await buyAs(store, one, bucket, kept)
  const before = await tail(server)
  const lost = [press('cid', 2, 'key-1'), press('dan')]
  await buyAs(store, one, bucket, [lost[0]!])
  await buyAs(store, two, bucket, [lost[1]!])
  await store.release(bucket, [kept[0]!])
  two.released(bucket, [kept[0]!])
  t.like(await snapshotOf(store, bucket), { left: 16, sold: 4 })

  await crash(server, before)
  t.like(await snapshotOf(store, bucket), { left: 17, sold: 3, whole: false, recoveries: 0 })
  t.deepEqual(await buyAs(store, one, bucket, [press('eve')]), ['recovering'])
  t.true(one.mustReplay(bucket))

  t.deepEqual(await recoverBucket(store, bucket, one, graceMs), { restored: 1, whole: false })
  t.deepEqual(await recoverBucket(store, bucket, two, graceMs), { restored: 2, whole: false })
  t.deepEqual(await buyAs(store, one, bucket, [press('eve')]), ['recovering'])
  t.deepEqual(await recoverUntilWhole(store, bucket, one, { graceMs, pause }), { restored: 0, whole: true })

  t.false(one.mustReplay(bucket))
  t.like(await snapshotOf(store, bucket), { left: 16, sold: 4, whole: true, recoveries: 1 })
  t.deepEqual(await buyAs(store, one, bucket, [press('cid', 1, 'key-1'), press('eve')]), ['replayed', 'accepted'])
  const messages = (await readMessages(store, bucket)).map(({ orderNumber }) => orderNumber)
  for (const { orderNumber } of [...kept, ...lost]) t.true(messages.includes(orderNumber))
})

test('restart – confirmations are restored after the purchases of all processes, also of orders another process accepted', async (t) => {
  const { server, store } = await ownStore(t)
  const sale = newSale({ stock: 20 })
  const bucket = bucketRef(sale)
  await store.warmUp(sale)
  const [seller, confirmer] = [createJournal(), createJournal()]
  const before = await tail(server)
  const [ann, bob] = [press('ann'), press('bob')]
  await buyAs(store, seller, bucket, [ann, bob])
  await store.confirm(bucket, [ann])
  confirmer.confirmed(bucket, [ann])
  await crash(server, before)
  // Comes while Redis does not know of the purchase.
  t.is(await store.confirm(bucket, [bob]), 0)
  confirmer.confirmed(bucket, [bob])

  t.deepEqual(await recoverBucket(store, bucket, confirmer, graceMs), { restored: 0, whole: false })
  t.deepEqual(await recoverBucket(store, bucket, seller, graceMs), { restored: 2, whole: false })
  t.like(await recoverUntilWhole(store, bucket, confirmer, { graceMs, pause }), { whole: true })
  t.like(await snapshotOf(store, bucket), { sold: 2, confirmed: 2 })
})

test('restart – a process that slept through the recovery notices it by the next answer, and is not late', async (t) => {
  const { server, store } = await ownStore(t)
  const sale = newSale({ stock: 20 })
  const bucket = bucketRef(sale)
  await store.warmUp(sale)
  let nowMs = 0
  const [awake, asleep] = [createJournal(), createJournal({ now: () => nowMs })]
  await buyAs(store, awake, bucket, [press('ann')])
  const before = await tail(server)
  await buyAs(store, asleep, bucket, [press('bob')])
  await crash(server, before)
  await recoverUntilWhole(store, bucket, awake, { graceMs, pause })
  t.is((await snapshotOf(store, bucket)).sold, 1)

  nowMs += 60_000
  t.deepEqual(await buyAs(store, asleep, bucket, [press('cid')]), ['accepted'])
  t.true(asleep.mustReplay(bucket))
  t.deepEqual(await recoverBucket(store, bucket, asleep, graceMs), { restored: 1, whole: true })
  t.false(asleep.mustReplay(bucket))
  t.like(await snapshotOf(store, bucket), { sold: 3, left: 17 })
})

test('restart – a second one within the grace period begins it again', async (t) => {
  const { server, store } = await ownStore(t)
  const sale = newSale()
  const bucket = bucketRef(sale)
  await store.warmUp(sale)
  const journal = createJournal()
  const before = await tail(server)
  await buyAs(store, journal, bucket, [press('ann')])
  await crash(server, before)
  t.false(await store.recover(bucket, graceMs))
  await crash(server, await tail(server))
  await pause(graceMs)
  t.false(await store.recover(bucket, graceMs))
  t.deepEqual(await recoverUntilWhole(store, bucket, journal, { graceMs, pause }), { restored: 1, whole: true })
  t.like(await snapshotOf(store, bucket), { recoveries: 1, sold: 1 })
})

test('restart with nothing lost – recovers without a journal, and no purchase is applied twice', async (t) => {
  const { server, store } = await ownStore(t)
  const sale = newSale()
  const bucket = bucketRef(sale)
  await store.warmUp(sale)
  const journal = createJournal()
  await buyAs(store, journal, bucket, [press('ann')])
  await crash(server, await tail(server))
  t.deepEqual(await recoverUntilWhole(store, bucket, journal, { graceMs, pause }), { restored: 0, whole: true })
  t.like(await snapshotOf(store, bucket), { sold: 1, outboxLength: 1 })
  t.false(await store.recover(bucketRef(newSale()), 0))
})

test('restart of a Redis that forgot everything – not whole until the sale is made again, then the journal is restored', async (t) => {
  const { server, redis, store } = await ownStore(t)
  const sale = newSale()
  const bucket = bucketRef(sale)
  await store.warmUp(sale)
  const journal = createJournal()
  await buyAs(store, journal, bucket, [press('ann')])
  await server.kill('SIGKILL')
  await truncate((await tail(server)).path, 0)
  await server.restart()
  t.deepEqual(await buyAs(store, journal, bucket, [press('bob')]), ['unknown-activity'])
  t.deepEqual(await recoverBucket(store, bucket, journal, graceMs), { restored: 0, whole: false })
  await store.warmUp(sale, { state: 'rebuilding' })
  t.deepEqual(await buyAs(store, journal, bucket, [press('bob')]), ['recovering'])
  t.deepEqual(await recoverBucket(store, bucket, journal, graceMs), { restored: 1, whole: true })
  await store.setState(bucket, 'open', { rebuilt: true })
  t.deepEqual(await buyAs(store, journal, bucket, [press('ann'), press('bob')]), ['duplicate', 'accepted'])
  t.is(await redis.dbsize(), 4)
})

test('restart of a donor that forgot a transfer – the units that the receiver has are taken from it again', async (t) => {
  // Two buckets on one server lose the same tail; what a second server would have kept is put back by hand.
  const { server, redis, store } = await ownStore(t)
  const sale = newSale({ stock: 20, buckets: 2 })
  const [to, from] = [bucketRef(sale, 0), bucketRef(sale, 1)]
  await store.warmUp(sale)
  t.is(await store.rebalance(to, 2, 2), 5)
  const before = await tail(server)
  t.is(await store.rebalance(to, 2, 3), 3)
  const receiverKeys = (await redis.keys(`*{${to.tenantId}:${to.activityId}:0}*`)).sort()
  const receiver = await Promise.all(receiverKeys.map((key) => redis.dumpBuffer(key)))
  await crash(server, before)
  await Promise.all(receiverKeys.map((key, i) => redis.restore(key, 0, receiver[i]!, 'REPLACE')))
  t.is((await snapshotOf(store, from)).left + (await snapshotOf(store, to)).left, 23)

  await recoverUntilWhole(store, from, createJournal(), { graceMs, pause })
  t.like(await snapshotOf(store, from), { left: 2, sent: 8, whole: true })
  t.like(await snapshotOf(store, to), { left: 18, received: 8 })
  // New transfers do not take the number of one that the receiver knows.
  t.is(await store.rebalance(to, 2, 2), 2)
  t.is((await snapshotOf(store, to)).left, 20)
})

test('restart that forgot both halves of a transfer and what was sold of it – nothing of it is sold again', async (t) => {
  const { server, redis } = await ownStore(t)
  const journal = createJournal()
  const store = createSaleStore(redis, { transferred: (...known) => journal.transferred(...known) })
  const sale = newSale({ stock: 2, buckets: 2 })
  const [to, from] = [bucketRef(sale, 0), bucketRef(sale, 1)]
  await store.warmUp(sale)
  const before = await tail(server)
  t.deepEqual(await buyAs(store, journal, to, [press('ann')]), ['accepted'])
  t.is(await store.rebalance(to, 2, 1), 1)
  t.deepEqual(await buyAs(store, journal, to, [press('bob')]), ['accepted'])
  await crash(server, before)
  t.is((await snapshotOf(store, from)).left, 1)

  t.like(await recoverUntilWhole(store, from, journal, { graceMs, pause }), { restored: 1, whole: true })
  t.deepEqual(await buyAs(store, journal, from, [press('cid')]), ['sold-out'])
  t.like(await recoverUntilWhole(store, to, journal, { graceMs, pause }), { restored: 3, whole: true })
  t.like(await snapshotOf(store, to), { left: 0, sold: 2, received: 1 })
  t.like(await snapshotOf(store, from), { left: 0, sold: 0, sent: 1 })
})
