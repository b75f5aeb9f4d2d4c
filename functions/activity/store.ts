/** All SQL of activity. */
import type { Pool, PoolConnection, RowDataPacket } from 'mysql2/promise'
import type { ActivityCommand, ActivityState } from './activity-state.ts'

type Executor = Pool | PoolConnection

/** Times are RFC 3339 in UTC with milliseconds. */
export type Activity = {
  tenantId: string
  activityId: string
  state: ActivityState
  version: number
  name: string
  variantId: string
  stock: number
  perUserLimit: number
  buckets: number
  startsAt: string
  endsAt: string
  priceCents: number
  currency: string
  paymentTimeoutSeconds: number
  allocatedAt: string | null
  refusal: unknown
  reconciliation: unknown
  consistency: unknown
  sold: number | null
  unsold: number | null
  createdAt: string
  updatedAt: string
}

export type Transition = {
  version: number
  command: ActivityCommand
  from: ActivityState
  to: ActivityState
  actor: string
  at: string
}

export type Sample = {
  at: string
  sold: number
  left: number
  outboxLength: number
  refused: Record<string, number> | null
}

const columns = `tenant_id AS tenantId, activity_id AS activityId, state, version, name, variant_id AS variantId, stock,
  per_user_limit AS perUserLimit, buckets, starts_at AS startsAt, ends_at AS endsAt, price_cents AS priceCents, currency,
  payment_timeout_seconds AS paymentTimeoutSeconds, allocated_at AS allocatedAt, refusal, reconciliation, consistency, sold, unsold,
  created_at AS createdAt, updated_at AS updatedAt`

const instant = (value: unknown) => (value as Date).toISOString()
const document = (value: string | null): unknown => (value === null ? null : JSON.parse(value))
const count = (value: unknown) => (value === null ? null : Number(value))

const toActivity = (row: RowDataPacket): Activity => ({
  tenantId: String(row['tenantId']),
  activityId: String(row['activityId']),
  state: row['state'] as ActivityState,
  version: Number(row['version']),
  name: String(row['name']),
  variantId: String(row['variantId']),
  stock: Number(row['stock']),
  perUserLimit: Number(row['perUserLimit']),
  buckets: Number(row['buckets']),
  startsAt: instant(row['startsAt']),
  endsAt: instant(row['endsAt']),
  priceCents: Number(row['priceCents']),
  currency: String(row['currency']),
  paymentTimeoutSeconds: Number(row['paymentTimeoutSeconds']),
  allocatedAt: row['allocatedAt'] === null ? null : instant(row['allocatedAt']),
  refusal: document(row['refusal'] as string | null),
  reconciliation: document(row['reconciliation'] as string | null),
  consistency: document(row['consistency'] as string | null),
  sold: count(row['sold']),
  unsold: count(row['unsold']),
  createdAt: instant(row['createdAt']),
  updatedAt: instant(row['updatedAt']),
})

export async function insertActivity(tx: PoolConnection, activity: Activity): Promise<void> {
  await tx.query(
    `INSERT INTO activity_activities (tenant_id, activity_id, state, version, name, variant_id, stock, per_user_limit, buckets,
       starts_at, ends_at, price_cents, currency, payment_timeout_seconds, created_at, updated_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      activity.tenantId,
      activity.activityId,
      activity.state,
      activity.version,
      activity.name,
      activity.variantId,
      activity.stock,
      activity.perUserLimit,
      activity.buckets,
      new Date(activity.startsAt),
      new Date(activity.endsAt),
      activity.priceCents,
      activity.currency,
      activity.paymentTimeoutSeconds,
      new Date(activity.createdAt),
      new Date(activity.updatedAt),
    ],
  )
}

export async function findActivity(db: Executor, tenantId: string, activityId: string): Promise<Activity | undefined> {
  const [[row]] = await db.query<RowDataPacket[]>(
    `SELECT ${columns} FROM activity_activities WHERE tenant_id = ? AND activity_id = ?`,
    [tenantId, activityId],
  )
  return row && toActivity(row)
}

export async function lockActivity(
  tx: PoolConnection,
  tenantId: string,
  activityId: string,
): Promise<Activity | undefined> {
  const [[row]] = await tx.query<RowDataPacket[]>(
    `SELECT ${columns} FROM activity_activities WHERE tenant_id = ? AND activity_id = ? FOR UPDATE`,
    [tenantId, activityId],
  )
  return row && toActivity(row)
}

/** Keyset page by activity id, newest first when the ids were made here (they are sortable by time). */
export async function listActivities(
  db: Executor,
  tenantId: string,
  options: { before: string | undefined; state: ActivityState | undefined; limit: number },
): Promise<Activity[]> {
  const { before, state, limit } = options
  const [rows] = await db.query<RowDataPacket[]>(
    `SELECT ${columns} FROM activity_activities WHERE tenant_id = ?
       ${before === undefined ? '' : 'AND activity_id < ?'} ${state === undefined ? '' : 'AND state = ?'}
     ORDER BY activity_id DESC LIMIT ?`,
    [tenantId, ...(before === undefined ? [] : [before]), ...(state === undefined ? [] : [state]), limit],
  )
  return rows.map(toActivity)
}

/** Writes a locked activity whole; its version has been counted up by the caller. */
export async function saveActivity(tx: PoolConnection, activity: Activity): Promise<void> {
  const text = (value: unknown) => (value === null || value === undefined ? null : JSON.stringify(value))
  await tx.query(
    `UPDATE activity_activities SET state = ?, version = ?, name = ?, variant_id = ?, stock = ?, per_user_limit = ?, buckets = ?,
       starts_at = ?, ends_at = ?, price_cents = ?, currency = ?, payment_timeout_seconds = ?, allocated_at = ?, refusal = ?,
       reconciliation = ?, consistency = ?, sold = ?, unsold = ?, updated_at = ?
     WHERE tenant_id = ? AND activity_id = ?`,
    [
      activity.state,
      activity.version,
      activity.name,
      activity.variantId,
      activity.stock,
      activity.perUserLimit,
      activity.buckets,
      new Date(activity.startsAt),
      new Date(activity.endsAt),
      activity.priceCents,
      activity.currency,
      activity.paymentTimeoutSeconds,
      activity.allocatedAt === null ? null : new Date(activity.allocatedAt),
      text(activity.refusal),
      text(activity.reconciliation),
      text(activity.consistency),
      activity.sold,
      activity.unsold,
      new Date(activity.updatedAt),
      activity.tenantId,
      activity.activityId,
    ],
  )
}

export async function insertTransition(tx: PoolConnection, activity: Activity, transition: Transition): Promise<void> {
  await tx.query(
    `INSERT INTO activity_transitions (tenant_id, activity_id, version, command, from_state, to_state, actor, at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      activity.tenantId,
      activity.activityId,
      transition.version,
      transition.command,
      transition.from,
      transition.to,
      transition.actor,
      new Date(transition.at),
    ],
  )
}

export async function listTransitions(db: Executor, tenantId: string, activityId: string): Promise<Transition[]> {
  const [rows] = await db.query<RowDataPacket[]>(
    `SELECT version, command, from_state AS fromState, to_state AS toState, actor, at FROM activity_transitions
     WHERE tenant_id = ? AND activity_id = ? ORDER BY version LIMIT 1000`,
    [tenantId, activityId],
  )
  return rows.map((row) => ({
    version: Number(row['version']),
    command: row['command'] as ActivityCommand,
    from: row['fromState'] as ActivityState,
    to: row['toState'] as ActivityState,
    actor: String(row['actor']),
    at: instant(row['at']),
  }))
}

/** Page of the activities of all tenants in these states, for the clock. `startsBefore` limits it to those whose window began. */
export async function listForClock(
  db: Executor,
  states: readonly ActivityState[],
  startsBefore: Date,
  after: { tenantId: string; activityId: string },
  limit: number,
): Promise<Activity[]> {
  const [rows] = await db.query<RowDataPacket[]>(
    `SELECT ${columns} FROM activity_activities WHERE state IN (?) AND starts_at <= ? AND (tenant_id, activity_id) > (?, ?)
     ORDER BY tenant_id, activity_id LIMIT ?`,
    [states, startsBefore, after.tenantId, after.activityId, limit],
  )
  return rows.map(toActivity)
}

export async function insertSample(db: Executor, tenantId: string, activityId: string, sample: Sample): Promise<void> {
  await db.query(
    `INSERT INTO activity_samples (tenant_id, activity_id, at, sold, units_left, outbox_length, refused) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON DUPLICATE KEY UPDATE sold = VALUES(sold)`,
    [
      tenantId,
      activityId,
      new Date(sample.at),
      sample.sold,
      sample.left,
      sample.outboxLength,
      sample.refused === null ? null : JSON.stringify(sample.refused),
    ],
  )
}

/** The newest samples, oldest first. */
export async function listSamples(
  db: Executor,
  tenantId: string,
  activityId: string,
  limit: number,
): Promise<Sample[]> {
  const [rows] = await db.query<RowDataPacket[]>(
    `SELECT at, sold, units_left AS unitsLeft, outbox_length AS outboxLength, refused FROM activity_samples
     WHERE tenant_id = ? AND activity_id = ? ORDER BY at DESC LIMIT ?`,
    [tenantId, activityId, limit],
  )
  return rows.toReversed().map((row) => ({
    at: instant(row['at']),
    sold: Number(row['sold']),
    left: Number(row['unitsLeft']),
    outboxLength: Number(row['outboxLength']),
    refused: document(row['refused'] as string | null) as Record<string, number> | null,
  }))
}
