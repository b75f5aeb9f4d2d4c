/** A sale in a real Redis and the orders of it in memory, for tests of the comparison. */
import { setTimeout as sleep } from 'node:timers/promises'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { bucketOf } from '@stampede/shared/sale/bucket.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { bucketKeys } from '@stampede/shared/sale/keys.ts'
import type { SaleDefinition } from '@stampede/shared/sale/types.ts'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { newSale } from '@stampede/shared/testing/sale.ts'
import type { OrderFact } from './plan-repairs.ts'
import type { BucketEffects, OrderLine } from './reconcile-bucket.ts'
import type { RebuildEffects } from './rebuild-sale.ts'
import type { SaleEffects } from './reconcile-sale.ts'

export type Held = Awaited<ReturnType<typeof holdSale>>

const twoMinutesMs = 120_000

/** Orders come in pages of two unless said otherwise, so that pages matter. */
export async function holdSale(redisUrl: string, overrides: Partial<SaleDefinition> = {}, orderPageSize = 2) {
  const sale = newSale({ stock: 20, ...overrides })
  const redis = connectRedis(redisUrl)
  const store = createSaleStore(redis)
  await store.warmUp(sale)
  /** Order's memory. */
  const orders = new Map<string, OrderLine>()
  const resends = new Map<string, number>()
  const oldNumber = orderNumbers(() => Date.now() - twoMinutesMs)
  const ref = (bucket: number) => ({ ...sale, bucket })
  /** Called before each read of the named effect, to move the sale in between. */
  const between = new Map<string, () => Promise<unknown>>()
  const moved = async (effect: string) => {
    const move = between.get(effect)
    between.delete(effect)
    await move?.()
  }
  let wanted: 'open' | 'paused' | 'closed' = 'open'

  const orderPage = async (after: string | undefined) => {
    const all = [...orders.values()].sort((one, other) => (one.orderNumber < other.orderNumber ? -1 : 1))
    const rest = after === undefined ? all : all.filter((order) => order.orderNumber > after)
    const page = rest.slice(0, orderPageSize)
    return { orders: page, next: rest.length > orderPageSize ? page.at(-1)?.orderNumber : undefined }
  }
  const lookUpOrders = async (numbers: readonly string[]) => {
    await moved('lookUpOrders')
    return numbers.flatMap((number) => {
      const order = orders.get(number)
      return order ? [{ orderNumber: number, fact: order.fact }] : []
    })
  }

  const effects = (bucket: number): BucketEffects => ({
    now: Date.now,
    snapshot: async () => {
      await moved('snapshot')
      return store.snapshot(ref(bucket))
    },
    scanBuyers: (cursor, count) => store.scanBuyers(ref(bucket), cursor, count),
    buyers: async (userIds) => {
      await moved('buyers')
      return store.buyers(ref(bucket), userIds)
    },
    release: (lines) => store.release(ref(bucket), lines),
    confirm: (lines) => store.confirm(ref(bucket), lines),
    restore: async (operations) => {
      await moved('restore')
      return store.restore(ref(bucket), operations, { resend: false })
    },
    resend: (lines) => store.resend(ref(bucket), lines),
    lowerLeft: (expectedLeft) => store.lowerLeft(ref(bucket), expectedLeft),
    finishTransfers: () => store.finishTransfers(ref(bucket)),
    cover: (units) => store.rebalance(ref(bucket), sale.buckets, units),
    orderPage: async (after) => {
      const page = await orderPage(after)
      return { ...page, orders: page.orders.filter((order) => bucketOf(order.userId, sale.buckets) === bucket) }
    },
    lookUpOrders,
    resendCounts: async () => resends,
    countResends: async (numbers) => {
      for (const number of numbers) resends.set(number, (resends.get(number) ?? 0) + 1)
    },
  })

  const snapshots = () => Promise.all(Array.from({ length: sale.buckets }, (_, bucket) => store.snapshot(ref(bucket))))
  const rebuild: RebuildEffects = {
    buckets: sale.buckets,
    stock: sale.stock,
    bucketOf: (userId) => bucketOf(userId, sale.buckets),
    snapshots,
    create: async () => {
      await store.warmUp(sale, { state: 'rebuilding' })
    },
    setState: (bucket, state) => store.setState(ref(bucket), state, { rebuilt: true }),
    orderPage,
    restore: (bucket, operations) => store.restore(ref(bucket), operations, { resend: false }),
    confirm: (bucket, lines) => store.confirm(ref(bucket), lines),
    finishTransfers: (bucket) => store.finishTransfers(ref(bucket)),
    cover: (bucket, units) => store.rebalance(ref(bucket), sale.buckets, units),
    lowerLeft: (bucket, expectedLeft) => store.lowerLeft(ref(bucket), expectedLeft),
    wantedState: async () => wanted,
    pause: async () => {
      await moved('pause')
      await sleep(1)
    },
  }
  const saleEffects: SaleEffects = {
    buckets: sale.buckets,
    stock: sale.stock,
    bucket: effects,
    rebuild,
    snapshots,
    totals: async () => {
      const live = [...orders.values()].filter((order) => order.fact === 'live')
      return { liveOrders: live.length, liveUnits: live.reduce((sum, order) => sum + order.quantity, 0) }
    },
    mayRebuild: async () => true,
    stillMine: () => {},
  }

  return {
    sale,
    store,
    redis,
    orders,
    resends,
    between,
    saleEffects,
    effects,
    snapshots,
    bucketOf: (userId: string) => bucketOf(userId, sale.buckets),
    want: (state: typeof wanted) => {
      wanted = state
    },
    /** A purchase of two minutes ago, past Kafka. */
    async buy(userId: string, quantity = 1): Promise<string> {
      const bucket = bucketOf(userId, sale.buckets)
      const orderNumber = oldNumber()
      const { verdicts } = await store.purchase(ref(bucket), [{ userId, quantity, orderNumber }])
      if (verdicts[0]?.outcome !== 'accepted') throw new Error(JSON.stringify(verdicts))
      const entries = await store.readOutbox(ref(bucket), 'test', 100)
      await store.acknowledgeOutbox(
        ref(bucket),
        entries.map((entry) => entry.id),
      )
      return orderNumber
    },
    note(orderNumber: string, userId: string, fact: OrderFact, quantity = 1) {
      orders.set(orderNumber, { orderNumber, userId, quantity, fact })
    },
    number: oldNumber,
    key: (bucket = 0) => bucketKeys(ref(bucket)),
    look: async (bucket = 0) => (await store.snapshot(ref(bucket)))!,
    async loseBucket(bucket: number) {
      for (const key of Object.values(bucketKeys(ref(bucket)))) await redis.del(key)
    },
    async end() {
      await store.expire(sale, 1)
      redis.disconnect()
    },
  }
}
