/** A bucket that was lost and made again in the same Redis process: nothing restarted, so only its number of recoveries tells. */
import test from 'ava'
import { connectRedis } from '../redis/connect.ts'
import { bucketRef, newSale, press, readMessages, snapshotOf } from '../testing/sale.ts'
import { serviceAddresses } from '../testing/services.ts'
import { createJournal, type Journal } from './journal.ts'
import { bucketKeys } from './keys.ts'
import { recoverBucket, recoverUntilWhole } from './recovery.ts'
import { createSaleStore } from './redis-sale-store.ts'
import type { BucketRef, Purchase, SaleDefinition } from './types.ts'

const redis = connectRedis(serviceAddresses().redisUrl)
const store = createSaleStore(redis)
const sales: SaleDefinition[] = []
test.after.always(async () => {
  await Promise.all(sales.map((sale) => store.expire(sale, 0)))
  redis.disconnect()
})
const pause = async () => {}

async function open() {
  const sale = newSale()
  sales.push(sale)
  await store.warmUp(sale)
  return { sale, bucket: bucketRef(sale) }
}

async function buyAs(journal: Journal, bucket: BucketRef, purchase: Purchase) {
  const result = await store.purchase(bucket, [purchase])
  journal.purchased(bucket, [purchase], result)
  return result.verdicts[0]!.outcome
}

async function loseAndRebuild(sale: SaleDefinition, bucket: BucketRef): Promise<void> {
  await redis.del(Object.values(bucketKeys(bucket)))
  await store.warmUp(sale, { state: 'rebuilding' })
}

test('recovery of a rebuilt sale – a process that bought before notices by a snapshot, and restores in one round', async (t) => {
  const { sale, bucket } = await open()
  const journal = createJournal()
  const ann = press('ann')
  t.is(await buyAs(journal, bucket, ann), 'accepted')
  t.false(journal.mustReplay(bucket))
  await loseAndRebuild(sale, bucket)
  const rebuilt = await snapshotOf(store, bucket)
  t.like(rebuilt, { whole: true, sold: 0, state: 'rebuilding' })
  journal.observed(bucket, rebuilt)
  t.true(journal.mustReplay(bucket))
  t.deepEqual(await recoverBucket(store, bucket, journal, 60_000), { restored: 1, whole: true })
  t.false(journal.mustReplay(bucket))
  t.like(await snapshotOf(store, bucket), { sold: 1, left: 9 })
  t.deepEqual(await readMessages(store, bucket), [{ userId: 'ann', quantity: 1, orderNumber: ann.orderNumber }])
})

test('recovery of a rebuilt sale – a process that did not look meanwhile notices by its next purchase', async (t) => {
  const { sale, bucket } = await open()
  const journal = createJournal()
  await buyAs(journal, bucket, press('ann'))
  await loseAndRebuild(sale, bucket)
  await store.setState(bucket, 'open', { rebuilt: true })
  t.is(await buyAs(journal, bucket, press('bob')), 'accepted')
  t.true(journal.mustReplay(bucket))
  t.deepEqual(await recoverBucket(store, bucket, journal, 60_000), { restored: 1, whole: true })
  t.like(await snapshotOf(store, bucket), { sold: 2, left: 8 })
})

test('recovery of a rebuilt sale – what it lost is known also when it is lost a second time', async (t) => {
  const { sale, bucket } = await open()
  const journal = createJournal()
  await buyAs(journal, bucket, press('ann'))
  await loseAndRebuild(sale, bucket)
  journal.observed(bucket, await snapshotOf(store, bucket))
  await recoverBucket(store, bucket, journal, 60_000)
  // The number is the time of the rebuild: another one has another number.
  const { recoveries } = await snapshotOf(store, bucket)
  while (Date.now() <= recoveries) await new Promise(setImmediate)
  await loseAndRebuild(sale, bucket)
  journal.observed(bucket, await snapshotOf(store, bucket))
  t.true(journal.mustReplay(bucket))
  t.deepEqual(await recoverBucket(store, bucket, journal, 60_000), { restored: 1, whole: true })
})

test('recovery – the sale is lost and made again while a round runs: not whole, and the next round restores it', async (t) => {
  const { sale, bucket } = await open()
  const journal = createJournal()
  await buyAs(journal, bucket, press('ann'))
  let losses = 1
  const losing = {
    ...store,
    restore: async (...parameters: Parameters<typeof store.restore>) => {
      const restored = await store.restore(...parameters)
      if (losses-- > 0) await loseAndRebuild(sale, bucket)
      return restored
    },
  }
  t.deepEqual(await recoverBucket(losing, bucket, journal, 60_000), { restored: 0, whole: false })
  t.is((await snapshotOf(store, bucket)).sold, 0)
  t.deepEqual(await recoverUntilWhole(losing, bucket, journal, { graceMs: 60_000, pause }), {
    restored: 1,
    whole: true,
  })
  t.is((await snapshotOf(store, bucket)).sold, 1)
})

test('recovery – the sale is not made again: given up after the rounds, and the journal is kept', async (t) => {
  const { sale, bucket } = await open()
  const journal = createJournal()
  await buyAs(journal, bucket, press('ann'))
  await redis.del(Object.values(bucketKeys(bucket)))
  let pauses = 0
  const counting = async () => void pauses++
  t.deepEqual(await recoverUntilWhole(store, bucket, journal, { pause: counting, maximumRounds: 3 }), {
    restored: 0,
    whole: false,
  })
  t.is(pauses, 2)
  await store.warmUp(sale, { state: 'rebuilding' })
  t.deepEqual(await recoverUntilWhole(store, bucket, journal, { pause }), { restored: 1, whole: true })
})

test('warm-up for the first time – looks to a process like any sale: nothing to restore', async (t) => {
  const { bucket } = await open()
  const journal = createJournal()
  await buyAs(journal, bucket, press('ann'))
  journal.observed(bucket, await snapshotOf(store, bucket))
  t.false(journal.mustReplay(bucket))
  t.is((await snapshotOf(store, bucket)).recoveries, 0)
})
