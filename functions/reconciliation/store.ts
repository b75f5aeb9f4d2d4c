/** All SQL of reconciliation. */
import { saleTerms, type SaleTerms } from '@stampede/eventing/catalogue/events.ts'
import type { PlatformDatabase, Row, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { platformStatement, tenantStatement } from '@stampede/shared/database/statement.ts'
import type { Finding } from './reconcile-bucket.ts'

export type SaleRef = { tenantId: string; activityId: string }
export type WatchedSale = SaleRef & { terms: SaleTerms; runs: number }
export type FoundInBucket = Finding & { bucket: number }

export type Run = {
  runId: string
  activityId: string
  fencingToken: number
  state: 'running' | 'done' | 'failed'
  outcome: string | null
  startedAt: string
  finishedAt: string | null
  buyers: number
  orders: number
  repaired: number
  open: number
  failure: string | null
}

const putSale = tenantStatement(
  'reconciliation.watchSale',
  `INSERT INTO reconciliation_sales (tenant_id, activity_id, terms, created_at) VALUES (:tenantId, :activityId, :terms, :at)
   ON DUPLICATE KEY UPDATE terms = VALUES(terms)`,
)

/** Begins to look after a sale; terms that come again (a refused activity with new terms) replace the old ones. */
export async function watchSale(db: TenantDatabase, terms: SaleTerms, at: Date): Promise<void> {
  // An end that overtook this event stays: the terms of an ended sale are of no use.
  await db.change(putSale, { activityId: terms.activityId, terms: JSON.stringify(terms), at })
}

const putEnd = tenantStatement(
  'reconciliation.endSale',
  `INSERT INTO reconciliation_sales (tenant_id, activity_id, ended_at, created_at) VALUES (:tenantId, :activityId, :at, :at)
   ON DUPLICATE KEY UPDATE ended_at = COALESCE(ended_at, VALUES(ended_at))`,
)
const forgetResends = tenantStatement(
  'reconciliation.forgetResends',
  'DELETE FROM reconciliation_resends WHERE tenant_id = :tenantId AND activity_id = :activityId',
)

/** Ends the look after a sale, also one that was not heard of yet. Its resends are forgotten. */
export async function endSale(tx: TenantDatabase, activityId: string, at: Date): Promise<void> {
  await tx.change(putEnd, { activityId, at })
  await tx.change(forgetResends, { activityId })
}

const toSale = (row: Row): WatchedSale => ({
  tenantId: String(row['tenantId']),
  activityId: String(row['activityId']),
  terms: saleTerms.parse(JSON.parse(row['terms'] as string)),
  runs: Number(row['runs']),
})

const saleColumns = 'tenant_id AS tenantId, activity_id AS activityId, terms, runs'

const activeSales = platformStatement(
  'reconciliation.watchedSales',
  `SELECT ${saleColumns} FROM reconciliation_sales
   WHERE ended_at IS NULL AND terms IS NOT NULL AND (tenant_id, activity_id) > (:afterTenantId, :afterActivityId)
   ORDER BY tenant_id, activity_id LIMIT :limit`,
  'the clock compares the sales of all tenants',
)

/** Page of the sales of all tenants that are looked after. */
export async function watchedSales(db: PlatformDatabase, after: SaleRef, limit: number): Promise<WatchedSale[]> {
  const rows = await db.rows(activeSales, {
    afterTenantId: after.tenantId,
    afterActivityId: after.activityId,
    limit,
  })
  return rows.map(toSale)
}

const saleOfActivity = tenantStatement(
  'reconciliation.findSale',
  `SELECT ${saleColumns} FROM reconciliation_sales
   WHERE tenant_id = :tenantId AND activity_id = :activityId AND ended_at IS NULL AND terms IS NOT NULL`,
)

export async function findSale(db: TenantDatabase, activityId: string): Promise<WatchedSale | undefined> {
  const row = await db.row(saleOfActivity, { activityId })
  return row && toSale(row)
}

const countRun = tenantStatement(
  'reconciliation.countRun',
  'UPDATE reconciliation_sales SET runs = runs + 1 WHERE tenant_id = :tenantId AND activity_id = :activityId',
)
const newerRun = tenantStatement(
  'reconciliation.newerRun',
  `SELECT 1 FROM reconciliation_runs
   WHERE tenant_id = :tenantId AND activity_id = :activityId AND fencing_token > :fencingToken LIMIT 1`,
)
const failAbandonedRuns = tenantStatement(
  'reconciliation.failAbandonedRuns',
  `UPDATE reconciliation_runs SET state = 'failed', finished_at = :at, failure = 'the runner ended before the run'
   WHERE tenant_id = :tenantId AND activity_id = :activityId AND state = 'running'`,
)
const insertRun = tenantStatement(
  'reconciliation.insertRun',
  `INSERT INTO reconciliation_runs (tenant_id, run_id, activity_id, fencing_token, state, started_at)
   VALUES (:tenantId, :runId, :activityId, :fencingToken, 'running', :at)`,
)

/** Enters a run. False when a run with a greater fencing token has begun: then this runner lost its lease. */
export async function beginRun(
  tx: TenantDatabase,
  activityId: string,
  run: { runId: string; fencingToken: number; at: Date },
): Promise<boolean> {
  // The sale's row serialises the runs of one sale.
  if ((await tx.change(countRun, { activityId })) === 0) return false
  if (await tx.row(newerRun, { activityId, fencingToken: run.fencingToken })) return false
  // Whoever began those is gone: the lease is ours.
  await tx.change(failAbandonedRuns, { activityId, at: run.at })
  await tx.change(insertRun, { activityId, ...run })
  return true
}

export type RunResult = {
  state: 'done' | 'failed'
  outcome: string | null
  buyers: number
  orders: number
  repaired: number
  open: number
  failure: string | null
  findings: readonly FoundInBucket[]
}

const holdSale = tenantStatement(
  'reconciliation.holdSale',
  'SELECT runs FROM reconciliation_sales WHERE tenant_id = :tenantId AND activity_id = :activityId FOR UPDATE',
)
const updateRun = tenantStatement(
  'reconciliation.finishRun',
  `UPDATE reconciliation_runs SET state = :state, outcome = :outcome, finished_at = :at, buyers = :buyers, orders = :orders,
     repaired = :repaired, open_findings = :open, failure = :failure
   WHERE tenant_id = :tenantId AND run_id = :runId`,
)
const insertFindings = tenantStatement(
  'reconciliation.insertFindings',
  `INSERT INTO reconciliation_findings (tenant_id, run_id, bucket, kind, repair, occurrences, units, repaired, order_numbers)
   VALUES (:tenantId, :runId, :bucket, :kind, :repair, :count, :units, :repaired, :orderNumbers)`,
)

/** Writes the result. False when a newer run began meanwhile: its result counts, not this one. */
export async function finishRun(
  tx: TenantDatabase,
  activityId: string,
  { runId, fencingToken }: { runId: string; fencingToken: number },
  result: RunResult,
  at: Date,
): Promise<boolean> {
  const { findings, ...counts } = result
  await tx.row(holdSale, { activityId })
  const newer = await tx.row(newerRun, { activityId, fencingToken })
  const takenOver = newer && { state: 'failed', failure: 'a newer run took over' }
  await tx.change(updateRun, { ...counts, ...takenOver, runId, at })
  await tx.changeAll(
    insertFindings,
    findings.map(({ orderNumbers, ...finding }) => ({ ...finding, runId, orderNumbers: orderNumbers.join(' ') })),
  )
  return !newer
}

const newestOfActivity = tenantStatement(
  'reconciliation.newestRun',
  `SELECT open_findings AS open FROM reconciliation_runs
   WHERE tenant_id = :tenantId AND activity_id = :activityId AND state = 'done' ORDER BY run_id DESC LIMIT 1`,
)

/** The open findings of the newest finished run. */
export async function newestRun(db: TenantDatabase, activityId: string): Promise<{ open: number } | undefined> {
  const row = await db.row(newestOfActivity, { activityId })
  return row && { open: Number(row['open']) }
}

const runColumns = `run_id AS runId, activity_id AS activityId, fencing_token AS fencingToken, state, outcome, started_at AS startedAt,
  finished_at AS finishedAt, buyers, orders, repaired, open_findings AS open, failure`

const toRun = (row: Row): Run => ({
  runId: String(row['runId']),
  activityId: String(row['activityId']),
  fencingToken: Number(row['fencingToken']),
  state: row['state'] as Run['state'],
  outcome: row['outcome'] as string | null,
  startedAt: (row['startedAt'] as Date).toISOString(),
  finishedAt: (row['finishedAt'] as Date | null)?.toISOString() ?? null,
  buyers: Number(row['buyers']),
  orders: Number(row['orders']),
  repaired: Number(row['repaired']),
  open: Number(row['open']),
  failure: row['failure'] as string | null,
})

const runsBefore = tenantStatement(
  'reconciliation.listRuns',
  `SELECT ${runColumns} FROM reconciliation_runs
   WHERE tenant_id = :tenantId AND (:activityId IS NULL OR activity_id = :activityId) AND (:before IS NULL OR run_id < :before)
   ORDER BY run_id DESC LIMIT :limit`,
)

/** Newest first; run ids are sortable by time. */
export async function listRuns(
  db: TenantDatabase,
  options: { activityId: string | undefined; before: string | undefined; limit: number },
): Promise<Run[]> {
  const { activityId = null, before = null, limit } = options
  return (await db.rows(runsBefore, { activityId, before, limit })).map(toRun)
}

const runById = tenantStatement(
  'reconciliation.findRun',
  `SELECT ${runColumns} FROM reconciliation_runs WHERE tenant_id = :tenantId AND run_id = :runId`,
)
const findingsOfRun = tenantStatement(
  'reconciliation.findingsOfRun',
  `SELECT bucket, kind, repair, occurrences, units, repaired, order_numbers AS orderNumbers FROM reconciliation_findings
   WHERE tenant_id = :tenantId AND run_id = :runId ORDER BY id LIMIT 1000`,
)

export async function findRun(
  db: TenantDatabase,
  runId: string,
): Promise<(Run & { findings: FoundInBucket[] }) | undefined> {
  const row = await db.row(runById, { runId })
  if (!row) return undefined
  const findings = await db.rows(findingsOfRun, { runId })
  return {
    ...toRun(row),
    findings: findings.map((finding) => ({
      bucket: Number(finding['bucket']),
      kind: finding['kind'] as Finding['kind'],
      repair: finding['repair'] as Finding['repair'],
      count: Number(finding['occurrences']),
      units: Number(finding['units']),
      repaired: Number(finding['repaired']),
      orderNumbers: String(finding['orderNumbers']).split(' ').filter(Boolean),
    })),
  }
}

const deleteQuietRuns = platformStatement(
  'reconciliation.pruneQuietRuns',
  'DELETE FROM reconciliation_runs WHERE repaired = 0 AND open_findings = 0 AND started_at < :olderThan LIMIT :limit',
  'old runs that found nothing are forgotten, whoever they were for',
)

/** Runs without findings tell little: they are deleted after a while, in small steps. Returns the rows deleted. */
export function pruneQuietRuns(db: PlatformDatabase, olderThan: Date, limit: number): Promise<number> {
  return db.change(deleteQuietRuns, { olderThan, limit })
}

const resendsOfOrders = tenantStatement(
  'reconciliation.resendCounts',
  `SELECT order_number AS orderNumber, resends FROM reconciliation_resends
   WHERE tenant_id = :tenantId AND activity_id = :activityId AND order_number IN (:orderNumbers)`,
)

export async function resendCounts(
  db: TenantDatabase,
  activityId: string,
  orderNumbers: readonly string[],
): Promise<Map<string, number>> {
  const rows = await db.rows(resendsOfOrders, { activityId, orderNumbers })
  return new Map(rows.map((row) => [String(row['orderNumber']), Number(row['resends'])]))
}

const putResends = tenantStatement(
  'reconciliation.countResends',
  `INSERT INTO reconciliation_resends (tenant_id, activity_id, order_number, resends, last_at)
   VALUES (:tenantId, :activityId, :orderNumber, 1, :at)
   ON DUPLICATE KEY UPDATE resends = resends + 1, last_at = VALUES(last_at)`,
)

export async function countResends(
  db: TenantDatabase,
  activityId: string,
  orderNumbers: readonly string[],
  at: Date,
): Promise<void> {
  await db.changeAll(
    putResends,
    orderNumbers.map((orderNumber) => ({ activityId, orderNumber, at })),
  )
}
