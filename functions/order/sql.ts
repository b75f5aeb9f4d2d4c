/** Columns and rows: what the statements of this function share. */
import type { Row } from '@stampede/shared/database/sessions.ts'
import type { Allocation, AllocationState, CancelReason, Order, Rejection, RejectionReason } from './effects.ts'
import type { OrderState } from './order-state.ts'

const timeOf = (value: unknown): number | undefined => (value instanceof Date ? value.getTime() : undefined)

export const orderColumns = `order_number, tenant_id, activity_id, user_id, quantity, amount_cents, currency, state, cancel_reason,
  accepted_at, created_at, pay_by, paid_at, cancelled_at, payment_id, version`

export function toOrder(row: Row): Order {
  return {
    orderNumber: String(row['order_number']),
    tenantId: String(row['tenant_id']),
    activityId: String(row['activity_id']),
    userId: String(row['user_id']),
    quantity: Number(row['quantity']),
    amountCents: Number(row['amount_cents']),
    currency: String(row['currency']),
    state: row['state'] as OrderState,
    cancelReason: (row['cancel_reason'] as CancelReason | null) ?? undefined,
    acceptedAtMs: timeOf(row['accepted_at']) ?? 0,
    createdAtMs: timeOf(row['created_at']) ?? 0,
    payByMs: timeOf(row['pay_by']) ?? 0,
    paidAtMs: timeOf(row['paid_at']),
    cancelledAtMs: timeOf(row['cancelled_at']),
    paymentId: (row['payment_id'] as string | null) ?? undefined,
    version: Number(row['version']),
  }
}

export const allocationColumns = `tenant_id, activity_id, variant_id, allocated, sold, per_user_limit, price_cents, currency,
  payment_timeout_seconds, starts_at, ends_at, state, closed_at, has_rejections, terms_version`

export function toAllocation(row: Row): Allocation {
  return {
    tenantId: String(row['tenant_id']),
    activityId: String(row['activity_id']),
    variantId: String(row['variant_id']),
    allocated: Number(row['allocated']),
    sold: Number(row['sold']),
    perUserLimit: Number(row['per_user_limit']),
    priceCents: Number(row['price_cents']),
    currency: String(row['currency']),
    paymentTimeoutSeconds: Number(row['payment_timeout_seconds']),
    startsAtMs: timeOf(row['starts_at']) ?? 0,
    endsAtMs: timeOf(row['ends_at']) ?? 0,
    state: row['state'] as AllocationState,
    closedAtMs: timeOf(row['closed_at']),
    hasRejections: Boolean(row['has_rejections']),
    termsVersion: Number(row['terms_version']),
  }
}

export const rejectionColumns = 'order_number, tenant_id, activity_id, user_id, quantity, reason, rejected_at'

export function toRejection(row: Row): Rejection {
  return {
    orderNumber: String(row['order_number']),
    tenantId: String(row['tenant_id']),
    activityId: String(row['activity_id']),
    userId: String(row['user_id']),
    quantity: Number(row['quantity']),
    reason: row['reason'] as RejectionReason,
    rejectedAtMs: timeOf(row['rejected_at']) ?? 0,
  }
}
