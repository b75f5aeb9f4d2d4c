/**
 * The effects of this function in memory, for property tests: the operations are the ones that run
 * in production. A transaction works on a copy and one runs at a time, as the row locks of an activity make it; `step` is
 * awaited before each step, and what it throws is a crash there.
 */
import type {
  ActivityRef,
  Allocation,
  GroupAtOnce,
  KnownPurchase,
  NewOrder,
  Order,
  OrderStore,
  OrderTransaction,
  Payment,
  Rejection,
} from './effects.ts'
import type { OrderEvent } from './order-events.ts'
import { holdsStock } from './order-state.ts'

export type MemoryState = {
  /** Key: tenant and activity, joined by a colon. */
  allocations: Map<string, Allocation>
  orders: Map<string, Order>
  rejections: Map<string, Rejection>
  /** Key: tenant and payment id, joined by a colon. */
  payments: Map<string, Payment>
  /** What a relay would publish, in order. */
  outbox: OrderEvent[]
  inbox: Set<string>
}

export type MemoryStore = OrderStore & { state: MemoryState }

/** Names of the steps: those of `OrderTransaction`, and `begin`, `commit`, `committed`, `findOverdue`. */
export type Step = (name: string) => void | Promise<void>

export class DuplicateRow extends Error {}
class DoesNotFit extends Error {}

const keyOf = ({ tenantId, activityId }: ActivityRef) => `${tenantId}:${activityId}`

export function emptyState(): MemoryState {
  return {
    allocations: new Map(),
    orders: new Map(),
    rejections: new Map(),
    payments: new Map(),
    outbox: [],
    inbox: new Set(),
  }
}

/** `state` outlives the process that crashes; the store does not have to. */
export function createMemoryStore(state: MemoryState = emptyState(), step: Step = () => {}): MemoryStore {
  let last: Promise<unknown> = Promise.resolve()
  const transaction = <T>(work: (tx: ReturnType<typeof onState>) => Promise<T>): Promise<T> => {
    const run = last.then(async () => {
      await step('begin')
      const copy = copyOf(state)
      const result = await work(onState(copy, step))
      await step('commit')
      Object.assign(state, copy)
      // A crash here is one between the commit and the answer: durable, and nobody was told.
      await step('committed')
      return result
    })
    last = run.catch(() => {})
    return run
  }
  return {
    state,
    isDuplicate: (error) => error instanceof DuplicateRow,
    prepareAtOnce: () => {},
    storeAtOnce: async (group, sent) => {
      try {
        await transaction(async (tx) => {
          sent()
          await tx.storeAtOnce(group)
        })
        return true
      } catch (error) {
        if (error instanceof DoesNotFit) return false
        throw error
      }
    },
    transaction,
    findOverdue: async (nowMs, limit, without) => {
      await step('findOverdue')
      const skipped = new Set(without.map(keyOf))
      const overdue = [...state.orders.values()]
        .filter((order) => order.state === 'pending-payment' && order.payByMs <= nowMs && !skipped.has(keyOf(order)))
        .sort((one, other) => one.payByMs - other.payByMs)
        .slice(0, limit)
      return [...Map.groupBy(overdue, keyOf).values()].map((orders) => ({
        tenantId: (orders[0] as Order).tenantId,
        activityId: (orders[0] as Order).activityId,
        orderNumbers: orders.map((order) => order.orderNumber),
      }))
    },
  }
}

/** Rows are replaced, never changed, so copying the maps is enough. */
const copyOf = (state: MemoryState): MemoryState => ({
  allocations: new Map(state.allocations),
  orders: new Map(state.orders),
  rejections: new Map(state.rejections),
  payments: new Map(state.payments),
  outbox: [...state.outbox],
  inbox: new Set(state.inbox),
})

function onState(
  state: MemoryState,
  step: Step,
): OrderTransaction & { storeAtOnce(group: GroupAtOnce): Promise<void> } {
  const liveUnitsOf = (activity: ActivityRef, userId: string) => {
    let units = 0
    for (const order of state.orders.values()) {
      if (order.userId === userId && keyOf(order) === keyOf(activity) && holdsStock(order.state))
        units += order.quantity
    }
    return units
  }
  const insert = (orders: readonly NewOrder[]) => {
    for (const order of orders) {
      if (state.orders.has(order.orderNumber)) throw new DuplicateRow(order.orderNumber)
      state.orders.set(order.orderNumber, {
        ...order,
        state: 'pending-payment',
        cancelReason: undefined,
        paidAtMs: undefined,
        cancelledAtMs: undefined,
        paymentId: undefined,
        version: 1,
      })
    }
  }
  const change = (activity: ActivityRef, units: number): boolean => {
    const allocation = state.allocations.get(keyOf(activity))
    if (!allocation) return false
    const sold = allocation.sold + units
    if (sold < 0 || (units > 0 && sold > allocation.allocated)) return false
    state.allocations.set(keyOf(activity), { ...allocation, sold })
    return true
  }
  const orderOf = (tenantId: string, orderNumber: string) => {
    const order = state.orders.get(orderNumber)
    return order?.tenantId === tenantId ? order : undefined
  }

  return {
    storeAtOnce: async ({ allocations, orders, events }) => {
      await step('storeAtOnce')
      for (const wanted of allocations) {
        if (state.allocations.get(keyOf(wanted))?.termsVersion !== wanted.termsVersion) throw new DoesNotFit()
        if (!change(wanted, wanted.units)) throw new DoesNotFit()
      }
      const rejecting = new Set(allocations.filter(({ hasRejections }) => hasRejections).map(keyOf))
      const known = orders.some(
        (order) =>
          state.orders.has(order.orderNumber) ||
          (rejecting.has(keyOf(order)) && state.rejections.has(order.orderNumber)),
      )
      if (known) throw new DoesNotFit()
      if (new Set(orders.map((order) => order.orderNumber)).size < orders.length) throw new DoesNotFit()
      insert(orders)
      for (const allocation of allocations) {
        const users = orders.filter((order) => keyOf(order) === keyOf(allocation)).map((order) => order.userId)
        if (users.some((userId) => liveUnitsOf(allocation, userId) > allocation.perUserLimit)) throw new DoesNotFit()
      }
      state.outbox.push(...events)
    },
    lockAllocations: async (activities) => {
      await step('lockAllocations')
      return activities.flatMap((activity) => state.allocations.get(keyOf(activity)) ?? [])
    },
    holdUnknown: async () => {
      // One transaction at a time: there is nobody to hold off.
      await step('holdUnknown')
    },
    findKnown: async (tenantId, orderNumbers) => {
      await step('findKnown')
      const known = new Map<string, KnownPurchase>()
      for (const orderNumber of orderNumbers) {
        const order = orderOf(tenantId, orderNumber)
        const rejection = state.rejections.get(orderNumber)
        if (order) known.set(orderNumber, { ...order, rejectedFor: undefined })
        else if (rejection?.tenantId === tenantId)
          known.set(orderNumber, { ...rejection, rejectedFor: rejection.reason })
      }
      return known
    },
    liveUnits: async (activity, userIds) => {
      await step('liveUnits')
      return new Map(
        userIds.map((userId) => [userId, liveUnitsOf(activity, userId)] as const).filter(([, units]) => units > 0),
      )
    },
    insertOrders: async (orders) => {
      await step('insertOrders')
      insert(orders)
    },
    insertRejections: async (rejections) => {
      await step('insertRejections')
      for (const rejection of rejections) {
        if (state.rejections.has(rejection.orderNumber)) throw new DuplicateRow(rejection.orderNumber)
        state.rejections.set(rejection.orderNumber, rejection)
        const allocation = state.allocations.get(keyOf(rejection))
        if (!allocation || allocation.hasRejections) continue
        const marked = { ...allocation, hasRejections: true, termsVersion: allocation.termsVersion + 1 }
        state.allocations.set(keyOf(rejection), marked)
      }
    },
    addSold: async (activity, units) => {
      await step('addSold')
      if (!change(activity, units))
        throw new Error(`the allocation of ${activity.activityId} does not allow a change of ${units} units`)
    },
    saveAllocation: async (terms, _atMs) => {
      await step('saveAllocation')
      const existing = state.allocations.get(keyOf(terms))
      const sold = existing?.sold ?? 0
      state.allocations.set(keyOf(terms), {
        ...terms,
        sold,
        allocated: Math.max(terms.allocated, sold),
        hasRejections:
          existing?.hasRejections ?? [...state.rejections.values()].some((known) => keyOf(known) === keyOf(terms)),
        termsVersion: (existing?.termsVersion ?? 0) + 1,
      })
    },
    lockOrder: async (tenantId, orderNumber) => {
      await step('lockOrder')
      return orderOf(tenantId, orderNumber)
    },
    findOrder: async (tenantId, orderNumber) => {
      await step('findOrder')
      return orderOf(tenantId, orderNumber)
    },
    lockPending: async (activity, orderNumbers) => {
      await step('lockPending')
      return orderNumbers
        .flatMap((orderNumber) => orderOf(activity.tenantId, orderNumber) ?? [])
        .filter((order) => order.activityId === activity.activityId && order.state === 'pending-payment')
    },
    findRejection: async (tenantId, orderNumber) => {
      await step('findRejection')
      const rejection = state.rejections.get(orderNumber)
      return rejection?.tenantId === tenantId ? rejection : undefined
    },
    applyTransition: async ({ orders, from, to, atMs, cancelReason, payment }) => {
      await step('applyTransition')
      for (const { tenantId, orderNumber } of orders) {
        const order = orderOf(tenantId, orderNumber)
        if (order?.state !== from) throw new Error(`order ${orderNumber} was no longer ${from}`)
        state.orders.set(orderNumber, {
          ...order,
          state: to,
          version: order.version + 1,
          ...(to === 'cancelled' ? { cancelReason, cancelledAtMs: atMs } : {}),
          ...(payment ? { paymentId: payment.paymentId, paidAtMs: payment.paidAtMs } : {}),
        })
      }
    },
    findPayment: async (tenantId, paymentId) => {
      await step('findPayment')
      return state.payments.get(`${tenantId}:${paymentId}`)?.outcome
    },
    insertPayment: async (payment) => {
      await step('insertPayment')
      const key = `${payment.tenantId}:${payment.paymentId}`
      if (state.payments.has(key)) throw new DuplicateRow(key)
      state.payments.set(key, payment)
    },
    addEvents: async (events) => {
      await step('addEvents')
      state.outbox.push(...events)
    },
    firstTime: async ({ source, id }) => {
      await step('firstTime')
      const key = `${source} ${id}`
      if (state.inbox.has(key)) return false
      state.inbox.add(key)
      return true
    },
  }
}
