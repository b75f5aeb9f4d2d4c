/** Does a purchase take longer when millions were made before? The script's latency with 1,000 and with many past purchases. */
/* eslint-disable no-unmodified-loop-condition -- counted up in callbacks */
import { randomBytes } from 'node:crypto'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { median, rounded, type BenchContext, type BenchFigures } from './context.ts'

const batch = 64
const samples = 2_000
const few = 1_000

export async function measurePastPurchases(context: BenchContext): Promise<Partial<BenchFigures>> {
  const redis = connectRedis(context.services.REDIS_URL, { commandTimeoutMs: 60_000 })
  const store = createSaleStore(redis)
  const next = orderNumbers()
  const bucket = { tenantId: 'bench', activityId: `past-${randomBytes(6).toString('hex')}`, bucket: 0 }
  await store.warmUp({
    ...bucket,
    stock: 1_000_000_000,
    perUserLimit: 1,
    buckets: 1,
    startsAtMs: 0,
    endsAtMs: Date.now() + 3_600_000,
  })
  let made = 0
  const purchase = () =>
    store.purchase(
      bucket,
      Array.from({ length: batch }, () => ({ userId: `buyer-${made++}`, quantity: 1, orderNumber: next() })),
    )
  /** The outbox is not what is asked about: it is emptied as the relay would. */
  const empty = async () => {
    for (;;) {
      const entries = await store.readOutbox(bucket, 'bench', 1_000)
      if (entries.length === 0) return
      await store.acknowledgeOutbox(
        bucket,
        entries.map(({ id }) => id),
      )
    }
  }
  const grow = async (wanted: number) => {
    let saidAt = made
    while (made < wanted) {
      await Promise.all(Array.from({ length: 16 }, purchase))
      if (made % 65_536 < 16 * batch) await empty()
      if (made - saidAt < 1_000_000) continue
      saidAt = made
      context.say(`past         ${made} purchases made`)
    }
    await empty()
  }
  const latency = async (): Promise<number> => {
    const micros: number[] = []
    for (let sample = 0; sample < samples; sample++) {
      const began = performance.now()
      await purchase()
      micros.push((performance.now() - began) * 1_000)
    }
    await empty()
    return median(micros)
  }
  try {
    await grow(few)
    // For the compiler.
    await latency()
    const before = await latency()
    await grow(context.past)
    const after = await latency()
    const ratio = rounded(after / before)
    context.record('past', { batch, past: made, beforeMicros: before, afterMicros: after, ratio })
    context.say(
      `past         ${batch} purchases take ${rounded(before, 0)} µs at first, ${rounded(after, 0)} µs after ${made}: × ${ratio}`,
    )
    return { latencyRatioAfterPast: ratio, past: made }
  } finally {
    await store.expire({ ...bucket, buckets: 1 }, 1)
    redis.disconnect()
  }
}
