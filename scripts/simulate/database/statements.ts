/** The statements of `order` in a transaction. Every one is a step that waits for its locks, so a crash can fall between any two. */
import type { GroupAtOnce, KnownPurchase, Order, OrderTransaction } from '../../../functions/order/effects.ts'
import type { OrderEvent } from '../../../functions/order/order-events.ts'
import type { Actor, Fault, Scheduler } from '../scheduler.ts'
import type { LockHolder, RowLocks } from './row-locks.ts'
import { activityKey, DuplicateRow, rowsOf, type Tables } from './rows.ts'

export type Transaction = LockHolder & {
  actor: Actor
  /** Rows written and not committed; they shadow the committed ones. */
  written: Tables
  events: OrderEvent[]
}

export type Statements = OrderTransaction & {
  /** A group of new purchases in one round trip; false when it does not fit as it is. */
  storeAtOnce(group: GroupAtOnce): Promise<boolean>
}

const allocationLocks = (activities: readonly { tenantId: string; activityId: string }[]) =>
  activities.map((activity) => `allocation ${activityKey(activity)}`)
const orderLocks = (numbers: readonly string[]) => numbers.map((number) => `order ${number}`)

export function statementsOf(
  tx: Transaction,
  { scheduler, fault, locks, tables }: { scheduler: Scheduler; fault: () => Fault; locks: RowLocks; tables: Tables },
): Statements {
  const rows = rowsOf(tables, tx.written)
  const statement = <T>(name: string, keys: readonly string[], run: () => T): Promise<T> =>
    scheduler.request<T>(
      tx.actor,
      `sql ${name}`,
      (respond) => locks.acquire(tx, keys, respond, () => respond.resolve(run())),
      fault,
    )
  return {
    storeAtOnce: (group) =>
      statement(
        'store at once',
        [...allocationLocks(group.allocations), ...orderLocks(group.orders.map((order) => order.orderNumber))],
        () => {
          for (const wanted of group.allocations) {
            const allocation = rows.find('allocations', activityKey(wanted))
            if (!allocation || allocation.termsVersion !== wanted.termsVersion) return false
            if (allocation.sold + wanted.units > allocation.allocated) return false
            rows.putAllocation({ ...allocation, sold: allocation.sold + wanted.units })
          }
          for (const order of group.orders) {
            if (rows.find('orders', order.orderNumber)) return false
            rows.insertOrder(order)
          }
          for (const order of group.orders) {
            const terms = group.allocations.find((wanted) => activityKey(wanted) === activityKey(order))
            if (terms?.hasRejections && rows.find('rejections', order.orderNumber)) return false
            if (rows.liveUnits(order, order.userId) > (terms?.perUserLimit ?? 0)) return false
          }
          tx.events.push(...group.events)
          return true
        },
      ),
    lockAllocations: (activities) =>
      statement('lock allocations', allocationLocks(activities), () =>
        activities.flatMap((activity) => rows.find('allocations', activityKey(activity)) ?? []),
      ),
    holdUnknown: (activity) =>
      statement('hold unknown', allocationLocks([activity]), () => {
        if (rows.find('allocations', activityKey(activity))) throw new DuplicateRow('the allocation exists')
      }),
    findKnown: (_tenantId, orderNumbers) =>
      statement('find known', [], () => {
        const known = new Map<string, KnownPurchase>()
        for (const number of orderNumbers) {
          const order = rows.find('orders', number)
          const rejection = rows.find('rejections', number)
          const row = order ?? rejection
          if (!row) continue
          const { tenantId, activityId, userId, quantity } = row
          known.set(number, {
            tenantId,
            activityId,
            userId,
            quantity,
            rejectedFor: order ? undefined : rejection?.reason,
          })
        }
        return known
      }),
    liveUnits: (activity, userIds) =>
      statement('live units', [], () => {
        const units = new Map<string, number>()
        for (const userId of userIds) {
          const count = rows.liveUnits(activity, userId)
          if (count > 0) units.set(userId, count)
        }
        return units
      }),
    insertOrders: (orders) =>
      statement('insert orders', orderLocks(orders.map((order) => order.orderNumber)), () => {
        for (const order of orders) rows.insertOrder(order)
      }),
    insertRejections: (rejections) =>
      statement(
        'insert rejections',
        [...allocationLocks(rejections), ...rejections.map((rejection) => `rejection ${rejection.orderNumber}`)],
        () => {
          for (const rejection of rejections) {
            rows.insert('rejections', rejection.orderNumber, rejection)
            const allocation = rows.find('allocations', activityKey(rejection))
            if (!allocation || allocation.hasRejections) continue
            const marked = { ...allocation, hasRejections: true, termsVersion: allocation.termsVersion + 1 }
            rows.putAllocation(marked)
          }
        },
      ),
    addSold: (activity, units) =>
      statement('add sold', allocationLocks([activity]), () => {
        const allocation = rows.find('allocations', activityKey(activity))
        if (!allocation) throw new Error('no such allocation')
        if (allocation.sold + units < 0 || (units > 0 && allocation.sold + units > allocation.allocated)) {
          throw new Error(`the allocation does not allow a change of ${units} units`)
        }
        rows.putAllocation({ ...allocation, sold: allocation.sold + units })
      }),
    saveAllocation: (terms) =>
      statement('save allocation', allocationLocks([terms]), () => {
        const before = rows.find('allocations', activityKey(terms))
        rows.putAllocation({
          ...terms,
          sold: before?.sold ?? 0,
          hasRejections: before?.hasRejections ?? rows.hasRejections(terms),
          termsVersion: (before?.termsVersion ?? 0) + 1,
        })
      }),
    lockOrder: (_tenantId, orderNumber) =>
      statement('lock order', orderLocks([orderNumber]), () => rows.find('orders', orderNumber)),
    lockPending: (_activity, orderNumbers) => {
      // SKIP LOCKED: what somebody else holds is left out.
      const free = () => orderNumbers.filter((number) => locks.isFree(tx, `order ${number}`))
      return scheduler.request<Order[]>(
        tx.actor,
        'sql lock pending',
        (respond) => {
          const numbers = free()
          locks.acquire(tx, orderLocks(numbers), respond, () =>
            respond.resolve(
              numbers.flatMap((number) => {
                const order = rows.find('orders', number)
                return order?.state === 'pending-payment' ? [order] : []
              }),
            ),
          )
        },
        fault,
      )
    },
    findRejection: (_tenantId, orderNumber) =>
      statement('find rejection', [], () => rows.find('rejections', orderNumber)),
    findOrder: (_tenantId, orderNumber) => statement('find order', [], () => rows.find('orders', orderNumber)),
    applyTransition: (transition) =>
      statement('apply transition', orderLocks(transition.orders.map((order) => order.orderNumber)), () => {
        for (const { orderNumber } of transition.orders) rows.applyTransition(orderNumber, transition)
      }),
    findPayment: (_tenantId, paymentId) =>
      statement('find payment', [], () => rows.find('payments', paymentId)?.outcome),
    insertPayment: (payment) =>
      statement('insert payment', [`payment ${payment.paymentId}`], () =>
        rows.insert('payments', payment.paymentId, payment),
      ),
    addEvents: (events) =>
      statement('add events', [], () => {
        tx.events.push(...events)
      }),
    firstTime: (event) =>
      statement('inbox', [`inbox ${event.source} ${event.id}`], () => {
        const key = `${event.source} ${event.id}`
        if (rows.find('inbox', key)) return false
        rows.putInbox(key)
        return true
      }),
  }
}
