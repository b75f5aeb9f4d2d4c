/** The SQL of this function's transactions. What routes only read is in `read-orders.ts`. */
import type { ResultSetHeader, RowDataPacket } from 'mysql2/promise'
import { connectDatabase, type Database, type Transaction } from '@stampede/shared/database/connect.ts'
import { didNotHold, isDuplicateKey } from '@stampede/shared/database/errors.ts'
import type { BoundStatement } from '@stampede/shared/database/sessions.ts'
import { createInbox } from '@stampede/shared/events/inbox.ts'
import type { ActivityRef, KnownPurchase, OrderStore, OrderTransaction, OverdueOrders } from './effects.ts'
import {
  allocationColumns,
  orderColumns,
  quoted,
  quotedList,
  rejectionColumns,
  toAllocation,
  toOrder,
  toRejection,
} from './sql.ts'
import { atOnceStatements, insertOrdersStatement, outbox, released } from './store-at-once.ts'

const inbox = createInbox('order_inbox')

/**
 * The database as the order writer uses it. One connection: parallel transactions would wait for each other at the allocation,
 * and measured slower.
 */
export const connectForWriting = (url: string): Database =>
  connectDatabase(url, { poolSize: 1, multipleStatements: true })

/** `storeAtOnce` needs a database with `multipleStatements`. `prepared` is awaited before each use: the schema is there then. */
export function createOrderStore(database: Database, prepared: () => Promise<void> = async () => {}): OrderStore {
  return {
    isDuplicate: isDuplicateKey,
    prepareAtOnce: (group) => void atOnceStatements(group),
    storeAtOnce: async (group, sent) => {
      await prepared()
      try {
        await database.transactionAtOnce([atOnceStatements(group) as BoundStatement], sent)
        return true
      } catch (error) {
        if (isDuplicateKey(error) || didNotHold(error)) return false
        throw error
      }
    },
    transaction: async (work) => {
      await prepared()
      return database.transaction((connection) => work(onConnection(connection)))
    },
    findOverdue: async (nowMs, limit, without) => {
      await prepared()
      // The one statement over all tenants: the clock works for each of them.
      const [rows] = await database.pool.query<RowDataPacket[]>(
        `SELECT tenant_id, activity_id, order_number FROM order_orders FORCE INDEX (order_orders_due)
         WHERE state = 'pending-payment' AND pay_by <= ?
           ${without.length > 0 ? `AND (tenant_id, activity_id) NOT IN (${pairList(without)})` : ''}
         ORDER BY pay_by LIMIT ?`,
        [new Date(nowMs), limit],
      )
      return groupOverdue(rows)
    },
  }
}

function groupOverdue(rows: readonly RowDataPacket[]): OverdueOrders[] {
  const groups = Map.groupBy(rows, (row) => `${row['tenant_id']}:${row['activity_id']}`)
  return [...groups.values()].map((group) => ({
    tenantId: String(group[0]?.['tenant_id']),
    activityId: String(group[0]?.['activity_id']),
    orderNumbers: group.map((row) => String(row['order_number'])),
  }))
}

function onConnection(connection: Transaction): OrderTransaction {
  const rowsOf = async (sql: string, values?: readonly unknown[]): Promise<RowDataPacket[]> => {
    const [rows] = await connection.query<RowDataPacket[]>(sql, values ? [...values] : undefined)
    return rows
  }
  const change = async (sql: string, values?: readonly unknown[]): Promise<number> => {
    const [result] = await connection.query<ResultSetHeader>(sql, values ? [...values] : undefined)
    return result.affectedRows
  }

  return {
    lockAllocations: async (activities) => {
      if (activities.length === 0) return []
      // The order of the locks is the order of the primary key, the same for everybody.
      const rows = await rowsOf(
        `SELECT ${allocationColumns} FROM order_allocations WHERE (tenant_id, activity_id) IN (${pairList(activities)})
         ORDER BY tenant_id, activity_id FOR UPDATE`,
      )
      return rows.map(toAllocation)
    },

    holdUnknown: async ({ tenantId, activityId }) => {
      // A row that is inserted and deleted leaves nothing but its lock.
      await change(
        `INSERT INTO order_allocations (${allocationColumns}, updated_at)
         VALUES (?, ?, '', 0, 0, 0, 0, '', 0, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), 'cancelled', NULL, FALSE, 0, UTC_TIMESTAMP(3))`,
        [tenantId, activityId],
      )
      await change('DELETE FROM order_allocations WHERE tenant_id = ? AND activity_id = ?', [tenantId, activityId])
    },

    findKnown: async (tenantId, orderNumbers) => {
      const known = new Map<string, KnownPurchase>()
      if (orderNumbers.length === 0) return known
      const numbers = quotedList(orderNumbers)
      const rows = await rowsOf(
        `SELECT order_number, activity_id, user_id, quantity, NULL AS reason FROM order_orders
         WHERE tenant_id = ? AND order_number IN (${numbers})
         UNION ALL
         SELECT order_number, activity_id, user_id, quantity, reason FROM order_rejections
         WHERE tenant_id = ? AND order_number IN (${numbers})`,
        [tenantId, tenantId],
      )
      for (const row of rows) {
        known.set(String(row['order_number']), {
          tenantId,
          activityId: String(row['activity_id']),
          userId: String(row['user_id']),
          quantity: Number(row['quantity']),
          rejectedFor: (row['reason'] as KnownPurchase['rejectedFor'] | null) ?? undefined,
        })
      }
      return known
    },

    liveUnits: async ({ tenantId, activityId }, userIds) => {
      if (userIds.length === 0) return new Map()
      const rows = await rowsOf(
        `SELECT user_id, SUM(quantity) AS units FROM order_orders FORCE INDEX (order_orders_buyer)
         WHERE tenant_id = ? AND activity_id = ? AND user_id IN (${quotedList(userIds)}) AND state NOT IN (${released})
         GROUP BY user_id`,
        [tenantId, activityId],
      )
      return new Map(rows.map((row) => [String(row['user_id']), Number(row['units'])]))
    },

    insertOrders: async (orders) => {
      if (orders.length > 0) await change(insertOrdersStatement(orders))
    },

    insertRejections: async (rejections) => {
      if (rejections.length === 0) return
      const rows = rejections.map((rejection) => [
        rejection.orderNumber,
        rejection.tenantId,
        rejection.activityId,
        rejection.userId,
        rejection.quantity,
        rejection.reason,
        new Date(rejection.rejectedAtMs),
      ])
      await change(`INSERT INTO order_rejections (${rejectionColumns}) VALUES ?`, [rows])
      await change(
        `UPDATE order_allocations SET has_rejections = TRUE, terms_version = terms_version + 1
         WHERE (tenant_id, activity_id) IN (${pairList(rejections)}) AND NOT has_rejections`,
      )
    },

    addSold: async ({ tenantId, activityId }, units) => {
      // The condition repeats the decision: should the two ever differ, the transaction fails instead of overselling.
      const condition = units > 0 ? 'sold + ? <= allocated' : 'sold >= ?'
      const affected = await change(
        `UPDATE order_allocations SET sold = sold + ? WHERE tenant_id = ? AND activity_id = ? AND ${condition}`,
        [units, tenantId, activityId, Math.abs(units)],
      )
      if (affected !== 1) throw new Error(`the allocation of ${activityId} does not allow a change of ${units} units`)
    },

    saveAllocation: async (terms, atMs) => {
      const columns = {
        variant_id: terms.variantId,
        per_user_limit: terms.perUserLimit,
        price_cents: terms.priceCents,
        currency: terms.currency,
        payment_timeout_seconds: terms.paymentTimeoutSeconds,
        starts_at: new Date(terms.startsAtMs),
        ends_at: new Date(terms.endsAtMs),
        state: terms.state,
        closed_at: terms.closedAtMs === undefined ? null : new Date(terms.closedAtMs),
        updated_at: new Date(atMs),
      }
      const identity = { tenant_id: terms.tenantId, activity_id: terms.activityId, allocated: terms.allocated }
      // Purchases of an activity that stayed unknown for too long may have been rejected before this.
      await change(
        `INSERT INTO order_allocations SET ?,
           has_rejections = EXISTS (SELECT 1 FROM order_rejections WHERE tenant_id = ? AND activity_id = ?)
         ON DUPLICATE KEY UPDATE ?, allocated = GREATEST(?, sold), terms_version = terms_version + 1`,
        [{ ...identity, ...columns }, terms.tenantId, terms.activityId, columns, terms.allocated],
      )
    },

    findOrder: async (tenantId, orderNumber) => {
      const [row] = await rowsOf(`SELECT ${orderColumns} FROM order_orders WHERE tenant_id = ? AND order_number = ?`, [
        tenantId,
        orderNumber,
      ])
      return row && toOrder(row)
    },

    lockOrder: async (tenantId, orderNumber) => {
      const [row] = await rowsOf(
        `SELECT ${orderColumns} FROM order_orders WHERE tenant_id = ? AND order_number = ? FOR UPDATE`,
        [tenantId, orderNumber],
      )
      return row && toOrder(row)
    },

    lockPending: async ({ tenantId, activityId }, orderNumbers) => {
      if (orderNumbers.length === 0) return []
      const rows = await rowsOf(
        `SELECT ${orderColumns} FROM order_orders FORCE INDEX (PRIMARY)
         WHERE tenant_id = ? AND activity_id = ? AND order_number IN (${quotedList(orderNumbers)})
           AND state = 'pending-payment' ORDER BY order_number FOR UPDATE SKIP LOCKED`,
        [tenantId, activityId],
      )
      return rows.map(toOrder)
    },

    findRejection: async (tenantId, orderNumber) => {
      const [row] = await rowsOf(
        `SELECT ${rejectionColumns} FROM order_rejections WHERE tenant_id = ? AND order_number = ?`,
        [tenantId, orderNumber],
      )
      return row && toRejection(row)
    },

    applyTransition: async ({ orders, from, to, actor, atMs, cancelReason, payment }) => {
      const first = orders[0]
      if (!first) return
      const columns = {
        state: to,
        ...(to === 'cancelled' ? { cancel_reason: cancelReason ?? null, cancelled_at: new Date(atMs) } : {}),
        ...(payment ? { payment_id: payment.paymentId, paid_at: new Date(payment.paidAtMs) } : {}),
      }
      const affected = await change(
        `UPDATE order_orders SET ?, version = version + 1
         WHERE tenant_id = ? AND order_number IN (${quotedList(orders.map((order) => order.orderNumber))}) AND state = ?`,
        [columns, first.tenantId, from],
      )
      if (affected !== orders.length) throw new Error(`${orders.length - affected} orders were no longer ${from}`)
      const history = orders.map((order) => [
        order.orderNumber,
        order.version + 1,
        order.tenantId,
        from,
        to,
        actor,
        cancelReason ?? null,
        new Date(atMs),
      ])
      await change(
        'INSERT INTO order_transitions (order_number, version, tenant_id, from_state, to_state, actor, reason, at) VALUES ?',
        [history],
      )
    },

    findPayment: async (tenantId, paymentId) => {
      const [row] = await rowsOf('SELECT outcome FROM order_payments WHERE tenant_id = ? AND payment_id = ?', [
        tenantId,
        paymentId,
      ])
      return row && row['outcome']
    },

    insertPayment: async (payment) => {
      await change('INSERT INTO order_payments SET ?', [
        {
          tenant_id: payment.tenantId,
          payment_id: payment.paymentId,
          order_number: payment.orderNumber,
          amount_cents: payment.amountCents,
          currency: payment.currency,
          outcome: payment.outcome,
          paid_at: new Date(payment.paidAtMs),
          received_at: new Date(payment.receivedAtMs),
        },
      ])
    },

    addEvents: (events) => outbox.add(connection, events),
    firstTime: (event) => inbox.firstTime(connection, event),
  }
}

const pairList = (activities: readonly ActivityRef[]): string =>
  [...new Set(activities.map(({ tenantId, activityId }) => `(${quoted(tenantId)},${quoted(activityId)})`))].join(',')
