/** What the tests of the relay share: sales whose purchases wait in the outbox, in a Redis that no other process relays from. */
import { Registry } from 'prom-client'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import type { BucketRef } from '@stampede/shared/sale/types.ts'
import { startRedis } from '@stampede/shared/testing/services.ts'
import { createCounters } from './counters.ts'
import type { RelayLoopOptions } from './relay-loop.ts'
import type { RelayMessage, RelayOptions } from './relay.ts'
import { randomId } from './testing.ts'

export const nextNumber = orderNumbers()
export const leaving = () => undefined
export const options: RelayOptions = { consumer: 'one', shards: 4, batchPurchases: 100, claimIdleMs: 5_000 }
const silent = { warn: () => {}, error: () => {} }

export const numbersOf = (messages: readonly RelayMessage[]): string[] =>
  messages.flatMap(({ data }) => data.purchases.map(({ orderNumber }) => orderNumber))

export async function startOutboxes() {
  // An own Redis: any other process that relays would take these purchases away.
  const server = await startRedis()
  const redis = connectRedis(server.url)
  const store = createSaleStore(redis)
  return {
    store,
    /** A sale with one outbox entry for each call of so many purchases. */
    saleWith: async (calls: number, purchasesEach: number) => {
      const bucket = { tenantId: randomId('tenant'), activityId: randomId('activity'), bucket: 0 }
      await store.warmUp({
        ...bucket,
        stock: 100_000,
        perUserLimit: 1,
        buckets: 1,
        startsAtMs: 0,
        endsAtMs: Date.now() + 600_000,
      })
      const accepted: string[] = []
      for (let call = 0; call < calls; call++) {
        const purchases = Array.from({ length: purchasesEach }, (_, index) => ({
          userId: `user-${call}-${index}`,
          quantity: 1,
          orderNumber: nextNumber(),
        }))
        const { verdicts } = await store.purchase(bucket, purchases)
        for (const verdict of verdicts) if (verdict.outcome === 'accepted') accepted.push(verdict.orderNumber)
      }
      const press = (userId: string) => store.purchase(bucket, [{ userId, quantity: 1, orderNumber: nextNumber() }])
      return { bucket, accepted, press }
    },
    outboxLength: async (bucket: BucketRef) => (await store.snapshot(bucket))?.outboxLength,
    loopOptions: (send: RelayLoopOptions['send'], consumer: string): RelayLoopOptions => ({
      ...options,
      consumer,
      // No sweep: the tests share this Redis.
      store: { ...store, listSales: async () => [] },
      leaving,
      send,
      log: silent,
      counters: createCounters(new Registry()),
      lingerMs: 1,
      lingerMaxMs: 1,
      sweepMs: 60_000,
    }),
    stop: async () => {
      redis.disconnect()
      await server.stop()
    },
  }
}
