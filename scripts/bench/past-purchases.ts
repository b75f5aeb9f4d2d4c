/**
 * Does a purchase take longer when millions were made before? The script's latency in a sale with a thousand past purchases and in one with
 * many, in turns: the machine's speed changes from minute to minute, and to fill the large sale takes minutes.
 */
import { randomBytes } from 'node:crypto'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import type { SaleStore } from '@stampede/shared/sale/types.ts'
import { median, rounded, type BenchContext, type BenchFigures } from './context.ts'

const batch = 64
const turns = 60
const samplesOfTurn = 50
const few = 1_000

type Sale = { made(): number; purchase(): Promise<unknown>; emptyOutbox(): Promise<void>; end(): Promise<void> }

async function openSale(store: SaleStore): Promise<Sale> {
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
  return {
    made: () => made,
    purchase: () =>
      store.purchase(
        bucket,
        Array.from({ length: batch }, () => ({ userId: `buyer-${made++}`, quantity: 1, orderNumber: next() })),
      ),
    /** The outbox is not what is asked about: it is emptied as the relay would. */
    emptyOutbox: async () => {
      for (;;) {
        const entries = await store.readOutbox(bucket, 'bench', 1_000)
        if (entries.length === 0) return
        await store.acknowledgeOutbox(
          bucket,
          entries.map(({ id }) => id),
        )
      }
    },
    end: async () => {
      await store.expire({ ...bucket, buckets: 1 }, 1)
    },
  }
}

async function grow(sale: Sale, wanted: number, say: (made: number) => void = () => undefined) {
  let saidAt = sale.made()
  while (sale.made() < wanted) {
    const calls = Math.min(16, Math.ceil((wanted - sale.made()) / batch))
    await Promise.all(Array.from({ length: calls }, () => sale.purchase()))
    if (sale.made() % 65_536 < 16 * batch) await sale.emptyOutbox()
    if (sale.made() - saidAt < 1_000_000) continue
    saidAt = sale.made()
    say(saidAt)
  }
  await sale.emptyOutbox()
}

async function sampleMicros(sale: Sale): Promise<number[]> {
  const micros: number[] = []
  for (let sample = 0; sample < samplesOfTurn; sample++) {
    const began = performance.now()
    await sale.purchase()
    micros.push((performance.now() - began) * 1_000)
  }
  await sale.emptyOutbox()
  return micros
}

export async function measurePastPurchases(context: BenchContext): Promise<Partial<BenchFigures>> {
  const redis = connectRedis(context.services.REDIS_URL, { commandTimeoutMs: 60_000 })
  const store = createSaleStore(redis)
  const large = await openSale(store)
  const before: number[] = []
  const after: number[] = []
  try {
    await grow(large, context.past, (made) => context.say(`past         ${made} purchases made`))
    // For the compiler.
    await sampleMicros(large)
    for (let turn = 0; turn < turns; turn++) {
      const small = await openSale(store)
      try {
        await grow(small, few)
        before.push(...(await sampleMicros(small)))
      } finally {
        await small.end()
      }
      after.push(...(await sampleMicros(large)))
    }
  } finally {
    await large.end()
    redis.disconnect()
  }
  const [beforeMicros, afterMicros] = [median(before), median(after)]
  const ratio = rounded(afterMicros / beforeMicros)
  context.record('past', { batch, samples: after.length, few, past: large.made(), beforeMicros, afterMicros, ratio })
  context.say(
    `past         ${batch} purchases take ${rounded(beforeMicros, 0)} µs after ${few}, ${rounded(afterMicros, 0)} µs after ${large.made()}: × ${ratio}`,
  )
  return { latencyRatioAfterPast: ratio, past: large.made() }
}
