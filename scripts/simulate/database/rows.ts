/** The tables of `order`, and how one transaction reads and writes their rows: its own rows shadow the committed ones. */
import type { Allocation, Order, Payment, Rejection, Transition } from '../../../functions/order/effects.ts'
import { holdsStock } from '../../../functions/order/order-state.ts'

export class DuplicateRow extends Error {
  override readonly name = 'DuplicateRow'
}

export type Tables = {
  allocations: Map<string, Allocation>
  orders: Map<string, Order>
  rejections: Map<string, Rejection>
  payments: Map<string, Payment>
  inbox: Map<string, true>
}

export type NewOrder = Omit<Order, 'state' | 'version' | 'cancelReason' | 'paidAtMs' | 'cancelledAtMs' | 'paymentId'>

type ActivityRef = { tenantId: string; activityId: string }

export const activityKey = ({ tenantId, activityId }: ActivityRef): string => `${tenantId}:${activityId}`

export const emptyTables = (): Tables => ({
  allocations: new Map(),
  orders: new Map(),
  rejections: new Map(),
  payments: new Map(),
  inbox: new Map(),
})

export type Rows = ReturnType<typeof rowsOf>

/** What a transaction sees of `committed`, and what it has `written` itself and not committed. */
export function rowsOf(committed: Tables, written: Tables) {
  const find = <K extends keyof Tables>(table: K, key: string): ReturnType<Tables[K]['get']> =>
    (written[table].get(key) ?? committed[table].get(key)) as ReturnType<Tables[K]['get']>

  const insert = (table: keyof Tables, key: string, row: unknown): void => {
    if (find(table, key) !== undefined) throw new DuplicateRow(`duplicate ${key} in ${table}`)
    ;(written[table] as Map<string, unknown>).set(key, row)
  }

  return {
    find,
    insert,
    insertOrder: (order: NewOrder): void =>
      insert('orders', order.orderNumber, {
        ...order,
        state: 'pending-payment',
        version: 1,
        cancelReason: undefined,
        paidAtMs: undefined,
        cancelledAtMs: undefined,
        paymentId: undefined,
      }),
    putAllocation: (allocation: Allocation): void => void written.allocations.set(activityKey(allocation), allocation),
    putInbox: (key: string): void => void written.inbox.set(key, true),

    liveUnits: (activity: ActivityRef, userId: string): number =>
      [...new Map([...committed.orders, ...written.orders]).values()]
        .filter(
          (order) => order.userId === userId && activityKey(order) === activityKey(activity) && holdsStock(order.state),
        )
        .reduce((sum, order) => sum + order.quantity, 0),

    /** Committed rejections only, as a read without a lock sees them. */
    hasRejections: (activity: ActivityRef): boolean =>
      [...committed.rejections.values()].some((known) => activityKey(known) === activityKey(activity)),

    applyTransition: (orderNumber: string, { from, to, atMs, cancelReason, payment }: Transition): void => {
      const current = find('orders', orderNumber)
      if (current?.state !== from) throw new Error(`order ${orderNumber} was no longer ${from}`)
      written.orders.set(orderNumber, {
        ...current,
        state: to,
        version: current.version + 1,
        cancelReason: cancelReason ?? current.cancelReason,
        paymentId: payment?.paymentId ?? current.paymentId,
        paidAtMs: payment?.paidAtMs ?? current.paidAtMs,
        cancelledAtMs: to === 'cancelled' ? atMs : current.cancelledAtMs,
      })
    },
  }
}
