/** The SQL of what routes read. Nothing here locks. */
import type { RowDataPacket } from 'mysql2/promise'
import type { Database } from '@stampede/shared/database/connect.ts'
import type { OrderNumber } from '@stampede/shared/ids/order-number.ts'
import type { ActivityRef, Order, Rejection } from './effects.ts'
import type { OrderState } from './order-state.ts'
import { orderColumns, quotedList, rejectionColumns, toOrder, toRejection } from './sql.ts'

export type HistoryEntry = { from: OrderState; to: OrderState; actor: string; reason: string | undefined; atMs: number }
export type OrderLine = { orderNumber: OrderNumber; userId: string; quantity: number; state: OrderState }
export type OrderTotals = {
  /** Undefined: the allocation has not arrived here. */
  allocated: number | undefined
  /** Units of orders that hold stock. */
  sold: number
  states: Partial<Record<OrderState, { orders: number; units: number }>>
  /** Rejected purchases by reason. */
  rejected: Record<string, number>
}

export type OrderReader = ReturnType<typeof createOrderReader>

export function createOrderReader(database: Database, prepared: () => Promise<void> = async () => {}) {
  const rowsOf = async (sql: string, values: readonly unknown[]): Promise<RowDataPacket[]> => {
    await prepared()
    const [rows] = await database.pool.query<RowDataPacket[]>(sql, [...values])
    return rows
  }

  return {
    ownOrder: async (tenantId: string, userId: string, orderNumber: OrderNumber): Promise<Order | undefined> => {
      const [row] = await rowsOf(
        `SELECT ${orderColumns} FROM order_orders WHERE tenant_id = ? AND user_id = ? AND order_number = ?`,
        [tenantId, userId, orderNumber],
      )
      return row && toOrder(row)
    },

    history: async (tenantId: string, orderNumber: OrderNumber): Promise<HistoryEntry[]> => {
      const rows = await rowsOf(
        `SELECT from_state, to_state, actor, reason, at FROM order_transitions
         WHERE tenant_id = ? AND order_number = ? ORDER BY version`,
        [tenantId, orderNumber],
      )
      return rows.map((row) => ({
        from: row['from_state'] as OrderState,
        to: row['to_state'] as OrderState,
        actor: String(row['actor']),
        reason: (row['reason'] as string | null) ?? undefined,
        atMs: (row['at'] as Date).getTime(),
      }))
    },

    /** A buyer's orders, newest first, older than `before`. */
    ownOrders: async (
      tenantId: string,
      userId: string,
      before: OrderNumber | undefined,
      limit: number,
    ): Promise<Order[]> => {
      const older = before === undefined ? '' : 'AND order_number < ?'
      const rows = await rowsOf(
        `SELECT ${orderColumns} FROM order_orders FORCE INDEX (order_orders_user)
         WHERE tenant_id = ? AND user_id = ? ${older} ORDER BY order_number DESC LIMIT ?`,
        [tenantId, userId, ...(before === undefined ? [] : [before]), limit],
      )
      return rows.map(toOrder)
    },

    /**
     * Orders of an activity in the order of their buyers, since that is how the index holds them, after the order `after`.
     * Undefined when `after` is not an order of the activity.
     */
    activityOrders: async (
      { tenantId, activityId }: ActivityRef,
      after: OrderNumber | undefined,
      limit: number,
    ): Promise<OrderLine[] | undefined> => {
      const position: string[] = []
      if (after !== undefined) {
        const [row] = await rowsOf(
          'SELECT user_id FROM order_orders WHERE tenant_id = ? AND activity_id = ? AND order_number = ?',
          [tenantId, activityId, after],
        )
        if (!row) return undefined
        position.push(String(row['user_id']), String(row['user_id']), after)
      }
      const further = after === undefined ? '' : 'AND user_id >= ? AND (user_id > ? OR order_number > ?)'
      const rows = await rowsOf(
        `SELECT order_number, user_id, quantity, state FROM order_orders FORCE INDEX (order_orders_buyer)
         WHERE tenant_id = ? AND activity_id = ? ${further} ORDER BY user_id, order_number LIMIT ?`,
        [tenantId, activityId, ...position, limit],
      )
      return rows.map(toLine)
    },

    /** What is known of these order numbers, as far as they are of this activity. */
    lookUp: async (
      { tenantId, activityId }: ActivityRef,
      orderNumbers: readonly OrderNumber[],
    ): Promise<{ orders: OrderLine[]; rejections: Rejection[] }> => {
      const numbers = quotedList(orderNumbers)
      const [orders, rejections] = await Promise.all([
        rowsOf(
          `SELECT order_number, user_id, quantity, state FROM order_orders FORCE INDEX (PRIMARY)
           WHERE tenant_id = ? AND activity_id = ? AND order_number IN (${numbers})`,
          [tenantId, activityId],
        ),
        rowsOf(
          `SELECT ${rejectionColumns} FROM order_rejections FORCE INDEX (PRIMARY)
           WHERE tenant_id = ? AND activity_id = ? AND order_number IN (${numbers})`,
          [tenantId, activityId],
        ),
      ])
      return { orders: orders.map(toLine), rejections: rejections.map(toRejection) }
    },

    totals: async ({ tenantId, activityId }: ActivityRef): Promise<OrderTotals> => {
      const values = [tenantId, activityId]
      const [[allocation], states, rejected] = await Promise.all([
        rowsOf('SELECT allocated, sold FROM order_allocations WHERE tenant_id = ? AND activity_id = ?', values),
        rowsOf(
          `SELECT state, COUNT(*) AS orders, SUM(quantity) AS units FROM order_orders FORCE INDEX (order_orders_buyer)
           WHERE tenant_id = ? AND activity_id = ? GROUP BY state`,
          values,
        ),
        rowsOf(
          'SELECT reason, COUNT(*) AS purchases FROM order_rejections WHERE tenant_id = ? AND activity_id = ? GROUP BY reason',
          values,
        ),
      ])
      return {
        allocated: allocation && Number(allocation['allocated']),
        sold: Number(allocation?.['sold'] ?? 0),
        states: Object.fromEntries(
          states.map((row) => [row['state'], { orders: Number(row['orders']), units: Number(row['units']) }]),
        ),
        rejected: Object.fromEntries(rejected.map((row) => [row['reason'], Number(row['purchases'])])),
      }
    },
  }
}

const toLine = (row: RowDataPacket): OrderLine => ({
  orderNumber: String(row['order_number']),
  userId: String(row['user_id']),
  quantity: Number(row['quantity']),
  state: row['state'] as OrderState,
})
