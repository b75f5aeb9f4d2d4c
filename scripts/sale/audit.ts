/**
 * The audit of a sale: what the buyers hold (their 202 answers) against what the database stores, read directly, without asking
 * any function.
 *
 *   oversold: units of live orders, or of answers not given back, beyond the stock
 *   lost:     a purchase that got a 202 and then is in no store: no order, no rejection that gave it back
 *   double:   buyers with more live units than the per-user limit
 */
import type { Database } from '@stampede/shared/database/connect.ts'
import { rawPool } from '@stampede/shared/database/raw.ts'
import type { RowDataPacket } from 'mysql2/promise'
import type { HeldOrder } from './tally.ts'

export type StoredOrder = { orderNumber: string; userId: string; quantity: number; live: boolean; storedAtMs: number }

export type Ledger = { orders: Map<string, StoredOrder>; rejected: Set<string> }

export type Audit = { ordersStored: number; oversold: number; lost: number; double: number; lostOrderNumbers: string[] }

const pageSize = 20_000

/** All orders and rejections of an activity. */
export async function readLedger(database: Database, tenantId: string, activityId: string): Promise<Ledger> {
  const orders = new Map<string, StoredOrder>()
  for (let after = ''; ;) {
    const [rows] = await rawPool(database).query<RowDataPacket[]>(
      `SELECT order_number, user_id, quantity, state, created_at FROM order_orders
       WHERE tenant_id = ? AND activity_id = ? AND order_number > ? ORDER BY order_number LIMIT ?`,
      [tenantId, activityId, after, pageSize],
    )
    for (const row of rows)
      orders.set(String(row['order_number']), {
        orderNumber: String(row['order_number']),
        userId: String(row['user_id']),
        quantity: Number(row['quantity']),
        live: row['state'] !== 'cancelled' && row['state'] !== 'refunded',
        storedAtMs: new Date(row['created_at'] as Date).getTime(),
      })
    if (rows.length < pageSize) break
    after = String(rows.at(-1)?.['order_number'])
  }
  const [rejections] = await rawPool(database).query<RowDataPacket[]>(
    'SELECT order_number FROM order_rejections WHERE tenant_id = ? AND activity_id = ?',
    [tenantId, activityId],
  )
  return { orders, rejected: new Set(rejections.map((row) => String(row['order_number']))) }
}

export function auditSale(
  ledger: Ledger,
  held: readonly HeldOrder[],
  terms: { stock: number; perUserLimit: number },
): Audit {
  const lostOrderNumbers = held
    .filter(({ orderNumber }) => !ledger.orders.has(orderNumber) && !ledger.rejected.has(orderNumber))
    .map(({ orderNumber }) => orderNumber)
  const liveUnits = new Map<string, number>()
  let unitsInOrders = 0
  for (const order of ledger.orders.values()) {
    if (!order.live) continue
    unitsInOrders += order.quantity
    liveUnits.set(order.userId, (liveUnits.get(order.userId) ?? 0) + order.quantity)
  }
  // A promise that is neither stored nor given back counts as sold too.
  const lost = new Set(lostOrderNumbers)
  const unitsLost = held.reduce(
    (units, promise) => (lost.has(promise.orderNumber) ? units + promise.quantity : units),
    0,
  )
  return {
    ordersStored: ledger.orders.size,
    oversold: Math.max(0, unitsInOrders + unitsLost - terms.stock),
    lost: lostOrderNumbers.length,
    double: [...liveUnits.values()].filter((units) => units > terms.perUserLimit).length,
    lostOrderNumbers,
  }
}
