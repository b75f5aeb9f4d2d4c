/** The SQL that stores a whole group of orders in one round trip. */
import { mustHold } from '@stampede/shared/database/errors.ts'
import { createOutbox } from '@stampede/shared/events/outbox.ts'
import type { ActivityRef, GroupAtOnce, NewOrder } from './effects.ts'
import { releasedStates } from './order-state.ts'
import { integer, quoted, quotedInstant, quotedList } from './sql.ts'

export const outbox = createOutbox('order_outbox')
/** States that do not count as live, as a list for `IN`. */
export const released = quotedList(releasedStates)

const prepared = new WeakMap<GroupAtOnce, string>()

/** All of a group: the allocations (which holds them), the orders, the check of the limits, the events. Fails unless all of it fits. */
export function atOnceStatements(group: GroupAtOnce): string {
  let statements = prepared.get(group)
  if (statements === undefined) prepared.set(group, (statements = makeStatements(group)))
  return statements
}

function makeStatements({ allocations, orders, events }: GroupAtOnce): string {
  const statements: string[] = []
  for (const { tenantId, activityId, termsVersion, units } of allocations) {
    statements.push(
      `UPDATE order_allocations SET sold=sold+${integer(units)} WHERE ${ofActivity({ tenantId, activityId })}` +
        ` AND terms_version=${integer(termsVersion)} AND sold+${integer(units)}<=allocated`,
      mustHold('ROW_COUNT()=1'),
    )
  }
  statements.push(insertOrdersStatement(orders))
  for (const allocation of allocations) {
    const own = orders.filter(
      (order) => order.activityId === allocation.activityId && order.tenantId === allocation.tenantId,
    )
    const numbers = quotedList(own.map((order) => order.orderNumber))
    // After the insert, so that buyers who come twice in the group are counted too; after the lock, so that nobody else inserts.
    // From the new orders to those of the same buyer, with each index by name: given a list of buyers, the optimizer at times reads
    // all of the activity instead, because its statistics lag behind a table that grows this fast.
    statements.push(
      mustHold(
        'NOT EXISTS(SELECT 1 FROM order_orders placed FORCE INDEX (PRIMARY)' +
          ' STRAIGHT_JOIN order_orders held FORCE INDEX (order_orders_buyer)' +
          ' ON held.tenant_id=placed.tenant_id AND held.activity_id=placed.activity_id AND held.user_id=placed.user_id' +
          ` WHERE placed.order_number IN(${numbers}) AND held.state NOT IN(${released})` +
          ` GROUP BY placed.order_number HAVING SUM(held.quantity)>${integer(allocation.perUserLimit)})`,
      ),
    )
    // A purchase that was rejected stays rejected, also when there is stock again: its units went back when it was told.
    if (allocation.hasRejections) {
      statements.push(
        mustHold(
          `NOT EXISTS(SELECT 1 FROM order_rejections FORCE INDEX (PRIMARY) WHERE tenant_id=${quoted(allocation.tenantId)}` +
            ` AND order_number IN(${numbers}))`,
        ),
      )
    }
  }
  statements.push(outbox.bind(events))
  return statements.join(';')
}

const ofActivity = ({ tenantId, activityId }: ActivityRef): string =>
  `tenant_id=${quoted(tenantId)} AND activity_id=${quoted(activityId)}`

/** A plain INSERT: with IGNORE a repeated message would be skipped in silence, and its units counted again. */
export function insertOrdersStatement(orders: readonly NewOrder[]): string {
  const instantOf = instantCache()
  const rows = orders.map(
    (order) =>
      `(${quoted(order.orderNumber)},${quoted(order.tenantId)},${quoted(order.activityId)},${quoted(order.userId)},` +
      `${integer(order.quantity)},${integer(order.amountCents)},${quoted(order.currency)},` +
      `${instantOf(order.acceptedAtMs)},${instantOf(order.createdAtMs)},${instantOf(order.payByMs)})`,
  )
  return (
    'INSERT INTO order_orders(order_number,tenant_id,activity_id,user_id,quantity,amount_cents,currency,accepted_at,created_at,pay_by)' +
    `VALUES${rows.join(',')}`
  )
}

/** The orders of a group share most of their times. */
function instantCache(): (ms: number) => string {
  const known = new Map<number, string>()
  return (ms) => {
    let text = known.get(ms)
    if (text === undefined) known.set(ms, (text = quotedInstant(ms)))
    return text
  }
}
