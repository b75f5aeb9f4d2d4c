/** All SQL of allocations: the stock of activities. */
import type { Pool, PoolConnection, RowDataPacket } from 'mysql2/promise'
import { saleTerms, type SaleTerms } from '@stampede/eventing/catalogue/events.ts'

type Executor = Pool | PoolConnection

/**
 * allocated: units are set aside · refused: there were not enough · settled: sold units left, the rest went back ·
 * cancelled: all went back.
 */
export type AllocationState = 'allocated' | 'refused' | 'settled' | 'cancelled'

export type Allocation = {
  tenantId: string
  activityId: string
  state: AllocationState
  variantId: string
  quantity: number
  sold: number | null
  returned: number | null
  /** Absent when the activity was cancelled before it was heard of. */
  terms: SaleTerms | undefined
  /** When the creation of the sale in Redis first began; from then on it may exist, and may have sold. */
  warmUpBegunAt: Date | undefined
  warmedAt: Date | undefined
}

const columns = `tenant_id AS tenantId, activity_id AS activityId, state, variant_id AS variantId, quantity, sold, returned, terms,
  warm_up_begun_at AS warmUpBegunAt, warmed_at AS warmedAt`

const toAllocation = (row: RowDataPacket): Allocation => ({
  tenantId: String(row['tenantId']),
  activityId: String(row['activityId']),
  state: row['state'] as AllocationState,
  variantId: String(row['variantId']),
  quantity: Number(row['quantity']),
  sold: row['sold'] === null ? null : Number(row['sold']),
  returned: row['returned'] === null ? null : Number(row['returned']),
  terms: row['terms'] === null ? undefined : saleTerms.parse(JSON.parse(String(row['terms']))),
  warmUpBegunAt: (row['warmUpBegunAt'] as Date | null) ?? undefined,
  warmedAt: (row['warmedAt'] as Date | null) ?? undefined,
})

export async function findAllocation(
  db: Executor,
  tenantId: string,
  activityId: string,
): Promise<Allocation | undefined> {
  const [[row]] = await db.query<RowDataPacket[]>(
    `SELECT ${columns} FROM inventory_allocations WHERE tenant_id = ? AND activity_id = ?`,
    [tenantId, activityId],
  )
  return row && toAllocation(row)
}

export async function lockAllocation(
  tx: PoolConnection,
  tenantId: string,
  activityId: string,
): Promise<Allocation | undefined> {
  const [[row]] = await tx.query<RowDataPacket[]>(
    `SELECT ${columns} FROM inventory_allocations WHERE tenant_id = ? AND activity_id = ? FOR UPDATE`,
    [tenantId, activityId],
  )
  return row && toAllocation(row)
}

/** Writes the outcome of an allocation; a refused one may be tried again with other terms. */
export async function saveAllocation(
  tx: PoolConnection,
  allocation: {
    tenantId: string
    activityId: string
    state: AllocationState
    variantId: string
    quantity: number
    terms: SaleTerms | undefined
  },
  at: Date,
): Promise<void> {
  const { tenantId, activityId, state, variantId, quantity, terms } = allocation
  const startsAt = terms ? new Date(terms.startsAt) : null
  const endsAt = terms ? new Date(terms.endsAt) : null
  await tx.query(
    `INSERT INTO inventory_allocations
       (tenant_id, activity_id, state, variant_id, quantity, terms, starts_at, ends_at, created_at, updated_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON DUPLICATE KEY UPDATE state = VALUES(state), variant_id = VALUES(variant_id), quantity = VALUES(quantity),
       terms = VALUES(terms), starts_at = VALUES(starts_at), ends_at = VALUES(ends_at), updated_at = VALUES(updated_at)`,
    [tenantId, activityId, state, variantId, quantity, terms ? JSON.stringify(terms) : null, startsAt, endsAt, at, at],
  )
}

/** Ends an allocation with what was sold and what went back. */
export async function finishAllocation(
  tx: PoolConnection,
  tenantId: string,
  activityId: string,
  result: { state: 'settled' | 'cancelled'; sold: number; returned: number },
  at: Date,
): Promise<void> {
  await tx.query(
    `UPDATE inventory_allocations SET state = ?, sold = ?, returned = ?, updated_at = ? WHERE tenant_id = ? AND activity_id = ?`,
    [result.state, result.sold, result.returned, at, tenantId, activityId],
  )
}

export async function markWarmUpBegun(db: Executor, tenantId: string, activityId: string, at: Date): Promise<void> {
  await db.query(
    `UPDATE inventory_allocations SET warm_up_begun_at = ?, updated_at = ?
     WHERE tenant_id = ? AND activity_id = ? AND warm_up_begun_at IS NULL`,
    [at, at, tenantId, activityId],
  )
}

export async function markWarmedUp(tx: PoolConnection, tenantId: string, activityId: string, at: Date): Promise<void> {
  await tx.query(
    `UPDATE inventory_allocations SET warmed_at = ?, updated_at = ? WHERE tenant_id = ? AND activity_id = ?`,
    [at, at, tenantId, activityId],
  )
}

/** Page of the allocations of all tenants whose sale should be in Redis: it begins soon or has begun, and has not ended. */
export async function dueForWarmUp(
  db: Executor,
  window: { startsBefore: Date; endsAfter: Date },
  after: { tenantId: string; activityId: string },
  limit: number,
): Promise<{ tenantId: string; activityId: string }[]> {
  const [rows] = await db.query<RowDataPacket[]>(
    `SELECT tenant_id AS tenantId, activity_id AS activityId FROM inventory_allocations
     WHERE state = 'allocated' AND starts_at <= ? AND ends_at > ? AND (tenant_id, activity_id) > (?, ?)
     ORDER BY tenant_id, activity_id LIMIT ?`,
    [window.startsBefore, window.endsAfter, after.tenantId, after.activityId, limit],
  )
  return rows.map((row) => ({ tenantId: String(row['tenantId']), activityId: String(row['activityId']) }))
}
