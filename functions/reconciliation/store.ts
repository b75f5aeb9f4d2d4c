/** All SQL of reconciliation. */
import type { Pool, PoolConnection, ResultSetHeader, RowDataPacket } from 'mysql2/promise'
import { saleTerms, type SaleTerms } from '@stampede/eventing/catalogue/events.ts'
import type { Finding } from './reconcile-bucket.ts'

type Executor = Pool | PoolConnection

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

/** Begins to look after a sale; terms that come again (a refused activity with new terms) replace the old ones. */
export async function watchSale(tx: PoolConnection, terms: SaleTerms, at: Date): Promise<void> {
  // An end that overtook this event stays: the terms of an ended sale are of no use.
  await tx.query(
    `INSERT INTO reconciliation_sales (tenant_id, activity_id, terms, created_at) VALUES (?, ?, ?, ?)
     ON DUPLICATE KEY UPDATE terms = VALUES(terms)`,
    [terms.tenantId, terms.activityId, JSON.stringify(terms), at],
  )
}

/** Ends the look after a sale, also one that was not heard of yet. Its resends are forgotten. */
export async function endSale(tx: PoolConnection, { tenantId, activityId }: SaleRef, at: Date): Promise<void> {
  await tx.query(
    `INSERT INTO reconciliation_sales (tenant_id, activity_id, ended_at, created_at) VALUES (?, ?, ?, ?)
     ON DUPLICATE KEY UPDATE ended_at = COALESCE(ended_at, VALUES(ended_at))`,
    [tenantId, activityId, at, at],
  )
  await tx.query('DELETE FROM reconciliation_resends WHERE tenant_id = ? AND activity_id = ?', [tenantId, activityId])
}

const toSale = (row: RowDataPacket): WatchedSale => ({
  tenantId: String(row['tenantId']),
  activityId: String(row['activityId']),
  terms: saleTerms.parse(JSON.parse(String(row['terms']))),
  runs: Number(row['runs']),
})

const saleColumns = 'tenant_id AS tenantId, activity_id AS activityId, terms, runs'

/** Page of the sales of all tenants that are looked after. */
export async function watchedSales(db: Executor, after: SaleRef, limit: number): Promise<WatchedSale[]> {
  const [rows] = await db.query<RowDataPacket[]>(
    `SELECT ${saleColumns} FROM reconciliation_sales
     WHERE ended_at IS NULL AND terms IS NOT NULL AND (tenant_id, activity_id) > (?, ?) ORDER BY tenant_id, activity_id LIMIT ?`,
    [after.tenantId, after.activityId, limit],
  )
  return rows.map(toSale)
}

export async function findSale(db: Executor, { tenantId, activityId }: SaleRef): Promise<WatchedSale | undefined> {
  const [[row]] = await db.query<RowDataPacket[]>(
    `SELECT ${saleColumns} FROM reconciliation_sales
     WHERE tenant_id = ? AND activity_id = ? AND ended_at IS NULL AND terms IS NOT NULL`,
    [tenantId, activityId],
  )
  return row && toSale(row)
}

/** Enters a run. False when a run with a greater fencing token has begun: then this runner lost its lease. */
export async function beginRun(
  tx: PoolConnection,
  { tenantId, activityId }: SaleRef,
  run: { runId: string; fencingToken: number; at: Date },
): Promise<boolean> {
  // The sale's row serialises the runs of one sale.
  const [sale] = await tx.query<ResultSetHeader>(
    'UPDATE reconciliation_sales SET runs = runs + 1 WHERE tenant_id = ? AND activity_id = ?',
    [tenantId, activityId],
  )
  if (sale.affectedRows === 0) return false
  const [[newer]] = await tx.query<RowDataPacket[]>(
    'SELECT 1 FROM reconciliation_runs WHERE tenant_id = ? AND activity_id = ? AND fencing_token > ? LIMIT 1',
    [tenantId, activityId, run.fencingToken],
  )
  if (newer) return false
  // Whoever began those is gone: the lease is ours.
  await tx.query(
    `UPDATE reconciliation_runs SET state = 'failed', finished_at = ?, failure = 'the runner ended before the run'
     WHERE tenant_id = ? AND activity_id = ? AND state = 'running'`,
    [run.at, tenantId, activityId],
  )
  await tx.query(
    `INSERT INTO reconciliation_runs (run_id, tenant_id, activity_id, fencing_token, state, started_at) VALUES (?, ?, ?, ?, 'running', ?)`,
    [run.runId, tenantId, activityId, run.fencingToken, run.at],
  )
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

/** Writes the result. False when a newer run began meanwhile: its result counts, not this one. */
export async function finishRun(
  tx: PoolConnection,
  { tenantId, activityId }: SaleRef,
  run: { runId: string; fencingToken: number },
  result: RunResult,
  at: Date,
): Promise<boolean> {
  await tx.query('SELECT runs FROM reconciliation_sales WHERE tenant_id = ? AND activity_id = ? FOR UPDATE', [
    tenantId,
    activityId,
  ])
  const [[newer]] = await tx.query<RowDataPacket[]>(
    'SELECT 1 FROM reconciliation_runs WHERE tenant_id = ? AND activity_id = ? AND fencing_token > ? LIMIT 1',
    [tenantId, activityId, run.fencingToken],
  )
  await tx.query(
    `UPDATE reconciliation_runs SET state = ?, outcome = ?, finished_at = ?, buyers = ?, orders = ?, repaired = ?, open_findings = ?, failure = ?
     WHERE tenant_id = ? AND run_id = ?`,
    [
      newer ? 'failed' : result.state,
      result.outcome,
      at,
      result.buyers,
      result.orders,
      result.repaired,
      result.open,
      newer ? 'a newer run took over' : result.failure,
      tenantId,
      run.runId,
    ],
  )
  if (result.findings.length > 0) {
    await tx.query(
      `INSERT INTO reconciliation_findings (tenant_id, run_id, bucket, kind, repair, occurrences, units, repaired, order_numbers)
       VALUES ${result.findings.map(() => '(?, ?, ?, ?, ?, ?, ?, ?, ?)').join(', ')}`,
      result.findings.flatMap((finding) => [
        tenantId,
        run.runId,
        finding.bucket,
        finding.kind,
        finding.repair,
        finding.count,
        finding.units,
        finding.repaired,
        finding.orderNumbers.join(' '),
      ]),
    )
  }
  return !newer
}

/** The state and open findings of the newest finished run. */
export async function newestRun(
  db: Executor,
  { tenantId, activityId }: SaleRef,
): Promise<{ open: number } | undefined> {
  const [[row]] = await db.query<RowDataPacket[]>(
    `SELECT open_findings AS open FROM reconciliation_runs WHERE tenant_id = ? AND activity_id = ? AND state = 'done'
     ORDER BY run_id DESC LIMIT 1`,
    [tenantId, activityId],
  )
  return row && { open: Number(row['open']) }
}

const runColumns = `run_id AS runId, activity_id AS activityId, fencing_token AS fencingToken, state, outcome, started_at AS startedAt,
  finished_at AS finishedAt, buyers, orders, repaired, open_findings AS open, failure`

const toRun = (row: RowDataPacket): Run => ({
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

/** Newest first; run ids are sortable by time. */
export async function listRuns(
  db: Executor,
  tenantId: string,
  options: { activityId: string | undefined; before: string | undefined; limit: number },
): Promise<Run[]> {
  const { activityId, before, limit } = options
  const [rows] = await db.query<RowDataPacket[]>(
    `SELECT ${runColumns} FROM reconciliation_runs WHERE tenant_id = ?
       ${activityId === undefined ? '' : 'AND activity_id = ?'} ${before === undefined ? '' : 'AND run_id < ?'}
     ORDER BY run_id DESC LIMIT ?`,
    [tenantId, ...(activityId === undefined ? [] : [activityId]), ...(before === undefined ? [] : [before]), limit],
  )
  return rows.map(toRun)
}

export async function findRun(
  db: Executor,
  tenantId: string,
  runId: string,
): Promise<(Run & { findings: FoundInBucket[] }) | undefined> {
  const [[row]] = await db.query<RowDataPacket[]>(
    `SELECT ${runColumns} FROM reconciliation_runs WHERE tenant_id = ? AND run_id = ?`,
    [tenantId, runId],
  )
  if (!row) return undefined
  const [findings] = await db.query<RowDataPacket[]>(
    `SELECT bucket, kind, repair, occurrences, units, repaired, order_numbers AS orderNumbers FROM reconciliation_findings
     WHERE tenant_id = ? AND run_id = ? ORDER BY id LIMIT 1000`,
    [tenantId, runId],
  )
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

/** Runs without findings tell little: they are deleted after a while, in small steps. Returns the rows deleted. */
export async function pruneQuietRuns(db: Executor, olderThan: Date, limit: number): Promise<number> {
  const [result] = await db.query<ResultSetHeader>(
    `DELETE FROM reconciliation_runs WHERE repaired = 0 AND open_findings = 0 AND started_at < ? LIMIT ?`,
    [olderThan, limit],
  )
  return result.affectedRows
}

export async function resendCounts(
  db: Executor,
  { tenantId, activityId }: SaleRef,
  orderNumbers: readonly string[],
): Promise<Map<string, number>> {
  const [rows] = await db.query<RowDataPacket[]>(
    `SELECT order_number AS orderNumber, resends FROM reconciliation_resends
     WHERE tenant_id = ? AND activity_id = ? AND order_number IN (?)`,
    [tenantId, activityId, orderNumbers],
  )
  return new Map(rows.map((row) => [String(row['orderNumber']), Number(row['resends'])]))
}

export async function countResends(
  db: Executor,
  { tenantId, activityId }: SaleRef,
  orderNumbers: readonly string[],
  at: Date,
): Promise<void> {
  await db.query(
    `INSERT INTO reconciliation_resends (tenant_id, activity_id, order_number, resends, last_at)
     VALUES ${orderNumbers.map(() => '(?, ?, ?, 1, ?)').join(', ')}
     ON DUPLICATE KEY UPDATE resends = resends + 1, last_at = VALUES(last_at)`,
    orderNumbers.flatMap((orderNumber) => [tenantId, activityId, orderNumber, at]),
  )
}
