import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { bucketKeys } from '@stampede/shared/sale/keys.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { bucketRef, newSale, snapshotOf } from '@stampede/shared/testing/sale.ts'
import { serviceAddresses } from '@stampede/shared/testing/services.ts'
import { createSaleMemory } from './sale-memory.ts'

const redis = connectRedis(serviceAddresses().redisUrl)
const store = createSaleStore(redis)
test.after.always(() => redis.disconnect())

const silent = { info: () => {}, warn: () => {}, error: () => {} }

test('sale memory – stopping ends a recovery that waits for its grace period, and none begins after', async (t) => {
  const sale = newSale()
  const bucket = bucketRef(sale)
  await store.warmUp(sale)
  t.teardown(() => store.expire(sale, 0))
  await redis.hset(bucketKeys(bucket).sale, 'run', 'another')
  const asked = Promise.withResolvers<void>()
  const memory = createSaleMemory({
    store: { ...store, recover: (...request) => store.recover(...request).finally(asked.resolve) },
    graceMs: 600_000,
    log: silent,
  })
  const restarted = await snapshotOf(store, bucket)
  t.false(restarted.whole)
  memory.observed(bucket, restarted)
  await asked.promise
  // From the answer of Redis to the pause there is nothing but promises.
  await new Promise((resolve) => setImmediate(resolve))
  t.is(memory.recovering(), 1)
  memory.stop()
  while (memory.recovering() > 0) await sleep(5)
  memory.observed(bucket, restarted)
  t.is(memory.recovering(), 0)
  t.false((await snapshotOf(store, bucket)).whole)
})
