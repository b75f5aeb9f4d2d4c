/**
 * Loads the sale of an activity from MySQL into Redis. A sale may be created fresh only while it cannot have sold anything:
 * creating it again later would sell the units twice.
 */
import type { SaleTerms } from '@stampede/eventing/catalogue/events.ts'
import type { BucketSnapshot, SaleDefinition } from '@stampede/shared/sale/types.ts'
import type { Allocation } from './allocation-store.ts'

export type WarmUpOutcome =
  /** Created now, or completed after a crash half-way. */
  | 'warmed-up'
  | 'already-warm'
  /** Redis lost the sale and it may have sold: the reconciliation rebuilds it from the orders. */
  | 'needs-rebuild'
  /** The units are not set aside: refused, cancelled or settled. */
  | 'not-allocated'

export type WarmUpView = {
  allocation: Allocation
  /** One for each bucket. */
  buckets: readonly (BucketSnapshot | undefined)[]
  nowMs: number
  /** Clocks differ: the window counts as begun this much earlier. */
  clockSkewMs: number
  /** Units of orders that order knows; only asked when it matters. */
  orderedUnits: number | undefined
}

export type WarmUpDecision = 'create' | 'complete' | 'nothing' | 'ask-orders' | 'needs-rebuild' | 'not-allocated'

/** What to do; pure. */
export function decideWarmUp({ allocation, buckets, nowMs, clockSkewMs, orderedUnits }: WarmUpView): WarmUpDecision {
  if (allocation.state !== 'allocated' || !allocation.terms) return 'not-allocated'
  if (buckets.every((bucket) => bucket !== undefined)) return allocation.warmedAt ? 'nothing' : 'complete'
  if (!allocation.warmUpBegunAt) return 'create'
  // From here on some process may have created it before.
  if (nowMs >= Date.parse(allocation.terms.startsAt) - clockSkewMs) return 'needs-rebuild'
  if (orderedUnits === undefined) return 'ask-orders'
  return orderedUnits === 0 ? 'create' : 'needs-rebuild'
}

export const saleDefinitionOf = (terms: SaleTerms): SaleDefinition => ({
  tenantId: terms.tenantId,
  activityId: terms.activityId,
  stock: terms.stock,
  perUserLimit: terms.perUserLimit,
  buckets: terms.buckets,
  startsAtMs: Date.parse(terms.startsAt),
  endsAtMs: Date.parse(terms.endsAt),
})

export type WarmUpEffects = {
  now(): number
  findAllocation(): Promise<Allocation | undefined>
  snapshots(buckets: number): Promise<(BucketSnapshot | undefined)[]>
  orderedUnits(): Promise<number>
  markBegun(): Promise<void>
  create(sale: SaleDefinition): Promise<unknown>
  /** Marks the allocation as warm and says so, in one transaction; does nothing when it was done or the allocation ended. Returns whether the allocation still holds. */
  markWarm(): Promise<boolean>
  /** Ends the sale in Redis for good. */
  closeSale(buckets: number): Promise<void>
}

export async function warmUp(effects: WarmUpEffects, clockSkewMs: number): Promise<WarmUpOutcome | 'unknown'> {
  const allocation = await effects.findAllocation()
  if (!allocation) return 'unknown'
  const terms = allocation.terms
  if (allocation.state !== 'allocated' || !terms) return 'not-allocated'
  const view = { allocation, buckets: await effects.snapshots(terms.buckets), nowMs: effects.now(), clockSkewMs }
  let decision = decideWarmUp({ ...view, orderedUnits: undefined })
  if (decision === 'ask-orders') decision = decideWarmUp({ ...view, orderedUnits: await effects.orderedUnits() })
  if (decision === 'needs-rebuild' || decision === 'not-allocated') return decision
  if (decision === 'nothing') return 'already-warm'
  if (decision === 'create') {
    // Before, not after: a crash in between must leave the trace that the sale may exist.
    await effects.markBegun()
    await effects.create(saleDefinitionOf(terms))
  }
  if (await effects.markWarm()) return 'warmed-up'
  // Cancelled while the sale was being created: its cancellation may have found nothing to close.
  await effects.closeSale(terms.buckets)
  return 'not-allocated'
}
