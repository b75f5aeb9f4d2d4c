/** All SQL of inventory: stocks, reservations, movements. Allocations are in `allocation-store.ts`. */
import type { Pool, PoolConnection, ResultSetHeader, RowDataPacket } from 'mysql2/promise'
import { defaultLowStockThreshold, type Movement, type Stock } from './stock.ts'

type Executor = Pool | PoolConnection

export type Reservation = {
  reservationId: string
  variantId: string
  quantity: number
  /** Undefined while reserved; then the units that left the house, the rest went back. */
  confirmed: number | undefined
}

export type MovementRecord = {
  id: string
  kind: string
  onHandChange: number
  reservedChange: number
  onHandAfter: number
  reservedAfter: number
  reference: string | null
  actor: string
  reason: string | null
  at: string
}

const stockColumns = `tenant_id AS tenantId, variant_id AS variantId, on_hand AS onHand, reserved,
  low_stock_threshold AS lowStockThreshold, version`

const toStock = (row: RowDataPacket): Stock => ({
  tenantId: String(row['tenantId']),
  variantId: String(row['variantId']),
  onHand: Number(row['onHand']),
  reserved: Number(row['reserved']),
  lowStockThreshold: Number(row['lowStockThreshold']),
  version: Number(row['version']),
})

export async function findStock(db: Executor, tenantId: string, variantId: string): Promise<Stock | undefined> {
  const [[row]] = await db.query<RowDataPacket[]>(
    `SELECT ${stockColumns} FROM inventory_stocks WHERE tenant_id = ? AND variant_id = ?`,
    [tenantId, variantId],
  )
  return row && toStock(row)
}

/** Every change of a stock begins here: the row lock makes changes of one variant come one after the other. */
export async function lockStock(tx: PoolConnection, tenantId: string, variantId: string): Promise<Stock | undefined> {
  const [[row]] = await tx.query<RowDataPacket[]>(
    `SELECT ${stockColumns} FROM inventory_stocks WHERE tenant_id = ? AND variant_id = ? FOR UPDATE`,
    [tenantId, variantId],
  )
  return row && toStock(row)
}

/** Creates an empty stock where there is none. */
export async function ensureStock(tx: PoolConnection, tenantId: string, variantId: string, at: Date): Promise<void> {
  await tx.query(
    `INSERT INTO inventory_stocks (tenant_id, variant_id, low_stock_threshold, version, updated_at) VALUES (?, ?, ?, 0, ?)
     ON DUPLICATE KEY UPDATE variant_id = variant_id`,
    [tenantId, variantId, defaultLowStockThreshold, at],
  )
}

/** Keyset page of the variants of a tenant. */
export async function listStocks(db: Executor, tenantId: string, after: string, limit: number): Promise<Stock[]> {
  const [rows] = await db.query<RowDataPacket[]>(
    `SELECT ${stockColumns} FROM inventory_stocks WHERE tenant_id = ? AND variant_id > ? ORDER BY variant_id LIMIT ?`,
    [tenantId, after, limit],
  )
  return rows.map(toStock)
}

/** Writes a locked stock and its movement. */
export async function saveStock(tx: PoolConnection, stock: Stock, movement: Movement, at: Date): Promise<void> {
  const [result] = await tx.query<ResultSetHeader>(
    `UPDATE inventory_stocks SET on_hand = ?, reserved = ?, low_stock_threshold = ?, version = ?, updated_at = ?
     WHERE tenant_id = ? AND variant_id = ? AND version = ?`,
    [
      stock.onHand,
      stock.reserved,
      stock.lowStockThreshold,
      stock.version,
      at,
      stock.tenantId,
      stock.variantId,
      stock.version - 1,
    ],
  )
  // The row is locked, so this is a defect of the caller, not a lost race.
  if (result.affectedRows !== 1) throw new Error(`stock ${stock.variantId} changed although it was locked`)
  await tx.query(
    `INSERT INTO inventory_movements
       (tenant_id, variant_id, kind, on_hand_change, reserved_change, on_hand_after, reserved_after, reference, actor, reason, at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      stock.tenantId,
      stock.variantId,
      movement.kind,
      movement.onHandChange,
      movement.reservedChange,
      stock.onHand,
      stock.reserved,
      movement.reference ?? null,
      movement.actor,
      movement.reason ?? null,
      at,
    ],
  )
}

/** Newest first; `before` is the id of the last one seen. */
export async function listMovements(
  db: Executor,
  tenantId: string,
  variantId: string,
  before: string | undefined,
  limit: number,
): Promise<MovementRecord[]> {
  const [rows] = await db.query<RowDataPacket[]>(
    `SELECT CAST(id AS CHAR) AS id, kind, on_hand_change AS onHandChange, reserved_change AS reservedChange, on_hand_after AS onHandAfter,
       reserved_after AS reservedAfter, reference, actor, reason, at
     FROM inventory_movements WHERE tenant_id = ? AND variant_id = ? AND id < ? ORDER BY id DESC LIMIT ?`,
    [tenantId, variantId, before ?? '18446744073709551615', limit],
  )
  return rows.map((row) => ({
    id: String(row['id']),
    kind: String(row['kind']),
    onHandChange: Number(row['onHandChange']),
    reservedChange: Number(row['reservedChange']),
    onHandAfter: Number(row['onHandAfter']),
    reservedAfter: Number(row['reservedAfter']),
    reference: row['reference'] === null ? null : String(row['reference']),
    actor: String(row['actor']),
    reason: row['reason'] === null ? null : String(row['reason']),
    at: (row['at'] as Date).toISOString(),
  }))
}

export async function lockReservation(
  tx: PoolConnection,
  tenantId: string,
  reservationId: string,
): Promise<Reservation | undefined> {
  const [[row]] = await tx.query<RowDataPacket[]>(
    `SELECT reservation_id AS reservationId, variant_id AS variantId, quantity, confirmed
     FROM inventory_reservations WHERE tenant_id = ? AND reservation_id = ? FOR UPDATE`,
    [tenantId, reservationId],
  )
  if (!row) return undefined
  return {
    reservationId: String(row['reservationId']),
    variantId: String(row['variantId']),
    quantity: Number(row['quantity']),
    confirmed: row['confirmed'] === null ? undefined : Number(row['confirmed']),
  }
}

export async function findReservedVariant(
  db: Executor,
  tenantId: string,
  reservationId: string,
): Promise<string | undefined> {
  const [[row]] = await db.query<RowDataPacket[]>(
    `SELECT variant_id AS variantId FROM inventory_reservations WHERE tenant_id = ? AND reservation_id = ?`,
    [tenantId, reservationId],
  )
  return row && String(row['variantId'])
}

export async function insertReservation(
  tx: PoolConnection,
  tenantId: string,
  reservation: { reservationId: string; variantId: string; quantity: number },
  at: Date,
): Promise<void> {
  await tx.query(
    `INSERT INTO inventory_reservations (tenant_id, reservation_id, variant_id, quantity, created_at) VALUES (?, ?, ?, ?, ?)`,
    [tenantId, reservation.reservationId, reservation.variantId, reservation.quantity, at],
  )
}

export async function settleReservationRow(
  tx: PoolConnection,
  tenantId: string,
  reservationId: string,
  confirmed: number,
  at: Date,
): Promise<void> {
  await tx.query(
    `UPDATE inventory_reservations SET confirmed = ?, settled_at = ? WHERE tenant_id = ? AND reservation_id = ? AND confirmed IS NULL`,
    [confirmed, at, tenantId, reservationId],
  )
}
