/**
 * A payment channel confirmed a payment. Money is never ignored: it either pays the order, once, or is asked to be sent back.
 */
import { orderNumberTimeMs } from '@stampede/shared/ids/order-number.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { Order, OrderStore, OrderTransaction, Payment, PaymentOutcome } from './effects.ts'
import { paidEvent, refundRequestedEvent } from './order-events.ts'
import { mayChange } from './order-state.ts'

export type ReceivedPayment = Omit<Payment, 'outcome' | 'receivedAtMs'>

export type PayEffects = {
  store: OrderStore
  now: () => number
  /** A payment of an order that stays unknown is given up when the order number is older than this. */
  unknownOrderGraceMs: number
}

/** `repeated`: this payment was told before, and nothing was done now. */
export type PayResult = { outcome: PaymentOutcome; repeated: boolean }

/**
 * Applies a payment exactly once.
 * @throws Problem `dependency-unavailable` when the order may still be on its way; `unprocessable` when there never was one.
 */
export async function payOrder(received: ReceivedPayment, effects: PayEffects): Promise<PayResult> {
  try {
    return await effects.store.transaction((tx) => payIn(tx, received, effects))
  } catch (error) {
    // The same payment was delivered twice at the same time, and the other delivery was first: read what it did.
    if (!effects.store.isDuplicate(error)) throw error
    return effects.store.transaction((tx) => payIn(tx, received, effects))
  }
}

async function payIn(
  tx: OrderTransaction,
  received: ReceivedPayment,
  { now, unknownOrderGraceMs }: PayEffects,
): Promise<PayResult> {
  const { tenantId, orderNumber, paymentId } = received
  // Holding the order first makes everything that concerns it come one after the other: payments and cancellations.
  const order = await tx.lockOrder(tenantId, orderNumber)
  const earlier = await tx.findPayment(tenantId, paymentId)
  if (earlier) return { outcome: earlier, repeated: true }
  const receivedAtMs = now()

  if (!order) {
    const rejection = await tx.findRejection(tenantId, orderNumber)
    if (!rejection) throw unknownOrder(orderNumber, receivedAtMs, unknownOrderGraceMs)
    const payment: Payment = { ...received, outcome: 'paid-after-cancellation', receivedAtMs }
    await tx.insertPayment(payment)
    await tx.addEvents([refundRequestedEvent(rejection, payment)])
    return { outcome: payment.outcome, repeated: false }
  }

  const outcome = decidePayment(order, received)
  const payment: Payment = { ...received, outcome, receivedAtMs }
  await tx.insertPayment(payment)
  if (outcome !== 'paid') {
    await tx.addEvents([refundRequestedEvent(order, payment)])
    return { outcome, repeated: false }
  }
  await tx.applyTransition({
    orders: [order],
    from: order.state,
    to: 'paid',
    actor: 'payment',
    atMs: receivedAtMs,
    payment: { paymentId, paidAtMs: received.paidAtMs },
  })
  await tx.addEvents([paidEvent(order, payment)])
  return { outcome, repeated: false }
}

/** Pure. A payment that comes after its time, but before the cancellation, is taken: the stock is still the buyer's. */
export function decidePayment(order: Order, payment: Pick<Payment, 'amountCents' | 'currency'>): PaymentOutcome {
  if (order.state === 'cancelled') return 'paid-after-cancellation'
  if (order.state !== 'pending-payment' || !mayChange(order.state, 'paid', 'payment')) return 'paid-twice'
  if (order.amountCents !== payment.amountCents || order.currency !== payment.currency) return 'amount-differs'
  return 'paid'
}

function unknownOrder(orderNumber: string, nowMs: number, graceMs: number): Problem {
  if (nowMs - orderNumberTimeMs(orderNumber) < graceMs) {
    return new Problem('dependency-unavailable', `Order ${orderNumber} is not stored yet.`, { retryAfterSeconds: 2 })
  }
  // Without the order nobody knows whose money it is: the dead letter is where a person finds it.
  return new Problem('unprocessable', `There is no order ${orderNumber} for this payment.`)
}
