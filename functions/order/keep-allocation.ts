/** Terms and state of an activity's allocation, from the events of inventory and activity. Each event counts once. */
import type { SaleTerms } from '@stampede/eventing/catalogue/events.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { ActivityRef, Allocation, AllocationState, OrderStore } from './effects.ts'

type EventIdentity = { source: string; id: string }
type Effects = { store: OrderStore; now: () => number }

/** The most units that one order can have; an amount must stay a whole number that JSON can carry. */
const maximumQuantity = 1_000

/** Takes over the terms; what is sold stays sold, so the allocation never falls below it. */
export async function takeTerms(event: EventIdentity, terms: SaleTerms, { store, now }: Effects): Promise<void> {
  if (!Number.isSafeInteger(terms.priceCents * maximumQuantity)) {
    throw new Problem('unprocessable', `A price of ${terms.priceCents} cannot be multiplied without loss.`)
  }
  await store.transaction(async (tx) => {
    if (!(await tx.firstTime(event))) return
    const { tenantId, activityId } = terms
    const [existing] = await tx.lockAllocations([{ tenantId, activityId }])
    // After the settlement the unsold units belong to the variant again.
    if (existing?.state === 'settled') return
    await tx.saveAllocation(
      {
        tenantId,
        activityId,
        variantId: terms.variantId,
        allocated: terms.stock,
        perUserLimit: terms.perUserLimit,
        priceCents: terms.priceCents,
        currency: terms.currency,
        paymentTimeoutSeconds: terms.paymentTimeoutSeconds,
        startsAtMs: Date.parse(terms.startsAt),
        endsAtMs: Date.parse(terms.endsAt),
        state: existing?.state ?? 'open',
        closedAtMs: existing?.closedAtMs,
      },
      now(),
    )
  })
}

/** The sale ended. What was accepted before still becomes an order: see the policy of `settle-purchases.ts`. */
export function closeAllocation(
  event: EventIdentity,
  activity: ActivityRef & { at: string },
  effects: Effects,
): Promise<void> {
  return changeState(event, activity, effects, (allocation) =>
    allocation.state === 'open' ? { state: 'closed', closedAtMs: Date.parse(activity.at) } : undefined,
  )
}

/** The activity was withdrawn: nothing of it may be sold. */
export function withdrawAllocation(
  event: EventIdentity,
  activity: ActivityRef & { at: string },
  effects: Effects,
): Promise<void> {
  return changeState(event, activity, effects, (allocation) =>
    allocation.state === 'settled'
      ? undefined
      : { state: 'cancelled', closedAtMs: allocation.closedAtMs ?? Date.parse(activity.at) },
  )
}

/** The unsold units go back to the variant: they may not be sold here any more. */
export function settleAllocation(
  event: EventIdentity,
  settled: ActivityRef & { at: string; allocated: number; unsold: number },
  effects: Effects,
): Promise<void> {
  return changeState(event, settled, effects, (allocation) => ({
    state: 'settled',
    closedAtMs: allocation.closedAtMs ?? Date.parse(settled.at),
    allocated: Math.max(allocation.sold, settled.allocated - settled.unsold),
  }))
}

type Change = { state: AllocationState; closedAtMs: number | undefined; allocated?: number }

async function changeState(
  event: EventIdentity,
  { tenantId, activityId }: ActivityRef,
  { store, now }: Effects,
  decide: (allocation: Allocation) => Change | undefined,
): Promise<void> {
  await store.transaction(async (tx) => {
    if (!(await tx.firstTime(event))) return
    const [allocation] = await tx.lockAllocations([{ tenantId, activityId }])
    // An activity that never got stock has nothing to close.
    const change = allocation && decide(allocation)
    if (change) await tx.saveAllocation({ ...allocation, ...change }, now())
  })
}
