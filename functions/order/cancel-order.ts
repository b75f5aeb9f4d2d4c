/** Cancelling unpaid orders: by their buyer, one at a time, and by the clock, in batches. Both give the stock back at once. */
import { Problem } from '@stampede/shared/http/problem.ts'
import type { ActivityRef, CancelReason, Order, OrderStore, OrderTransaction, OverdueOrders } from './effects.ts'
import { cancelledEvents } from './order-events.ts'
import { mayChange, type OrderActor } from './order-state.ts'

/**
 * Cancels a buyer's own order; cancelling again answers the same.
 * @throws Problem `not-found` (also for orders of others), `conflict` when it can no longer be cancelled.
 */
export async function cancelOwnOrder(
  request: { tenantId: string; userId: string; orderNumber: string },
  { store, now }: { store: OrderStore; now: () => number },
): Promise<{ order: Order; cancelledNow: boolean }> {
  const { tenantId, userId, orderNumber } = request
  return store.transaction(async (tx) => {
    const found = await tx.findOrder(tenantId, orderNumber)
    if (found?.userId !== userId) throw new Problem('not-found', 'There is no such order.')
    // The allocation before the order, as everywhere.
    await tx.lockAllocations([{ tenantId, activityId: found.activityId }])
    const order = await tx.lockOrder(tenantId, orderNumber)
    if (!order) throw new Problem('not-found', 'There is no such order.')
    if (order.state === 'cancelled') return { order, cancelledNow: false }
    if (!mayChange(order.state, 'cancelled', 'buyer')) {
      throw new Problem('conflict', `An order that is ${order.state} cannot be cancelled.`, {
        extensions: { state: order.state },
      })
    }
    await cancelLocked(tx, [order], 'buyer', 'buyer', now())
    return { order: (await tx.findOrder(tenantId, orderNumber)) ?? order, cancelledNow: true }
  })
}

export type CancelOverdueOptions = {
  /** Orders a transaction; each holds the allocation of its activity for as long. */
  batchSize: number
  /** Looks at what is overdue in a run: the next run goes on. */
  maximumLooks: number
  /** Activities that may fail in a run before it is given up. */
  maximumFailures: number
}

export const defaultCancelOverdueOptions: CancelOverdueOptions = {
  batchSize: 200,
  maximumLooks: 500,
  maximumFailures: 20,
}

export type CancelOverdueEffects = {
  store: OrderStore
  now: () => number
  /** Ends the run between two transactions. */
  signal?: AbortSignal
  /** An activity whose orders cannot be cancelled does not hold up the others. */
  failed?: (activity: ActivityRef, error: unknown) => void
}

/**
 * Cancels orders whose time to pay is over. Safe in several processes at once, and beside payments: whoever holds an order
 * decides about it, and the others find it decided. Returns how many were cancelled.
 */
export async function cancelOverdue(
  { store, now, signal, failed }: CancelOverdueEffects,
  options: CancelOverdueOptions = defaultCancelOverdueOptions,
): Promise<number> {
  let cancelled = 0
  const failing: ActivityRef[] = []
  for (let look = 0; look < options.maximumLooks; look += 1) {
    const before = cancelled + failing.length
    for (const overdue of await store.findOverdue(now(), options.batchSize, failing)) {
      if (signal?.aborted) return cancelled
      try {
        cancelled += await store.transaction((tx) => cancelOverdueIn(tx, overdue, now()))
      } catch (error) {
        // One failure after the other is the database's trouble, not an activity's.
        if (failing.length >= options.maximumFailures) throw error
        const { tenantId, activityId } = overdue
        failing.push({ tenantId, activityId })
        failed?.({ tenantId, activityId }, error)
      }
    }
    // Nothing left, or all that is left is held by others: the next run sees what became of it.
    if (cancelled + failing.length === before) break
  }
  return cancelled
}

async function cancelOverdueIn(tx: OrderTransaction, overdue: OverdueOrders, nowMs: number): Promise<number> {
  const { tenantId, activityId } = overdue
  await tx.lockAllocations([{ tenantId, activityId }])
  const orders = await tx.lockPending({ tenantId, activityId }, overdue.orderNumbers)
  if (orders.length > 0) await cancelLocked(tx, orders, 'schedule', 'payment-timeout', nowMs)
  return orders.length
}

/** Orders of one activity in `pending-payment`, locked, and their allocation too. */
async function cancelLocked(
  tx: OrderTransaction,
  orders: readonly Order[],
  actor: OrderActor,
  reason: CancelReason,
  atMs: number,
): Promise<void> {
  const first = orders[0]
  if (!first) return
  const units = orders.reduce((sum, order) => sum + order.quantity, 0)
  await tx.applyTransition({ orders, from: 'pending-payment', to: 'cancelled', actor, atMs, cancelReason: reason })
  await tx.addSold({ tenantId: first.tenantId, activityId: first.activityId }, -units)
  await tx.addEvents(cancelledEvents(orders, reason, atMs))
}
