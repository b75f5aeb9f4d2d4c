/** One run over one sale: every bucket is compared; a sale that Redis lost is rebuilt. */
import type { BucketSnapshot } from '@stampede/shared/sale/types.ts'
import {
  createFindings,
  reconcileBucket,
  type BucketEffects,
  type BucketLimits,
  type Finding,
} from './reconcile-bucket.ts'
import { rebuildSale, type RebuildEffects, type RebuildLimits } from './rebuild-sale.ts'

/** What order counts for the whole activity. */
export type OrderTotals = { liveUnits: number; liveOrders: number }

export type SaleEffects = {
  buckets: number
  stock: number
  bucket(bucket: number): BucketEffects
  rebuild: RebuildEffects
  snapshots(): Promise<(BucketSnapshot | undefined)[]>
  totals(): Promise<OrderTotals>
  /** True when the sale was created in Redis before and may have sold: only then may it be rebuilt. */
  mayRebuild(): Promise<boolean>
  /** Throws when this run lost its lease: another runs now. */
  stillMine(): void
}

export type SaleResult = {
  /** quiet: the counters agree, nothing was looked at one by one. */
  outcome: 'compared' | 'quiet' | 'recovering' | 'rebuilt' | 'rebuilding' | 'not-in-redis'
  findings: (Finding & { bucket: number })[]
  buyers: number
  orders: number
}

export type SaleLimits = { bucket?: BucketLimits; rebuild?: RebuildLimits }

/** True when the counters of Redis and of order say the same and nothing is on its way. */
export function countersAgree(
  snapshots: readonly (BucketSnapshot | undefined)[],
  totals: OrderTotals,
  stock: number,
): boolean {
  let sold = 0
  let confirmed = 0
  let total = 0
  let travelling = 0
  for (const snapshot of snapshots) {
    if (!snapshot?.whole || snapshot.state === 'rebuilding' || snapshot.outboxLength > 0 || snapshot.left < 0)
      return false
    if (snapshot.left + snapshot.sold !== snapshot.total + snapshot.received - snapshot.sent) return false
    sold += snapshot.sold
    confirmed += snapshot.confirmed
    total += snapshot.total
    travelling += snapshot.sent - snapshot.received
  }
  // Units that left one bucket and never reached the other are offered to nobody until their transfer is finished.
  return travelling === 0 && sold === totals.liveUnits && confirmed === totals.liveOrders && total === stock
}

export async function reconcileSale(
  effects: SaleEffects,
  options: { full: boolean },
  limits: SaleLimits = {},
): Promise<SaleResult> {
  const snapshots = await effects.snapshots()
  const lost = snapshots.some((snapshot) => snapshot === undefined || snapshot.state === 'rebuilding')
  if (lost) return rebuildLost(effects, limits, snapshots.filter((snapshot) => snapshot === undefined).length)
  if (!options.full && countersAgree(snapshots, await effects.totals(), effects.stock)) {
    return { outcome: 'quiet', findings: [], buyers: 0, orders: 0 }
  }
  const result: SaleResult = { outcome: 'compared', findings: [], buyers: 0, orders: 0 }
  for (let bucket = 0; bucket < effects.buckets; bucket++) {
    effects.stillMine()
    const compared = await reconcileBucket(effects.bucket(bucket), limits.bucket)
    // Lost since the run began: the next run rebuilds it.
    if (compared.status !== 'compared')
      return { ...result, outcome: compared.status === 'missing' ? 'not-in-redis' : 'recovering' }
    result.findings.push(...compared.findings.map((finding) => ({ ...finding, bucket })))
    result.buyers += compared.buyers
    result.orders += compared.orders
  }
  const total = snapshots.reduce((sum, snapshot) => sum + (snapshot?.total ?? 0), 0)
  if (total !== effects.stock) {
    const findings = createFindings()
    findings.add('total-differs', 'none', { count: 1, units: Math.abs(total - effects.stock), repaired: 0 })
    result.findings.push(...findings.list().map((finding) => ({ ...finding, bucket: 0 })))
  }
  return result
}

async function rebuildLost(effects: SaleEffects, limits: SaleLimits, missing: number): Promise<SaleResult> {
  if (!(await effects.mayRebuild())) return { outcome: 'not-in-redis', findings: [], buyers: 0, orders: 0 }
  effects.stillMine()
  const { finished, restored } = await rebuildSale(effects.rebuild, limits.rebuild)
  const findings = createFindings()
  findings.add('sale-missing', 'rebuild', {
    count: Math.max(1, missing),
    units: 0,
    repaired: finished ? Math.max(1, missing) : 0,
  })
  return {
    outcome: finished ? 'rebuilt' : 'rebuilding',
    findings: findings.list().map((finding) => ({ ...finding, bucket: 0 })),
    buyers: 0,
    orders: restored,
  }
}
