/** The events that this function publishes, made from orders. */
import {
  orderCancelled,
  orderCreated,
  orderPaid,
  orderRefundRequested,
  orderRejected,
} from '@stampede/eventing/catalogue/events.ts'
import type { EventDefinition } from '@stampede/eventing/catalogue/definition.ts'
import type { OutgoingEvent } from '@stampede/shared/events/publish.ts'
import type { z } from 'zod'
import type { ActivityRef, CancelReason, NewOrder, Order, Payment, Rejection } from './effects.ts'

export type OrderEvent = OutgoingEvent

/** Larger events are fewer deliveries; smaller ones reach the buyers' screens sooner and are cheaper to repeat. */
export const ordersPerEvent = 200

const instant = (ms: number): string => new Date(ms).toISOString()

function outgoing<S extends z.ZodType>(
  definition: EventDefinition<S>,
  data: z.output<S>,
  subject: string,
  atMs: number,
): OrderEvent {
  return { definition, data, subject, time: instant(atMs) }
}

/** Splits by activity, then into events of limited size. */
function batches<T extends ActivityRef>(items: readonly T[]): T[][] {
  const result: T[][] = []
  for (const ofActivity of Map.groupBy(items, (item) => `${item.tenantId}:${item.activityId}`).values()) {
    for (let at = 0; at < ofActivity.length; at += ordersPerEvent)
      result.push(ofActivity.slice(at, at + ordersPerEvent))
  }
  return result
}

const activityOf = (items: readonly ActivityRef[]) => {
  const first = items[0] as ActivityRef
  return { tenantId: first.tenantId, activityId: first.activityId }
}

export function createdEvents(orders: readonly NewOrder[], atMs: number): OrderEvent[] {
  // Orders of a group share their time to pay: one string for all of them.
  let payByMs = Number.NaN
  let payBy = ''
  return batches(orders).map((batch) => {
    const lines = batch.map((order) => {
      if (order.payByMs !== payByMs) {
        payByMs = order.payByMs
        payBy = instant(payByMs)
      }
      const { orderNumber, userId, quantity, amountCents, currency } = order
      return { orderNumber, userId, quantity, amountCents, currency, payBy }
    })
    const activity = activityOf(batch)
    return outgoing(orderCreated, { ...activity, orders: lines }, activity.activityId, atMs)
  })
}

export function rejectedEvents(rejections: readonly Rejection[], atMs: number): OrderEvent[] {
  return batches(rejections).map((batch) => {
    const lines = batch.map(({ orderNumber, userId, quantity, reason }) => ({ orderNumber, userId, quantity, reason }))
    const activity = activityOf(batch)
    return outgoing(orderRejected, { ...activity, orders: lines }, activity.activityId, atMs)
  })
}

export function cancelledEvents(orders: readonly Order[], reason: CancelReason, atMs: number): OrderEvent[] {
  return batches(orders).map((batch) => {
    const lines = batch.map(({ orderNumber, userId, quantity }) => ({ orderNumber, userId, quantity, reason }))
    const activity = activityOf(batch)
    return outgoing(orderCancelled, { ...activity, orders: lines }, activity.activityId, atMs)
  })
}

export function paidEvent(order: Order, payment: Payment): OrderEvent {
  const { tenantId, activityId, orderNumber, userId, quantity } = order
  const { amountCents, currency, paymentId } = payment
  const data = {
    tenantId,
    activityId,
    orderNumber,
    userId,
    quantity,
    amountCents,
    currency,
    paymentId,
    paidAt: instant(payment.paidAtMs),
  }
  return outgoing(orderPaid, data, orderNumber, payment.receivedAtMs)
}

export function refundRequestedEvent(
  order: ActivityRef & { orderNumber: string; userId: string },
  payment: Payment,
): OrderEvent {
  if (payment.outcome === 'paid') throw new TypeError('a payment that was taken is not refunded')
  const { tenantId, activityId, orderNumber, userId } = order
  const { amountCents, currency, paymentId, outcome: reason } = payment
  const data = { tenantId, activityId, orderNumber, userId, amountCents, currency, paymentId, reason }
  return outgoing(orderRefundRequested, data, orderNumber, payment.receivedAtMs)
}
