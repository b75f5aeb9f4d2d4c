/** All SQL of inventory: stocks, reservations, movements. Allocations are in `allocation-store.ts`. */
import type { Row, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { tenantStatement } from '@stampede/shared/database/statement.ts'
import { defaultLowStockThreshold, type Movement, type Stock } from './stock.ts'

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

const toStock = (row: Row): Stock => ({
  tenantId: String(row['tenantId']),
  variantId: String(row['variantId']),
  onHand: Number(row['onHand']),
  reserved: Number(row['reserved']),
  lowStockThreshold: Number(row['lowStockThreshold']),
  version: Number(row['version']),
})

const stockOfVariant = tenantStatement(
  'inventory.findStock',
  `SELECT ${stockColumns} FROM inventory_stocks WHERE tenant_id = :tenantId AND variant_id = :variantId`,
)

export async function findStock(db: TenantDatabase, variantId: string): Promise<Stock | undefined> {
  const row = await db.row(stockOfVariant, { variantId })
  return row && toStock(row)
}

const heldStock = tenantStatement(
  'inventory.lockStock',
  `SELECT ${stockColumns} FROM inventory_stocks WHERE tenant_id = :tenantId AND variant_id = :variantId FOR UPDATE`,
)

/** Every change of a stock begins here: the row lock makes changes of one variant come one after the other. */
export async function lockStock(tx: TenantDatabase, variantId: string): Promise<Stock | undefined> {
  const row = await tx.row(heldStock, { variantId })
  return row && toStock(row)
}

const insertEmptyStock = tenantStatement(
  'inventory.ensureStock',
  `INSERT INTO inventory_stocks (tenant_id, variant_id, low_stock_threshold, version, updated_at)
   VALUES (:tenantId, :variantId, :lowStockThreshold, 0, :at)
   ON DUPLICATE KEY UPDATE variant_id = VALUES(variant_id)`,
)

/** Creates an empty stock where there is none. */
export async function ensureStock(tx: TenantDatabase, variantId: string, at: Date): Promise<void> {
  await tx.change(insertEmptyStock, { variantId, lowStockThreshold: defaultLowStockThreshold, at })
}

const stocksAfter = tenantStatement(
  'inventory.listStocks',
  `SELECT ${stockColumns} FROM inventory_stocks
   WHERE tenant_id = :tenantId AND variant_id > :after ORDER BY variant_id LIMIT :limit`,
)

/** Keyset page of the variants of a tenant. */
export async function listStocks(db: TenantDatabase, after: string, limit: number): Promise<Stock[]> {
  return (await db.rows(stocksAfter, { after, limit })).map(toStock)
}

const updateStock = tenantStatement(
  'inventory.saveStock',
  `UPDATE inventory_stocks SET on_hand = :onHand, reserved = :reserved, low_stock_threshold = :lowStockThreshold,
     version = :version, updated_at = :at
   WHERE tenant_id = :tenantId AND variant_id = :variantId AND version = :version - 1`,
)

const insertMovement = tenantStatement(
  'inventory.insertMovement',
  `INSERT INTO inventory_movements (tenant_id, variant_id, kind, on_hand_change, reserved_change, on_hand_after, reserved_after,
     reference, actor, reason, at)
   VALUES (:tenantId, :variantId, :kind, :onHandChange, :reservedChange, :onHandAfter, :reservedAfter,
     :reference, :actor, :reason, :at)`,
)

/** Writes a locked stock and its movement. */
export async function saveStock(tx: TenantDatabase, stock: Stock, movement: Movement, at: Date): Promise<void> {
  const affected = await tx.change(updateStock, { ...stock, at })
  // The row is locked, so this is a defect of the caller, not a lost race.
  if (affected !== 1) throw new Error(`stock ${stock.variantId} changed although it was locked`)
  await tx.change(insertMovement, {
    variantId: stock.variantId,
    kind: movement.kind,
    onHandChange: movement.onHandChange,
    reservedChange: movement.reservedChange,
    onHandAfter: stock.onHand,
    reservedAfter: stock.reserved,
    reference: movement.reference ?? null,
    actor: movement.actor,
    reason: movement.reason ?? null,
    at,
  })
}

const movementsBefore = tenantStatement(
  'inventory.listMovements',
  `SELECT CAST(id AS CHAR) AS id, kind, on_hand_change AS onHandChange, reserved_change AS reservedChange,
     on_hand_after AS onHandAfter, reserved_after AS reservedAfter, reference, actor, reason, at
   FROM inventory_movements
   WHERE tenant_id = :tenantId AND variant_id = :variantId AND (:before IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit`,
)

/** Newest first; `before` is the id of the last one seen. */
export async function listMovements(
  db: TenantDatabase,
  variantId: string,
  before: string | undefined,
  limit: number,
): Promise<MovementRecord[]> {
  const rows = await db.rows(movementsBefore, { variantId, before: before ?? null, limit })
  return rows.map((row) => ({
    id: String(row['id']),
    kind: String(row['kind']),
    onHandChange: Number(row['onHandChange']),
    reservedChange: Number(row['reservedChange']),
    onHandAfter: Number(row['onHandAfter']),
    reservedAfter: Number(row['reservedAfter']),
    reference: row['reference'] as string | null,
    actor: String(row['actor']),
    reason: row['reason'] as string | null,
    at: (row['at'] as Date).toISOString(),
  }))
}

const heldReservation = tenantStatement(
  'inventory.lockReservation',
  `SELECT reservation_id AS reservationId, variant_id AS variantId, quantity, confirmed
   FROM inventory_reservations WHERE tenant_id = :tenantId AND reservation_id = :reservationId FOR UPDATE`,
)

export async function lockReservation(tx: TenantDatabase, reservationId: string): Promise<Reservation | undefined> {
  const row = await tx.row(heldReservation, { reservationId })
  if (!row) return undefined
  return {
    reservationId: String(row['reservationId']),
    variantId: String(row['variantId']),
    quantity: Number(row['quantity']),
    confirmed: row['confirmed'] === null ? undefined : Number(row['confirmed']),
  }
}

const variantOfReservation = tenantStatement(
  'inventory.findReservedVariant',
  `SELECT variant_id AS variantId FROM inventory_reservations WHERE tenant_id = :tenantId AND reservation_id = :reservationId`,
)

export async function findReservedVariant(db: TenantDatabase, reservationId: string): Promise<string | undefined> {
  const row = await db.row(variantOfReservation, { reservationId })
  return row && String(row['variantId'])
}

const insertReservationRow = tenantStatement(
  'inventory.insertReservation',
  `INSERT INTO inventory_reservations (tenant_id, reservation_id, variant_id, quantity, created_at)
   VALUES (:tenantId, :reservationId, :variantId, :quantity, :at)`,
)

export async function insertReservation(
  tx: TenantDatabase,
  reservation: { reservationId: string; variantId: string; quantity: number },
  at: Date,
): Promise<void> {
  await tx.change(insertReservationRow, { ...reservation, at })
}

const updateReservation = tenantStatement(
  'inventory.settleReservation',
  `UPDATE inventory_reservations SET confirmed = :confirmed, settled_at = :at
   WHERE tenant_id = :tenantId AND reservation_id = :reservationId AND confirmed IS NULL`,
)

export async function settleReservationRow(
  tx: TenantDatabase,
  reservationId: string,
  confirmed: number,
  at: Date,
): Promise<void> {
  await tx.change(updateReservation, { reservationId, confirmed, at })
}

const rowsUpTo = tenantStatement(
  'inventory.countRows',
  `SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM inventory_stocks WHERE tenant_id = :tenantId LIMIT :most) AS stocks)
     + (SELECT COUNT(*) FROM (SELECT 1 FROM inventory_movements WHERE tenant_id = :tenantId LIMIT :most) AS movements)
     + (SELECT COUNT(*) FROM (SELECT 1 FROM inventory_reservations WHERE tenant_id = :tenantId LIMIT :most) AS reservations)
     AS counted`,
)

/** Rows of the tenant; of each table `most` at most are counted. */
export async function countRows(db: TenantDatabase, most: number): Promise<number> {
  return Number((await db.row(rowsUpTo, { most }))!['counted'])
}
