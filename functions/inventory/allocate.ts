/**
 * The stock of an activity: set aside when it is scheduled, returned when it is cancelled, settled after the sale. Each runs in
 * the transaction of its event, so an event that comes twice, or after a later one, changes nothing twice.
 */
import type { z } from 'zod'
import {
  type activityCancelled,
  type activitySettled,
  inventoryAllocated,
  inventoryAllocationRefused,
  type SaleTerms,
} from '@stampede/eventing/catalogue/events.ts'
import type { ChangeContext } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { finishAllocation, lockAllocation, saveAllocation } from './allocation-store.ts'
import { reserve, settleReservation } from './change-stock.ts'

/** The colon keeps it apart from the ids that callers choose. */
export const reservationOf = (activityId: string) => `activity:${activityId}`

export type AllocateOutcome = 'allocated' | 'refused' | 'ignored'

/**
 * Sets the units aside and says so. Ignored when the activity has its units already, or was cancelled or settled: then this is
 * an old event. A refused activity may ask again, with other terms.
 */
export async function allocate(context: ChangeContext, terms: SaleTerms): Promise<AllocateOutcome> {
  const { tx, tenant, outbox, tenantId } = context
  const { activityId, variantId, stock } = terms
  const existing = await lockAllocation(tenant, activityId)
  if (existing && existing.state !== 'refused') return 'ignored'
  const at = new Date(context.now())
  const reserved = await reserve(context, { reservationId: reservationOf(activityId), variantId, quantity: stock })
  const refused = reserved.outcome === 'insufficient'
  await saveAllocation(
    tenant,
    { activityId, state: refused ? 'refused' : 'allocated', variantId, quantity: stock, terms },
    at,
  )
  const outgoing = refused
    ? {
        definition: inventoryAllocationRefused,
        subject: activityId,
        data: { tenantId, activityId, variantId, wanted: stock, available: reserved.available, at: at.toISOString() },
      }
    : { definition: inventoryAllocated, subject: activityId, data: terms }
  await outbox.add(tx, [outgoing])
  return refused ? 'refused' : 'allocated'
}

/** Returns all units, once. A cancellation that overtakes the schedule is remembered, so that the schedule is ignored then. */
export async function cancelAllocation(
  context: ChangeContext,
  { activityId }: z.output<typeof activityCancelled.data>,
): Promise<boolean> {
  const { tenant } = context
  const at = new Date(context.now())
  const allocation = await lockAllocation(tenant, activityId)
  if (!allocation || allocation.state === 'refused') {
    await saveAllocation(
      tenant,
      {
        activityId,
        state: 'cancelled',
        variantId: allocation?.variantId ?? '',
        quantity: 0,
        terms: allocation?.terms,
      },
      at,
    )
    return true
  }
  if (allocation.state !== 'allocated') return false
  await settleReservation(context, reservationOf(activityId), () => 0)
  await finishAllocation(tenant, activityId, { state: 'cancelled', sold: 0, returned: allocation.quantity }, at)
  return true
}

/** Takes the sold units out of the stock and returns the unsold ones to the variant, once. */
export async function settleAllocation(
  context: ChangeContext,
  settled: z.output<typeof activitySettled.data>,
): Promise<boolean> {
  const { tenant } = context
  const { activityId, sold, unsold } = settled
  const allocation = await lockAllocation(tenant, activityId)
  // Ordered delivery should not let this happen; the schedule may still be on its way.
  if (!allocation)
    throw new Problem('dependency-unavailable', `The allocation of activity ${activityId} is not known yet.`)
  if (allocation.state !== 'allocated') return false
  if (sold < 0 || sold + unsold !== allocation.quantity) {
    throw new Problem(
      'unprocessable',
      `${sold} sold and ${unsold} unsold units are not the ${allocation.quantity} that were allocated.`,
    )
  }
  await settleReservation(context, reservationOf(activityId), () => sold)
  await finishAllocation(tenant, activityId, { state: 'settled', sold, returned: unsold }, new Date(context.now()))
  return true
}
