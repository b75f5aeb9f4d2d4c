/**
 * What the operations of this function do to the world, as an interface: `store.ts` is MySQL, `memory-store.ts` memory, and the
 * simulation has its own. Every method that takes part in a transaction is on `OrderTransaction`; a crash between any two of them loses
 * all of the transaction.
 */
import type {
  AcceptedPurchase,
  orderCancelReasons,
  orderRejectionReasons,
} from '@stampede/eventing/catalogue/events.ts'
import type { OrderNumber } from '@stampede/shared/ids/order-number.ts'
import type { OrderEvent } from './order-events.ts'
import type { OrderActor, OrderState } from './order-state.ts'

export type RejectionReason = (typeof orderRejectionReasons)[number]
export type CancelReason = (typeof orderCancelReasons)[number]

export type ActivityRef = { tenantId: string; activityId: string }

/** The accepted purchases of one delivery. */
export type PurchaseBatch = ActivityRef & { purchases: readonly AcceptedPurchase[] }

export type AllocationState = 'open' | 'closed' | 'cancelled' | 'settled'

/** Terms under which an activity sells. Amounts in minor units, times in milliseconds since the epoch. */
export type AllocationTerms = ActivityRef & {
  variantId: string
  /** Units that may be sold. */
  allocated: number
  perUserLimit: number
  priceCents: number
  currency: string
  paymentTimeoutSeconds: number
  startsAtMs: number
  endsAtMs: number
}

/** An activity's share of stock. sold = units of orders that hold stock. */
export type Allocation = AllocationTerms & {
  sold: number
  state: AllocationState
  closedAtMs: number | undefined
  /** Purchases of this activity were rejected: their numbers have to be looked for before anything is stored. */
  hasRejections: boolean
  /** Counts up with each change of terms, state or `hasRejections`, never with `sold`. */
  termsVersion: number
}

export type NewOrder = ActivityRef & {
  orderNumber: OrderNumber
  userId: string
  quantity: number
  amountCents: number
  currency: string
  acceptedAtMs: number
  createdAtMs: number
  payByMs: number
}

export type Order = NewOrder & {
  state: OrderState
  cancelReason: CancelReason | undefined
  paidAtMs: number | undefined
  cancelledAtMs: number | undefined
  paymentId: string | undefined
  /** Counts up with each transition; 1 when stored. */
  version: number
}

export type Rejection = ActivityRef & {
  orderNumber: OrderNumber
  userId: string
  quantity: number
  reason: RejectionReason
  rejectedAtMs: number
}

/** What is known of an order number. */
export type KnownPurchase = ActivityRef & {
  userId: string
  quantity: number
  /** Undefined: an order exists. */
  rejectedFor: RejectionReason | undefined
}

export type PaymentOutcome = 'paid' | 'paid-after-cancellation' | 'paid-twice' | 'amount-differs'

export type Payment = {
  tenantId: string
  paymentId: string
  orderNumber: OrderNumber
  amountCents: number
  currency: string
  outcome: PaymentOutcome
  paidAtMs: number
  receivedAtMs: number
}

/** One change of state of locked orders, which are all of one tenant and in the state `from`. */
export type Transition = {
  orders: readonly Order[]
  from: OrderState
  to: OrderState
  actor: OrderActor
  atMs: number
  cancelReason?: CancelReason
  payment?: { paymentId: string; paidAtMs: number }
}

/** Orders of one or more activities that are to be stored all together or not at all. */
export type GroupAtOnce = {
  allocations: readonly (ActivityRef &
    Pick<Allocation, 'termsVersion' | 'perUserLimit' | 'hasRejections'> & { units: number })[]
  orders: readonly NewOrder[]
  events: readonly OrderEvent[]
}

/** Orders whose time to pay is over, of one activity. */
export type OverdueOrders = ActivityRef & { orderNumbers: readonly OrderNumber[] }

export interface OrderTransaction {
  /** Reads allocations and holds them until the end. Locked in one order everywhere (tenant, activity), before any order. */
  lockAllocations(activities: readonly ActivityRef[]): Promise<Allocation[]>
  /**
   * Holds the place of an allocation that does not exist, until the end: nobody can create it, and sell of it, meanwhile. Fails
   * as a duplicate when it exists by now.
   */
  holdUnknown(activity: ActivityRef): Promise<void>
  /** Orders and rejections with these numbers. */
  findKnown(tenantId: string, orderNumbers: readonly OrderNumber[]): Promise<Map<OrderNumber, KnownPurchase>>
  /** Units of orders that hold stock, for each of these buyers who has any. */
  liveUnits(activity: ActivityRef, userIds: readonly string[]): Promise<Map<string, number>>
  insertOrders(orders: readonly NewOrder[]): Promise<void>
  /** Also marks the allocations, where they exist, as having rejections. */
  insertRejections(rejections: readonly Rejection[]): Promise<void>
  /** Adds to `sold` of a locked allocation; negative gives back. */
  addSold(activity: ActivityRef, units: number): Promise<void>
  /** Creates the allocation or replaces terms and state of the locked one; counts its version up. `sold` stays. */
  saveAllocation(
    terms: AllocationTerms & { state: AllocationState; closedAtMs: number | undefined },
    atMs: number,
  ): Promise<void>
  /** Reads one order and holds it until the end. */
  lockOrder(tenantId: string, orderNumber: OrderNumber): Promise<Order | undefined>
  /** Those of the orders that still wait for payment, held until the end. Orders that somebody else holds are left out. */
  lockPending(activity: ActivityRef, orderNumbers: readonly OrderNumber[]): Promise<Order[]>
  findRejection(tenantId: string, orderNumber: OrderNumber): Promise<Rejection | undefined>
  /** Reads one order without holding it. */
  findOrder(tenantId: string, orderNumber: OrderNumber): Promise<Order | undefined>
  /** Changes the orders and writes their history. */
  applyTransition(transition: Transition): Promise<void>
  /** What became of a payment that was told before. */
  findPayment(tenantId: string, paymentId: string): Promise<PaymentOutcome | undefined>
  /** Fails as a duplicate when the payment was told before. */
  insertPayment(payment: Payment): Promise<void>
  /** Events that exist when, and only when, the transaction is committed. */
  addEvents(events: readonly OrderEvent[]): Promise<void>
  /** Remembers a delivered event; false when it was handled before. */
  firstTime(event: { source: string; id: string }): Promise<boolean>
}

export interface OrderStore {
  /** Does ahead of time what `storeAtOnce` does before it talks to the database. Not needed before it; no effects. */
  prepareAtOnce(group: GroupAtOnce): void
  /**
   * Stores the group in a transaction of its own, without looking first. False, and nothing has changed: a duplicate, a purchase
   * that was rejected before, an exhausted allocation, changed terms or a buyer over the limit. `sent`: the database has it all.
   */
  storeAtOnce(group: GroupAtOnce, sent: () => void): Promise<boolean>
  /** Commits when `work` returns, rolls back when it throws. `work` may run again after a deadlock: no effects outside. */
  transaction<T>(work: (tx: OrderTransaction) => Promise<T>): Promise<T>
  /** Unpaid orders whose time is over, the oldest first, at most `limit`, without those of some activities. Not locked. */
  findOverdue(nowMs: number, limit: number, without: readonly ActivityRef[]): Promise<OverdueOrders[]>
  /** True for an error that says: such a row exists already. */
  isDuplicate(error: unknown): boolean
}

/** What the clock asks. */
export interface Deadlines {
  /** When the time of the next unpaid order is over, ms; in the past for one that is overdue. Undefined: none waits for payment. */
  nextDeadline(): Promise<number | undefined>
}
