/**
 * The event catalogue: the one source of the event types, their JSON schemas, the EventTypes, the AsyncAPI document and the
 * TypeScript types. Order events carry many orders of one activity, because one delivery for each order would cost more
 * than the order itself; each order is still decided on its own.
 */
import { z } from 'zod'
import { alarmEvents } from './alarm-events.ts'
import { couponEvents } from './coupon-events.ts'
import { defineEvent } from './definition.ts'
import { identityEvents } from './identity-events.ts'

const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)
const orderNumber = z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/, 'a ULID')
const instant = z.iso.datetime({ precision: 3 })
const quantity = z.int().min(1).max(1_000)
const money = { amountCents: z.int().nonnegative(), currency: z.string().regex(/^[A-Z]{3}$/) }
const ofActivity = { tenantId: identifier, activityId: identifier }
/** A limit on every list: an event stays far below Kafka's and HTTP's limits. */
const maximumOrdersPerEvent = 1_000
const many = <S extends z.ZodType>(item: S) => z.array(item).min(1).max(maximumOrdersPerEvent)

const activityKey = (data: { tenantId: string; activityId: string }) => `${data.tenantId}:${data.activityId}`

export const saleTerms = z.object({
  ...ofActivity,
  name: z.string().min(1).max(200),
  variantId: identifier,
  stock: z.int().min(1).max(100_000_000),
  perUserLimit: z.int().min(1).max(1_000),
  buckets: z.int().min(1).max(64),
  startsAt: instant,
  endsAt: instant,
  priceCents: z.int().nonnegative(),
  currency: money.currency,
  paymentTimeoutSeconds: z.int().min(1).max(604_800),
})
export type SaleTerms = z.output<typeof saleTerms>

export const activityScheduled = defineEvent({
  type: 'io.stampede.activity.scheduled.v1',
  source: '/functions/activity',
  summary: 'An activity is scheduled; its stock is to be allocated and its sale to be warmed up.',
  subject: 'activity id',
  data: saleTerms,
  partitionKey: activityKey,
})

/** A change of what the sale answers while it runs. */
const saleStateChange = z.object({ ...ofActivity, at: instant })
const saleStateEvent = (verb: string, summary: string) =>
  defineEvent({
    type: `io.stampede.activity.${verb}.v1`,
    source: '/functions/activity',
    summary,
    subject: 'activity id',
    data: saleStateChange,
    partitionKey: activityKey,
  })
export const activityOpened = saleStateEvent('opened', 'The window of an activity began.')
export const activityPaused = saleStateEvent('paused', 'Staff paused the sale: no purchases until it is resumed.')
export const activityResumed = saleStateEvent('resumed', 'Staff resumed a paused sale.')
export const activityClosed = saleStateEvent('closed', 'The sale ended: by its window or by staff.')
export const activityCancelled = saleStateEvent('cancelled', 'A scheduled activity was withdrawn before it opened.')

export const activitySettled = defineEvent({
  type: 'io.stampede.activity.settled.v1',
  source: '/functions/activity',
  summary: 'All orders of a closed activity are final; unsold stock goes back to the variant.',
  subject: 'activity id',
  data: z.object({
    ...ofActivity,
    variantId: identifier,
    allocated: z.int(),
    sold: z.int(),
    unsold: z.int(),
    at: instant,
  }),
  partitionKey: activityKey,
})

export const inventoryAllocated = defineEvent({
  type: 'io.stampede.inventory.allocated.v1',
  source: '/functions/inventory',
  summary: 'The stock of an activity was taken from its variant and set aside.',
  subject: 'activity id',
  data: saleTerms,
  partitionKey: activityKey,
})

export const inventoryAllocationRefused = defineEvent({
  type: 'io.stampede.inventory.allocation-refused.v1',
  source: '/functions/inventory',
  summary: 'The stock of an activity could not be set aside.',
  subject: 'activity id',
  data: z.object({ ...ofActivity, variantId: identifier, wanted: z.int(), available: z.int(), at: instant }),
  partitionKey: activityKey,
})

export const inventoryWarmedUp = defineEvent({
  type: 'io.stampede.inventory.warmed-up.v1',
  source: '/functions/inventory',
  summary: 'The sale of an activity is loaded into Redis and can open.',
  subject: 'activity id',
  data: z.object({ ...ofActivity, stock: z.int(), buckets: z.int(), at: instant }),
  partitionKey: activityKey,
})

export const inventoryLowStock = defineEvent({
  type: 'io.stampede.inventory.low-stock.v1',
  source: '/functions/inventory',
  summary: 'The free stock of a variant fell below its threshold.',
  subject: 'variant id',
  data: z.object({ tenantId: identifier, variantId: identifier, available: z.int(), threshold: z.int(), at: instant }),
  partitionKey: (data) => `${data.tenantId}:${data.variantId}`,
})

/** One accepted purchase as the sale's outbox and Kafka carry it. */
export const acceptedPurchase = z.object({
  orderNumber,
  userId: identifier,
  quantity,
  /** W3C traceparent of the buyer's request, when it was sampled. */
  traceparent: z.string().max(64).optional(),
})
export type AcceptedPurchase = z.output<typeof acceptedPurchase>

export const purchaseAccepted = defineEvent({
  type: 'io.stampede.purchase.accepted.v1',
  source: '/functions/seckill',
  summary: 'Purchases were accepted: stock is taken and an order is promised for each.',
  subject: 'activity id',
  data: z.object({ ...ofActivity, bucket: z.int().min(0), purchases: many(acceptedPurchase) }),
  // Set by the relay: activity and a shard of the buyers, so that the events of one buyer stay in order.
})

const orderLine = z.object({ orderNumber, userId: identifier, quantity })
const orderBatch = <S extends z.ZodType>(order: S) => z.object({ ...ofActivity, orders: many(order) })

export const orderCreated = defineEvent({
  type: 'io.stampede.order.created.v1',
  source: '/functions/order',
  summary: 'Orders were stored and wait for payment.',
  subject: 'activity id',
  data: orderBatch(z.object({ ...orderLine.shape, ...money, payBy: instant })),
  partitionKey: activityKey,
})

export const orderRejectionReasons = [
  'allocation-exhausted',
  'over-limit',
  'activity-unknown',
  'activity-closed',
] as const
export const orderRejected = defineEvent({
  type: 'io.stampede.order.rejected.v1',
  source: '/functions/order',
  summary: 'Accepted purchases could not become orders; stock and the right to buy go back.',
  subject: 'activity id',
  data: orderBatch(z.object({ ...orderLine.shape, reason: z.enum(orderRejectionReasons) })),
  partitionKey: activityKey,
})

export const orderCancelReasons = ['payment-timeout', 'buyer', 'staff'] as const
export const orderCancelled = defineEvent({
  type: 'io.stampede.order.cancelled.v1',
  source: '/functions/order',
  summary: 'Unpaid orders were cancelled; stock and the right to buy go back.',
  subject: 'activity id',
  data: orderBatch(z.object({ ...orderLine.shape, reason: z.enum(orderCancelReasons) })),
  partitionKey: activityKey,
})

export const orderPaid = defineEvent({
  type: 'io.stampede.order.paid.v1',
  source: '/functions/order',
  summary: 'An order was paid.',
  subject: 'order number',
  data: z.object({ ...ofActivity, ...orderLine.shape, ...money, paymentId: identifier, paidAt: instant }),
  partitionKey: (data) => data.orderNumber,
})

export const orderRefundRequested = defineEvent({
  type: 'io.stampede.order.refund-requested.v1',
  source: '/functions/order',
  summary: 'Money arrived for an order that can no longer take it and must go back to the buyer.',
  subject: 'order number',
  data: z.object({
    ...ofActivity,
    orderNumber,
    userId: identifier,
    ...money,
    paymentId: identifier,
    reason: z.enum(['paid-after-cancellation', 'paid-twice', 'amount-differs']),
  }),
  partitionKey: (data) => data.orderNumber,
})

export const paymentSucceeded = defineEvent({
  type: 'io.stampede.payment.succeeded.v1',
  source: '/functions/payment',
  summary: 'A payment channel confirmed a payment.',
  subject: 'order number',
  data: z.object({ tenantId: identifier, orderNumber, paymentId: identifier, ...money, paidAt: instant }),
  partitionKey: (data) => data.orderNumber,
})

export const reconciliationCompleted = defineEvent({
  type: 'io.stampede.reconciliation.completed.v1',
  source: '/functions/reconciliation',
  summary: 'The stock of a sale was compared with its orders; repairs and open findings are listed.',
  subject: 'activity id',
  data: z.object({
    ...ofActivity,
    runId: identifier,
    repaired: z.int(),
    open: z.int(),
    findings: z.array(z.object({ kind: z.string(), count: z.int(), repaired: z.boolean() })).max(100),
    at: instant,
  }),
  partitionKey: activityKey,
})

/** Every event of the platform, for generators and validation. */
export const catalogue = [
  activityScheduled,
  activityOpened,
  activityPaused,
  activityResumed,
  activityClosed,
  activityCancelled,
  activitySettled,
  inventoryAllocated,
  inventoryAllocationRefused,
  inventoryWarmedUp,
  inventoryLowStock,
  purchaseAccepted,
  orderCreated,
  orderRejected,
  orderCancelled,
  orderPaid,
  orderRefundRequested,
  paymentSucceeded,
  reconciliationCompleted,
  ...identityEvents,
  ...couponEvents,
  ...alarmEvents,
] as const
