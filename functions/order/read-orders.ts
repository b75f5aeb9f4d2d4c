/** The SQL of what routes read. Nothing here locks. */
import type { Database } from '@stampede/shared/database/connect.ts'
import type { Row, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { tenantStatement } from '@stampede/shared/database/statement.ts'
import type { OrderNumber } from '@stampede/shared/ids/order-number.ts'
import type { ActivityRef, Order, Rejection } from './effects.ts'
import type { OrderState } from './order-state.ts'
import { orderColumns, rejectionColumns, toOrder, toRejection } from './sql.ts'

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

const ownOrder = tenantStatement(
  'order.ownOrder',
  `SELECT ${orderColumns} FROM order_orders WHERE tenant_id = :tenantId AND user_id = :userId AND order_number = :orderNumber`,
)
const transitions = tenantStatement(
  'order.history',
  `SELECT from_state, to_state, actor, reason, at FROM order_transitions
   WHERE tenant_id = :tenantId AND order_number = :orderNumber ORDER BY version`,
)
const ownOrders = tenantStatement(
  'order.ownOrders',
  `SELECT ${orderColumns} FROM order_orders FORCE INDEX (order_orders_user)
   WHERE tenant_id = :tenantId AND user_id = :userId AND (:before IS NULL OR order_number < :before)
   ORDER BY order_number DESC LIMIT :limit`,
)
const rowsUpTo = tenantStatement(
  'order.countRows',
  `SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM order_orders WHERE tenant_id = :tenantId LIMIT :most) AS orders)
     + (SELECT COUNT(*) FROM (SELECT 1 FROM order_rejections WHERE tenant_id = :tenantId LIMIT :most) AS rejections)
     + (SELECT COUNT(*) FROM (SELECT 1 FROM order_payments WHERE tenant_id = :tenantId LIMIT :most) AS payments) AS counted`,
)
const buyerOfOrder = tenantStatement(
  'order.buyerOfOrder',
  'SELECT user_id FROM order_orders WHERE tenant_id = :tenantId AND activity_id = :activityId AND order_number = :orderNumber',
)
const ordersByBuyer = tenantStatement(
  'order.activityOrders',
  `SELECT order_number, user_id, quantity, state FROM order_orders FORCE INDEX (order_orders_buyer)
   WHERE tenant_id = :tenantId AND activity_id = :activityId
     AND user_id >= :afterUserId AND (user_id > :afterUserId OR order_number > :after)
   ORDER BY user_id, order_number LIMIT :limit`,
)
const ordersByNumbers = tenantStatement(
  'order.lookUpOrders',
  `SELECT order_number, user_id, quantity, state FROM order_orders FORCE INDEX (PRIMARY)
   WHERE tenant_id = :tenantId AND activity_id = :activityId AND order_number IN (:orderNumbers)`,
)
const rejectionsByNumbers = tenantStatement(
  'order.lookUpRejections',
  `SELECT ${rejectionColumns} FROM order_rejections FORCE INDEX (PRIMARY)
   WHERE tenant_id = :tenantId AND activity_id = :activityId AND order_number IN (:orderNumbers)`,
)
const allocationTotals = tenantStatement(
  'order.allocationTotals',
  'SELECT allocated, sold FROM order_allocations WHERE tenant_id = :tenantId AND activity_id = :activityId',
)
const stateTotals = tenantStatement(
  'order.stateTotals',
  `SELECT state, COUNT(*) AS orders, SUM(quantity) AS units FROM order_orders FORCE INDEX (order_orders_buyer)
   WHERE tenant_id = :tenantId AND activity_id = :activityId GROUP BY state`,
)
const rejectionTotals = tenantStatement(
  'order.rejectionTotals',
  `SELECT reason, COUNT(*) AS purchases FROM order_rejections
   WHERE tenant_id = :tenantId AND activity_id = :activityId GROUP BY reason`,
)

export type OrderReader = ReturnType<typeof createOrderReader>

export function createOrderReader(database: Database, prepared: () => Promise<void> = async () => {}) {
  const forTenant = async (tenantId: string): Promise<TenantDatabase> => {
    await prepared()
    return database.forTenant(tenantId)
  }

  return {
    ownOrder: async (tenantId: string, userId: string, orderNumber: OrderNumber): Promise<Order | undefined> => {
      const row = await (await forTenant(tenantId)).row(ownOrder, { userId, orderNumber })
      return row && toOrder(row)
    },

    history: async (tenantId: string, orderNumber: OrderNumber): Promise<HistoryEntry[]> => {
      const rows = await (await forTenant(tenantId)).rows(transitions, { orderNumber })
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
      const tenant = await forTenant(tenantId)
      return (await tenant.rows(ownOrders, { userId, before: before ?? null, limit })).map(toOrder)
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
      const tenant = await forTenant(tenantId)
      let afterUserId = ''
      if (after !== undefined) {
        const row = await tenant.row(buyerOfOrder, { activityId, orderNumber: after })
        if (!row) return undefined
        afterUserId = String(row['user_id'])
      }
      const rows = await tenant.rows(ordersByBuyer, { activityId, afterUserId, after: after ?? '', limit })
      return rows.map(toLine)
    },

    /** What is known of these order numbers, as far as they are of this activity. */
    lookUp: async (
      { tenantId, activityId }: ActivityRef,
      orderNumbers: readonly OrderNumber[],
    ): Promise<{ orders: OrderLine[]; rejections: Rejection[] }> => {
      if (orderNumbers.length === 0) return { orders: [], rejections: [] }
      const tenant = await forTenant(tenantId)
      const [orders, rejections] = await Promise.all([
        tenant.rows(ordersByNumbers, { activityId, orderNumbers }),
        tenant.rows(rejectionsByNumbers, { activityId, orderNumbers }),
      ])
      return { orders: orders.map(toLine), rejections: rejections.map(toRejection) }
    },

    /** Rows of the tenant, without the history of the orders; of each table `most` at most are counted. */
    countRows: async (tenantId: string, most: number): Promise<number> =>
      Number((await (await forTenant(tenantId)).row(rowsUpTo, { most }))!['counted']),

    totals: async ({ tenantId, activityId }: ActivityRef): Promise<OrderTotals> => {
      const tenant = await forTenant(tenantId)
      const [allocation, states, rejected] = await Promise.all([
        tenant.row(allocationTotals, { activityId }),
        tenant.rows(stateTotals, { activityId }),
        tenant.rows(rejectionTotals, { activityId }),
      ])
      return {
        allocated: allocation && Number(allocation['allocated']),
        sold: Number(allocation?.['sold'] ?? 0),
        states: Object.fromEntries(
          states.map((row) => [
            row['state'] as OrderState,
            { orders: Number(row['orders']), units: Number(row['units']) },
          ]),
        ),
        rejected: Object.fromEntries(rejected.map((row) => [String(row['reason']), Number(row['purchases'])])),
      }
    },
  }
}

const toLine = (row: Row): OrderLine => ({
  orderNumber: String(row['order_number']),
  userId: String(row['user_id']),
  quantity: Number(row['quantity']),
  state: row['state'] as OrderState,
})
