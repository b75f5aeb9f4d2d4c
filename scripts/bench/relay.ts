/** Relay alone: an outbox that is full beforehand, moved to Kafka with acknowledgements of all replicas. */
/* eslint-disable no-unmodified-loop-condition -- counted up in callbacks */
import { randomBytes } from 'node:crypto'
import { Registry } from 'prom-client'
import { createKafka } from '@stampede/shared/kafka/connect.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { createCounters } from '../../functions/seckill/counters.ts'
import { startRelay } from '../../functions/seckill/relay-loop.ts'
import { createKafkaSender } from '../../functions/seckill/send-to-kafka.ts'
import { median, rounded, type BenchContext, type BenchFigures } from './context.ts'

const purchasesEach = 64
const limitMs = 120_000
const silent = { warn: () => {}, error: () => {} }

export async function measureRelay(context: BenchContext): Promise<Partial<BenchFigures>> {
  const redis = connectRedis(context.services.REDIS_URL)
  const store = createSaleStore(redis)
  const kafka = createKafka({ brokers: context.services.KAFKA_BROKERS.split(','), clientId: 'bench' })
  const topic = `bench-${randomBytes(4).toString('hex')}`
  const sender = createKafkaSender(kafka, { topic, partitions: 8, replicationFactor: 1 })
  const perSecond: number[] = []
  const cpuMicros: number[] = []
  try {
    for (let round = 0; round <= context.rounds; round++) {
      const bucket = { tenantId: 'bench', activityId: `relay-${randomBytes(6).toString('hex')}`, bucket: 0 }
      const count = await fill(store, bucket, round === 0 ? 10_000 : context.purchases)
      const { promise: done, resolve } = Promise.withResolvers<void>()
      let left = count
      const cpu = process.cpuUsage()
      const began = performance.now()
      const relay = startRelay({
        store: { ...store, listSales: async () => [] },
        leaving: () => {},
        send: sender.send,
        consumer: 'bench',
        shards: 8,
        batchPurchases: 1_000,
        claimIdleMs: 60_000,
        lingerMaxMs: 0,
        lingerMs: 0,
        sweepMs: 3_600_000,
        delivered: (_bucket, purchases) => {
          left -= purchases.length
          if (left <= 0) resolve()
        },
        counters: createCounters(new Registry()),
        log: silent,
      })
      relay.wake(bucket)
      await withinLimit(done, () => left)
      const seconds = (performance.now() - began) / 1_000
      const { user, system } = process.cpuUsage(cpu)
      await relay.drain(5_000)
      await store.expire({ ...bucket, buckets: 1 }, 1)
      // The first round is for the compiler and the connection.
      if (round === 0) continue
      perSecond.push(count / seconds)
      cpuMicros.push((user + system) / count)
      context.record('relay', { round, purchases: count, seconds })
      context.say(`relay        round ${round}: ${Math.round(count / seconds)} purchases/s to Kafka`)
    }
  } finally {
    await sender.stop()
    redis.disconnect()
  }
  return { perSecond: { relay: rounded(median(perSecond), 0) }, cpuMicros: { relay: rounded(median(cpuMicros), 1) } }
}

/** Another process that relays from the same Redis would take entries away, and the wait would have no end. */
async function withinLimit(done: Promise<void>, left: () => number): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => reject(new Error(`${left()} purchases did not come through this relay; does another one use this Redis?`)),
    limitMs,
  )
  await Promise.race([done, late]).finally(() => clearTimeout(timer))
}

async function fill(
  store: ReturnType<typeof createSaleStore>,
  bucket: { tenantId: string; activityId: string; bucket: number },
  wanted: number,
): Promise<number> {
  const next = orderNumbers()
  await store.warmUp({
    ...bucket,
    stock: 100_000_000,
    perUserLimit: 1,
    buckets: 1,
    startsAtMs: 0,
    endsAtMs: Date.now() + 3_600_000,
  })
  let count = 0
  while (count < wanted) {
    const calls = Array.from({ length: 16 }, () =>
      store.purchase(
        bucket,
        Array.from({ length: purchasesEach }, () => ({ userId: `buyer-${count++}`, quantity: 1, orderNumber: next() })),
      ),
    )
    await Promise.all(calls)
  }
  return count
}
