/** The effects of a run in production: the sale in Redis, the other functions over HTTP, the resends in MySQL. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SaleTerms } from '@stampede/eventing/catalogue/events.ts'
import { bucketOf } from '@stampede/shared/sale/bucket.ts'
import type { SaleDefinition, SaleStore } from '@stampede/shared/sale/types.ts'
import type { Database } from '@stampede/shared/database/connect.ts'
import type { OtherFunctions } from './other-functions.ts'
import type { BucketEffects, OrderLine } from './reconcile-bucket.ts'
import type { SaleEffects } from './reconcile-sale.ts'
import { countResends, resendCounts } from './store.ts'

export type SaleEffectsOptions = {
  terms: SaleTerms
  sales: SaleStore
  others: OtherFunctions
  database: Database
  now: () => number
  /** Aborted when the lease is lost or the function drains. */
  signal: AbortSignal
  /** A sale whose first warm-up began more recently than this is still being warmed up. */
  warmUpGraceMs: number
}

type Page = { orders: readonly OrderLine[]; next: string | undefined }

const orderPageSize = 1_000
/** Orders kept in memory, so that the buckets of one sale do not read all of them again each. */
const maximumKept = 200_000

/** Pages of a sale's orders, read once and kept as far as the limit goes. */
function createOrderPages(
  read: (after: string | undefined) => Promise<Page>,
): (after: string | undefined) => Promise<Page> {
  const kept = new Map<string, Page>()
  let lines = 0
  return async (after) => {
    const key = after ?? ''
    const known = kept.get(key)
    if (known) return known
    const page = await read(after)
    if (lines + page.orders.length <= maximumKept) {
      kept.set(key, page)
      lines += page.orders.length
    }
    return page
  }
}

export function createSaleEffects(options: SaleEffectsOptions): SaleEffects {
  const { terms, sales, others, database, now, signal } = options
  const { tenantId, activityId, buckets, stock } = terms
  const ref = (bucket: number) => ({ tenantId, activityId, bucket })
  const definition: SaleDefinition = {
    tenantId,
    activityId,
    stock,
    perUserLimit: terms.perUserLimit,
    buckets,
    startsAtMs: Date.parse(terms.startsAt),
    endsAtMs: Date.parse(terms.endsAt),
  }
  const readPage = (after: string | undefined) => others.orderPage(tenantId, activityId, after, orderPageSize)
  const keptPage = createOrderPages(readPage)
  const snapshots = () => Promise.all(Array.from({ length: buckets }, (_, bucket) => sales.snapshot(ref(bucket))))
  const stillMine = () => signal.throwIfAborted()

  const bucketEffects = (bucket: number): BucketEffects => ({
    now,
    snapshot: () => sales.snapshot(ref(bucket)),
    scanBuyers: (cursor, count) => {
      stillMine()
      return sales.scanBuyers(ref(bucket), cursor, count)
    },
    buyers: (userIds) => sales.buyers(ref(bucket), userIds),
    release: (orders) => sales.release(ref(bucket), orders),
    confirm: (orders) => sales.confirm(ref(bucket), orders),
    // Without messages: these purchases are orders already.
    restore: (operations) => sales.restore(ref(bucket), operations, { resend: false }),
    resend: (orders) => sales.resend(ref(bucket), orders),
    lowerLeft: (expectedLeft) => sales.lowerLeft(ref(bucket), expectedLeft),
    finishTransfers: () => sales.finishTransfers(ref(bucket)),
    cover: (units) => sales.rebalance(ref(bucket), buckets, units),
    orderPage: async (after) => {
      stillMine()
      const { orders, next } = await keptPage(after)
      return { orders: orders.filter((order) => bucketOf(order.userId, buckets) === bucket), next }
    },
    lookUpOrders: (orderNumbers) => others.lookUp(tenantId, activityId, orderNumbers),
    resendCounts: (orderNumbers) => resendCounts(database.forTenant(tenantId), activityId, orderNumbers),
    countResends: (orderNumbers) =>
      countResends(database.forTenant(tenantId), activityId, orderNumbers, new Date(now())),
  })

  return {
    buckets,
    stock,
    bucket: bucketEffects,
    snapshots,
    totals: () => others.totals(tenantId, activityId),
    mayRebuild: async () => {
      // Before the window, inventory creates it again: nothing can have been sold.
      if (now() < definition.startsAtMs) return false
      const begunAt = await others.warmUpBegunAt(tenantId, activityId)
      return begunAt !== undefined && now() - begunAt.getTime() >= options.warmUpGraceMs
    },
    stillMine,
    rebuild: {
      buckets,
      stock,
      bucketOf: (userId) => bucketOf(userId, buckets),
      snapshots,
      create: async () => {
        await sales.warmUp(definition, { state: 'rebuilding' })
      },
      setState: (bucket, state) => {
        stillMine()
        return sales.setState(ref(bucket), state, { rebuilt: true })
      },
      orderPage: (after) => {
        stillMine()
        return readPage(after)
      },
      restore: (bucket, operations) => sales.restore(ref(bucket), operations, { resend: false }),
      confirm: (bucket, orders) => sales.confirm(ref(bucket), orders),
      finishTransfers: (bucket) => sales.finishTransfers(ref(bucket)),
      cover: (bucket, units) => sales.rebalance(ref(bucket), buckets, units),
      lowerLeft: (bucket, expectedLeft) => sales.lowerLeft(ref(bucket), expectedLeft),
      wantedState: () => others.wantedState(tenantId, activityId),
      pause: async (durationMs) => {
        await sleep(durationMs, undefined, { signal })
      },
    },
  }
}
