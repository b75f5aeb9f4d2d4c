/** The statements that store a whole group of orders in one round trip. */
import { changedOneRow, findsNothing } from '@stampede/shared/database/assertions.ts'
import { bindForTenant, type BoundStatement } from '@stampede/shared/database/sessions.ts'
import { tenantStatement } from '@stampede/shared/database/statement.ts'
import { createOutbox } from '@stampede/shared/events/outbox.ts'
import type { GroupAtOnce, NewOrder } from './effects.ts'
import { releasedStates } from './order-state.ts'

export const outbox = createOutbox('order_outbox')

const sell = tenantStatement(
  'order.sell',
  `UPDATE order_allocations SET sold = sold + :units
   WHERE tenant_id = :tenantId AND activity_id = :activityId AND terms_version = :termsVersion AND sold + :units <= allocated`,
)

/** A plain INSERT: with IGNORE a repeated message would be skipped in silence, and its units counted again. */
export const insertOrders = tenantStatement(
  'order.insertOrders',
  `INSERT INTO order_orders (tenant_id, order_number, activity_id, user_id, quantity, amount_cents, currency, accepted_at, created_at,
     pay_by)
   VALUES (:tenantId, :orderNumber, :activityId, :userId, :quantity, :amountCents, :currency, :acceptedAt, :createdAt, :payBy)`,
)

/**
 * Orders whose buyers have more than they may. From the new orders to those of the same buyer, with each index by name: given a list
 * of buyers, the optimizer at times reads all of the activity instead, because its statistics lag behind a table that grows this fast.
 */
const overLimit = tenantStatement(
  'order.overLimit',
  `SELECT 1 FROM order_orders fresh FORCE INDEX (PRIMARY) STRAIGHT_JOIN order_orders held FORCE INDEX (order_orders_buyer)
     ON held.tenant_id = fresh.tenant_id AND held.activity_id = fresh.activity_id AND held.user_id = fresh.user_id
   WHERE fresh.tenant_id = :tenantId AND fresh.order_number IN (:orderNumbers) AND held.state NOT IN (:releasedStates)
   GROUP BY fresh.order_number HAVING SUM(held.quantity) > :perUserLimit`,
)

const rejectedBefore = tenantStatement(
  'order.rejectedBefore',
  'SELECT 1 FROM order_rejections FORCE INDEX (PRIMARY) WHERE tenant_id = :tenantId AND order_number IN (:orderNumbers)',
)

const prepared = new WeakMap<GroupAtOnce, BoundStatement[]>()

/** All of a group: the allocations (which holds them), the orders, the check of the limits, the events. Fails unless all of it fits. */
export function atOnceStatements(group: GroupAtOnce): BoundStatement[] {
  let statements = prepared.get(group)
  if (statements === undefined) prepared.set(group, (statements = makeStatements(group)))
  return statements
}

function makeStatements({ allocations, orders, events }: GroupAtOnce): BoundStatement[] {
  const statements: BoundStatement[] = []
  for (const { tenantId, activityId, termsVersion, units } of allocations) {
    statements.push(bindForTenant(tenantId).bind(sell, { activityId, termsVersion, units }), changedOneRow)
  }
  for (const [tenantId, own] of byTenant(orders)) {
    statements.push(bindForTenant(tenantId).bindAll(insertOrders, own.map(orderRow)))
  }
  for (const { tenantId, activityId, perUserLimit, hasRejections } of allocations) {
    const { bind } = bindForTenant(tenantId)
    const orderNumbers = orders
      .filter((order) => order.activityId === activityId && order.tenantId === tenantId)
      .map((order) => order.orderNumber)
    // After the insert, so that buyers who come twice in the group are counted too; after the lock, so that nobody else inserts.
    statements.push(findsNothing(bind(overLimit, { orderNumbers, releasedStates, perUserLimit })))
    // A purchase that was rejected stays rejected, also when there is stock again: its units went back when it was told.
    if (hasRejections) statements.push(findsNothing(bind(rejectedBefore, { orderNumbers })))
  }
  statements.push(outbox.bind(events))
  return statements
}

/** An order as values of `insertOrders`. */
export const orderRow = (order: NewOrder) => ({
  orderNumber: order.orderNumber,
  activityId: order.activityId,
  userId: order.userId,
  quantity: order.quantity,
  amountCents: order.amountCents,
  currency: order.currency,
  acceptedAt: new Date(order.acceptedAtMs),
  createdAt: new Date(order.createdAtMs),
  payBy: new Date(order.payByMs),
})

/** A transaction may be for several tenants. In order of their ids: that is the order of locks, the same for everybody. */
export const byTenant = <T extends { tenantId: string }>(items: readonly T[]): [tenantId: string, own: T[]][] =>
  [...Map.groupBy(items, ({ tenantId }) => tenantId)].sort(([one], [other]) => (one < other ? -1 : 1))
