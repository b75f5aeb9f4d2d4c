/** The process of `reconciliation`: its production operations; what it reads of order over HTTP is a step, too. */
import type { BucketEffects, BucketLimits, OrderLine } from '../../functions/reconciliation/reconcile-bucket.ts'
import { defaultRebuildLimits } from '../../functions/reconciliation/rebuild-sale.ts'
import { reconcileSale, type SaleResult } from '../../functions/reconciliation/reconcile-sale.ts'
import { holdsStock } from '../../functions/order/order-state.ts'
import { bucketOf } from '../../shared/sale/bucket.ts'
import { createSaleStore } from '../../shared/sale/redis-sale-store.ts'
import type { Actor } from './scheduler.ts'
import type { World } from './world.ts'

/**
 * Smaller than in production, so that a schedule is short; the proportions are kept. Processes look for a restart less often here, so the
 * rebuild waits longer for what they remember.
 */
const limits: BucketLimits = {
  graceMs: 6_000,
  maximumResends: 5,
  pageSize: 2,
  maximumCounted: 1_000,
  maximumPages: 1_000,
}
const everyMs = 4_000
const fullEvery = 2

export function startReconciler(world: World, actor: Actor): void {
  const { scheduler, sale, buckets, plant, database } = world
  const random = world.random.split()
  const store = createSaleStore(world.sharedRedis.client(actor))
  const ask = <T>(name: string, read: () => T): Promise<T> =>
    scheduler.call(actor, `http ${name}`, read, world.databaseFault)

  const factOf = (orderNumber: string): OrderLine['fact'] => {
    const order = database.tables.orders.get(orderNumber)
    if (order) return holdsStock(order.state) ? 'live' : 'ended'
    return database.tables.rejections.has(orderNumber) ? 'ended' : 'unknown'
  }
  const page = (after: string | undefined, mine: (userId: string) => boolean) => {
    const sorted = [...database.tables.orders.values()].sort((a, b) => (a.orderNumber < b.orderNumber ? -1 : 1))
    const rest = after === undefined ? sorted : sorted.filter((order) => order.orderNumber > after)
    const some = rest.slice(0, 3)
    const orders = some
      .filter((order) => mine(order.userId))
      .map(({ orderNumber, userId, quantity }) => ({ orderNumber, userId, quantity, fact: factOf(orderNumber) }))
    return { orders, next: rest.length > some.length ? some.at(-1)!.orderNumber : undefined }
  }

  const effectsOf = (index: number): BucketEffects => {
    const bucket = buckets[index]!
    return plant.reconciliation({
      now: scheduler.now,
      snapshot: () => store.snapshot(bucket),
      scanBuyers: (cursor, count) => store.scanBuyers(bucket, cursor, count),
      buyers: (userIds) => store.buyers(bucket, userIds),
      release: (orders) => store.release(bucket, orders),
      confirm: (orders) => store.confirm(bucket, orders),
      restore: (operations) => store.restore(bucket, operations, { resend: false }),
      resend: (orders) => store.resend(bucket, orders),
      lowerLeft: (expectedLeft) => store.lowerLeft(bucket, expectedLeft),
      finishTransfers: () => store.finishTransfers(bucket),
      cover: (units) => store.rebalance(bucket, sale.buckets, units),
      orderPage: (after) => ask('order page', () => page(after, (userId) => bucketOf(userId, sale.buckets) === index)),
      lookUpOrders: (numbers) =>
        ask('order look-up', () => numbers.map((orderNumber) => ({ orderNumber, fact: factOf(orderNumber) }))),
      resendCounts: (numbers) =>
        ask('resend counts', () => new Map(numbers.map((number) => [number, world.resends.get(number) ?? 0]))),
      countResends: (numbers) =>
        ask('count resends', () => {
          for (const number of numbers) world.resends.set(number, (world.resends.get(number) ?? 0) + 1)
        }),
    })
  }

  const run = (full: boolean): Promise<SaleResult> =>
    reconcileSale(
      {
        buckets: sale.buckets,
        stock: sale.stock,
        bucket: effectsOf,
        snapshots: () => Promise.all(buckets.map((bucket) => store.snapshot(bucket))),
        totals: () =>
          ask('order totals', () => {
            const live = [...database.tables.orders.values()].filter((order) => holdsStock(order.state))
            return { liveUnits: live.reduce((sum, order) => sum + order.quantity, 0), liveOrders: live.length }
          }),
        mayRebuild: () => Promise.resolve(true),
        stillMine: () => {},
        rebuild: {
          buckets: sale.buckets,
          stock: sale.stock,
          bucketOf: (userId) => bucketOf(userId, sale.buckets),
          snapshots: () => Promise.all(buckets.map((bucket) => store.snapshot(bucket))),
          create: async () => void (await store.warmUp(sale, { state: 'rebuilding' })),
          setState: (bucket, state) => store.setState(buckets[bucket]!, state, { rebuilt: true }),
          orderPage: (after) => ask('order page', () => page(after, () => true)),
          restore: (bucket, operations) => store.restore(buckets[bucket]!, operations, { resend: false }),
          confirm: (bucket, orders) => store.confirm(buckets[bucket]!, orders),
          finishTransfers: (bucket) => store.finishTransfers(buckets[bucket]!),
          cover: (bucket, units) => store.rebalance(buckets[bucket]!, sale.buckets, units),
          lowerLeft: (bucket, expectedLeft) => store.lowerLeft(buckets[bucket]!, expectedLeft),
          wantedState: () => Promise.resolve('open'),
          pause: (durationMs) => scheduler.sleep(actor, 'pause', durationMs),
        },
      },
      { full },
      { bucket: limits, rebuild: { ...defaultRebuildLimits, settleMs: 4_500 } },
    )

  const loop = async (): Promise<void> => {
    // As in production: most runs look at the counters only, and every so many runs one looks at everything.
    for (let runs = 0; ; runs++) {
      const full = runs % fullEvery === 1
      await scheduler.sleep(actor, 'pause', everyMs + random.below(1_000))
      const sinceMs = scheduler.now()
      const result = await run(full).catch(() => undefined)
      if (result) world.reconciled({ ...result, full, sinceMs })
    }
  }
  void loop()
}
