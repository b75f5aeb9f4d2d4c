/** The statements of this function's transactions, in the order of `OrderTransaction`. */
import { platformStatement, tenantStatement } from '@stampede/shared/database/statement.ts'
import { allocationColumns, orderColumns, rejectionColumns } from './sql.ts'

export const overdueOrders = platformStatement(
  'order.findOverdue',
  `SELECT tenant_id, activity_id, order_number FROM order_orders FORCE INDEX (order_orders_due)
   WHERE state = 'pending-payment' AND pay_by <= :now AND CONCAT(tenant_id, ' ', activity_id) NOT IN (:without)
   ORDER BY pay_by LIMIT :limit`,
  'the clock cancels overdue orders of all tenants',
)

export const earliestDeadline = platformStatement(
  'order.nextDeadline',
  `SELECT MIN(pay_by) AS payBy FROM order_orders FORCE INDEX (order_orders_due) WHERE state = 'pending-payment'`,
  'the clock looks when the next order of any tenant is overdue',
)

export const heldAllocations = tenantStatement(
  'order.lockAllocations',
  `SELECT ${allocationColumns} FROM order_allocations
   WHERE tenant_id = :tenantId AND activity_id IN (:activityIds) ORDER BY activity_id FOR UPDATE`,
)
export const insertPlaceholder = tenantStatement(
  'order.insertPlaceholder',
  `INSERT INTO order_allocations (tenant_id, activity_id, variant_id, allocated, sold, per_user_limit, price_cents, currency,
     payment_timeout_seconds, starts_at, ends_at, state, terms_version, updated_at)
   VALUES (:tenantId, :activityId, '', 0, 0, 0, 0, '', 0, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), 'cancelled', 0, UTC_TIMESTAMP(3))`,
)
export const deletePlaceholder = tenantStatement(
  'order.deletePlaceholder',
  'DELETE FROM order_allocations WHERE tenant_id = :tenantId AND activity_id = :activityId AND terms_version = 0',
)
export const knownPurchases = tenantStatement(
  'order.findKnown',
  `SELECT order_number, activity_id, user_id, quantity, NULL AS reason FROM order_orders
   WHERE tenant_id = :tenantId AND order_number IN (:orderNumbers)
   UNION ALL
   SELECT order_number, activity_id, user_id, quantity, reason FROM order_rejections
   WHERE tenant_id = :tenantId AND order_number IN (:orderNumbers)`,
)
export const liveUnitsOfBuyers = tenantStatement(
  'order.liveUnits',
  `SELECT user_id, SUM(quantity) AS units FROM order_orders FORCE INDEX (order_orders_buyer)
   WHERE tenant_id = :tenantId AND activity_id = :activityId AND user_id IN (:userIds) AND state NOT IN (:releasedStates)
   GROUP BY user_id`,
)
export const insertRejections = tenantStatement(
  'order.insertRejections',
  `INSERT INTO order_rejections (tenant_id, order_number, activity_id, user_id, quantity, reason, rejected_at)
   VALUES (:tenantId, :orderNumber, :activityId, :userId, :quantity, :reason, :rejectedAt)`,
)
export const markRejections = tenantStatement(
  'order.markRejections',
  `UPDATE order_allocations SET has_rejections = TRUE, terms_version = terms_version + 1
   WHERE tenant_id = :tenantId AND activity_id IN (:activityIds) AND NOT has_rejections`,
)
export const takeUnits = tenantStatement(
  'order.takeUnits',
  `UPDATE order_allocations SET sold = sold + :units
   WHERE tenant_id = :tenantId AND activity_id = :activityId AND sold + :units <= allocated`,
)
export const giveUnitsBack = tenantStatement(
  'order.giveUnitsBack',
  `UPDATE order_allocations SET sold = sold - :units
   WHERE tenant_id = :tenantId AND activity_id = :activityId AND sold >= :units`,
)
// Purchases of an activity that stayed unknown for too long may have been rejected before its terms come.
export const putAllocation = tenantStatement(
  'order.saveAllocation',
  `INSERT INTO order_allocations (tenant_id, activity_id, allocated, variant_id, per_user_limit, price_cents, currency,
     payment_timeout_seconds, starts_at, ends_at, state, closed_at, updated_at, has_rejections)
   VALUES (:tenantId, :activityId, :allocated, :variantId, :perUserLimit, :priceCents, :currency,
     :paymentTimeoutSeconds, :startsAt, :endsAt, :state, :closedAt, :at,
     EXISTS (SELECT 1 FROM order_rejections WHERE tenant_id = :tenantId AND activity_id = :activityId))
   ON DUPLICATE KEY UPDATE variant_id = VALUES(variant_id), per_user_limit = VALUES(per_user_limit),
     price_cents = VALUES(price_cents), currency = VALUES(currency), payment_timeout_seconds = VALUES(payment_timeout_seconds),
     starts_at = VALUES(starts_at), ends_at = VALUES(ends_at), state = VALUES(state), closed_at = VALUES(closed_at),
     updated_at = VALUES(updated_at), allocated = GREATEST(VALUES(allocated), sold), terms_version = terms_version + 1`,
)
export const orderByNumber = tenantStatement(
  'order.findOrder',
  `SELECT ${orderColumns} FROM order_orders WHERE tenant_id = :tenantId AND order_number = :orderNumber`,
)
export const heldOrder = tenantStatement(
  'order.lockOrder',
  `SELECT ${orderColumns} FROM order_orders WHERE tenant_id = :tenantId AND order_number = :orderNumber FOR UPDATE`,
)
export const heldPending = tenantStatement(
  'order.lockPending',
  `SELECT ${orderColumns} FROM order_orders FORCE INDEX (PRIMARY)
   WHERE tenant_id = :tenantId AND activity_id = :activityId AND order_number IN (:orderNumbers) AND state = 'pending-payment'
   ORDER BY order_number FOR UPDATE SKIP LOCKED`,
)
export const rejectionByNumber = tenantStatement(
  'order.findRejection',
  `SELECT ${rejectionColumns} FROM order_rejections WHERE tenant_id = :tenantId AND order_number = :orderNumber`,
)
export const updateState = tenantStatement(
  'order.applyTransition',
  `UPDATE order_orders SET state = :to, version = version + 1, cancel_reason = COALESCE(:cancelReason, cancel_reason),
     cancelled_at = COALESCE(:cancelledAt, cancelled_at), payment_id = COALESCE(:paymentId, payment_id),
     paid_at = COALESCE(:paidAt, paid_at)
   WHERE tenant_id = :tenantId AND order_number IN (:orderNumbers) AND state = :from`,
)
export const insertTransitions = tenantStatement(
  'order.insertTransitions',
  `INSERT INTO order_transitions (tenant_id, order_number, version, from_state, to_state, actor, reason, at)
   VALUES (:tenantId, :orderNumber, :version, :from, :to, :actor, :reason, :at)`,
)
export const paymentById = tenantStatement(
  'order.findPayment',
  'SELECT outcome FROM order_payments WHERE tenant_id = :tenantId AND payment_id = :paymentId',
)
export const insertPayment = tenantStatement(
  'order.insertPayment',
  `INSERT INTO order_payments (tenant_id, payment_id, order_number, amount_cents, currency, outcome, paid_at, received_at)
   VALUES (:tenantId, :paymentId, :orderNumber, :amountCents, :currency, :outcome, :paidAt, :receivedAt)`,
)
