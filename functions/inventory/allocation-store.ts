/** All SQL of allocations: the stock of activities. */
import { saleTerms, type SaleTerms } from '@stampede/eventing/catalogue/events.ts'
import type { PlatformDatabase, Row, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { platformStatement, tenantStatement } from '@stampede/shared/database/statement.ts'

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

const toAllocation = (row: Row): Allocation => ({
  tenantId: String(row['tenantId']),
  activityId: String(row['activityId']),
  state: row['state'] as AllocationState,
  variantId: String(row['variantId']),
  quantity: Number(row['quantity']),
  sold: row['sold'] === null ? null : Number(row['sold']),
  returned: row['returned'] === null ? null : Number(row['returned']),
  terms: row['terms'] === null ? undefined : saleTerms.parse(JSON.parse(row['terms'] as string)),
  warmUpBegunAt: (row['warmUpBegunAt'] as Date | null) ?? undefined,
  warmedAt: (row['warmedAt'] as Date | null) ?? undefined,
})

const allocationOfActivity = tenantStatement(
  'inventory.findAllocation',
  `SELECT ${columns} FROM inventory_allocations WHERE tenant_id = :tenantId AND activity_id = :activityId`,
)

export async function findAllocation(db: TenantDatabase, activityId: string): Promise<Allocation | undefined> {
  const row = await db.row(allocationOfActivity, { activityId })
  return row && toAllocation(row)
}

const heldAllocation = tenantStatement(
  'inventory.lockAllocation',
  `SELECT ${columns} FROM inventory_allocations WHERE tenant_id = :tenantId AND activity_id = :activityId FOR UPDATE`,
)

export async function lockAllocation(tx: TenantDatabase, activityId: string): Promise<Allocation | undefined> {
  const row = await tx.row(heldAllocation, { activityId })
  return row && toAllocation(row)
}

const putAllocation = tenantStatement(
  'inventory.saveAllocation',
  `INSERT INTO inventory_allocations (tenant_id, activity_id, state, variant_id, quantity, terms, starts_at, ends_at, created_at,
     updated_at)
   VALUES (:tenantId, :activityId, :state, :variantId, :quantity, :terms, :startsAt, :endsAt, :at, :at)
   ON DUPLICATE KEY UPDATE state = VALUES(state), variant_id = VALUES(variant_id), quantity = VALUES(quantity),
     terms = VALUES(terms), starts_at = VALUES(starts_at), ends_at = VALUES(ends_at), updated_at = VALUES(updated_at)`,
)

/** Writes the outcome of an allocation; a refused one may be tried again with other terms. */
export async function saveAllocation(
  tx: TenantDatabase,
  allocation: {
    activityId: string
    state: AllocationState
    variantId: string
    quantity: number
    terms: SaleTerms | undefined
  },
  at: Date,
): Promise<void> {
  const { terms } = allocation
  await tx.change(putAllocation, {
    ...allocation,
    terms: terms ? JSON.stringify(terms) : null,
    startsAt: terms ? new Date(terms.startsAt) : null,
    endsAt: terms ? new Date(terms.endsAt) : null,
    at,
  })
}

const updateFinished = tenantStatement(
  'inventory.finishAllocation',
  `UPDATE inventory_allocations SET state = :state, sold = :sold, returned = :returned, updated_at = :at
   WHERE tenant_id = :tenantId AND activity_id = :activityId`,
)

/** Ends an allocation with what was sold and what went back. */
export async function finishAllocation(
  tx: TenantDatabase,
  activityId: string,
  result: { state: 'settled' | 'cancelled'; sold: number; returned: number },
  at: Date,
): Promise<void> {
  await tx.change(updateFinished, { activityId, ...result, at })
}

const updateBegun = tenantStatement(
  'inventory.markWarmUpBegun',
  `UPDATE inventory_allocations SET warm_up_begun_at = :at, updated_at = :at
   WHERE tenant_id = :tenantId AND activity_id = :activityId AND warm_up_begun_at IS NULL`,
)

export async function markWarmUpBegun(db: TenantDatabase, activityId: string, at: Date): Promise<void> {
  await db.change(updateBegun, { activityId, at })
}

const updateWarmed = tenantStatement(
  'inventory.markWarmedUp',
  `UPDATE inventory_allocations SET warmed_at = :at, updated_at = :at
   WHERE tenant_id = :tenantId AND activity_id = :activityId`,
)

export async function markWarmedUp(tx: TenantDatabase, activityId: string, at: Date): Promise<void> {
  await tx.change(updateWarmed, { activityId, at })
}

const due = platformStatement(
  'inventory.dueForWarmUp',
  `SELECT tenant_id AS tenantId, activity_id AS activityId FROM inventory_allocations
   WHERE state = 'allocated' AND starts_at <= :startsBefore AND ends_at > :endsAfter
     AND (tenant_id, activity_id) > (:afterTenantId, :afterActivityId)
   ORDER BY tenant_id, activity_id LIMIT :limit`,
  'the clock warms up the sales of all tenants',
)

const earliestStart = platformStatement(
  'inventory.nextStart',
  `SELECT MIN(starts_at) AS startsAt FROM inventory_allocations WHERE state = 'allocated' AND starts_at > :after`,
  'the clock looks when the next sale of any tenant is to be warmed up',
)

/** When the next sale begins that has units and begins after this moment, ms. */
export async function nextStart(db: PlatformDatabase, after: Date): Promise<number | undefined> {
  const row = await db.row(earliestStart, { after })
  return (row?.['startsAt'] as Date | null | undefined)?.getTime()
}

/** Page of the allocations of all tenants whose sale should be in Redis: it begins soon or has begun, and has not ended. */
export async function dueForWarmUp(
  db: PlatformDatabase,
  window: { startsBefore: Date; endsAfter: Date },
  after: { tenantId: string; activityId: string },
  limit: number,
): Promise<{ tenantId: string; activityId: string }[]> {
  const rows = await db.rows(due, {
    ...window,
    afterTenantId: after.tenantId,
    afterActivityId: after.activityId,
    limit,
  })
  return rows.map((row) => ({ tenantId: String(row['tenantId']), activityId: String(row['activityId']) }))
}
