/** The life of an order as one table. A transition that is not in it does not exist. */

export const orderStates = [
  'pending-payment',
  'paid',
  'shipped',
  'delivered',
  'completed',
  'cancelled',
  'refunding',
  'refunded',
] as const
export type OrderState = (typeof orderStates)[number]

/** Who asks for a transition. `schedule` is this function's own clock. */
export type OrderActor = 'payment' | 'schedule' | 'buyer' | 'staff' | 'logistics'

type Transitions = Partial<Record<OrderState, readonly OrderActor[]>>

/** From state → to state → who may do it. */
export const orderTransitions: Record<OrderState, Transitions> = {
  'pending-payment': { paid: ['payment'], cancelled: ['schedule', 'buyer', 'staff'] },
  paid: { shipped: ['logistics', 'staff'], refunding: ['buyer', 'staff'] },
  shipped: { delivered: ['logistics', 'staff'], refunding: ['staff'] },
  delivered: { completed: ['buyer', 'schedule'], refunding: ['buyer', 'staff'] },
  completed: { refunding: ['staff'] },
  cancelled: {},
  // `paid`: the refund was refused, and the order goes on.
  refunding: { refunded: ['payment'], paid: ['staff'] },
  refunded: {},
}

export function mayChange(from: OrderState, to: OrderState, actor: OrderActor): boolean {
  return orderTransitions[from][to]?.includes(actor) ?? false
}

/** No way out. */
export function isFinal(state: OrderState): boolean {
  return Object.keys(orderTransitions[state]).length === 0
}

/**
 * Orders in these states hold no stock and do not count for the per-user limit. Whoever moves an order into one of them gives
 * its units back to the allocation in the same transaction.
 */
export const releasedStates = ['cancelled', 'refunded'] as const satisfies readonly OrderState[]

export function holdsStock(state: OrderState): boolean {
  return !(releasedStates as readonly OrderState[]).includes(state)
}
