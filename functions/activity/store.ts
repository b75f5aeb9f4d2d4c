/** All SQL of activity. */
import type { PlatformDatabase, Row, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { platformStatement, tenantStatement } from '@stampede/shared/database/statement.ts'
import type { ActivityCommand, ActivityState } from './activity-state.ts'

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

const toActivity = (row: Row): Activity => ({
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

const text = (value: unknown) => (value === null || value === undefined ? null : JSON.stringify(value))

/** All of an activity as values of SQL. */
const valuesOf = (activity: Activity) => ({
  ...activity,
  startsAt: new Date(activity.startsAt),
  endsAt: new Date(activity.endsAt),
  allocatedAt: activity.allocatedAt === null ? null : new Date(activity.allocatedAt),
  refusal: text(activity.refusal),
  reconciliation: text(activity.reconciliation),
  consistency: text(activity.consistency),
  createdAt: new Date(activity.createdAt),
  updatedAt: new Date(activity.updatedAt),
})

const insertActivityRow = tenantStatement(
  'activity.insertActivity',
  `INSERT INTO activity_activities (tenant_id, activity_id, state, version, name, variant_id, stock, per_user_limit, buckets,
     starts_at, ends_at, price_cents, currency, payment_timeout_seconds, created_at, updated_at)
   VALUES (:tenantId, :activityId, :state, :version, :name, :variantId, :stock, :perUserLimit, :buckets,
     :startsAt, :endsAt, :priceCents, :currency, :paymentTimeoutSeconds, :createdAt, :updatedAt)`,
)

export async function insertActivity(tx: TenantDatabase, activity: Activity): Promise<void> {
  await tx.change(insertActivityRow, valuesOf(activity))
}

const enterTenant = tenantStatement(
  'activity.enterTenant',
  `INSERT INTO activity_tenants (tenant_id, locked_at) VALUES (:tenantId, :at)
   ON DUPLICATE KEY UPDATE locked_at = VALUES(locked_at)`,
)

/** Until the end of the transaction nobody else creates an activity of this tenant. */
export async function lockTenant(tx: TenantDatabase, at: Date): Promise<void> {
  await tx.change(enterTenant, { at })
}

const liveActivities = tenantStatement(
  'activity.countLive',
  `SELECT COUNT(*) AS activities FROM activity_activities
   WHERE tenant_id = :tenantId AND state NOT IN ('settled', 'cancelled')`,
)

/** Activities that are not settled or cancelled. */
export async function countLive(db: TenantDatabase): Promise<number> {
  return Number((await db.row(liveActivities, {}))!['activities'])
}

const rowsUpTo = tenantStatement(
  'activity.countRows',
  `SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM activity_activities WHERE tenant_id = :tenantId LIMIT :most) AS activities)
     + (SELECT COUNT(*) FROM (SELECT 1 FROM activity_transitions WHERE tenant_id = :tenantId LIMIT :most) AS transitions)
     + (SELECT COUNT(*) FROM (SELECT 1 FROM activity_samples WHERE tenant_id = :tenantId LIMIT :most) AS samples) AS counted`,
)

/** Rows of the tenant; of each table `most` at most are counted. */
export async function countRows(db: TenantDatabase, most: number): Promise<number> {
  return Number((await db.row(rowsUpTo, { most }))!['counted'])
}

const activityById = tenantStatement(
  'activity.findActivity',
  `SELECT ${columns} FROM activity_activities WHERE tenant_id = :tenantId AND activity_id = :activityId`,
)

export async function findActivity(db: TenantDatabase, activityId: string): Promise<Activity | undefined> {
  const row = await db.row(activityById, { activityId })
  return row && toActivity(row)
}

const heldActivity = tenantStatement(
  'activity.lockActivity',
  `SELECT ${columns} FROM activity_activities WHERE tenant_id = :tenantId AND activity_id = :activityId FOR UPDATE`,
)

export async function lockActivity(tx: TenantDatabase, activityId: string): Promise<Activity | undefined> {
  const row = await tx.row(heldActivity, { activityId })
  return row && toActivity(row)
}

const activitiesBefore = tenantStatement(
  'activity.listActivities',
  `SELECT ${columns} FROM activity_activities
   WHERE tenant_id = :tenantId AND (:before IS NULL OR activity_id < :before) AND (:state IS NULL OR state = :state)
   ORDER BY activity_id DESC LIMIT :limit`,
)

/** Keyset page by activity id, newest first when the ids were made here (they are sortable by time). */
export async function listActivities(
  db: TenantDatabase,
  options: { before: string | undefined; state: ActivityState | undefined; limit: number },
): Promise<Activity[]> {
  const { before = null, state = null, limit } = options
  return (await db.rows(activitiesBefore, { before, state, limit })).map(toActivity)
}

const updateActivity = tenantStatement(
  'activity.saveActivity',
  `UPDATE activity_activities SET state = :state, version = :version, name = :name, variant_id = :variantId, stock = :stock,
     per_user_limit = :perUserLimit, buckets = :buckets, starts_at = :startsAt, ends_at = :endsAt, price_cents = :priceCents,
     currency = :currency, payment_timeout_seconds = :paymentTimeoutSeconds, allocated_at = :allocatedAt, refusal = :refusal,
     reconciliation = :reconciliation, consistency = :consistency, sold = :sold, unsold = :unsold, updated_at = :updatedAt
   WHERE tenant_id = :tenantId AND activity_id = :activityId`,
)

/** Writes a locked activity whole; its version has been counted up by the caller. */
export async function saveActivity(tx: TenantDatabase, activity: Activity): Promise<void> {
  await tx.change(updateActivity, valuesOf(activity))
}

const insertTransitionRow = tenantStatement(
  'activity.insertTransition',
  `INSERT INTO activity_transitions (tenant_id, activity_id, version, command, from_state, to_state, actor, at)
   VALUES (:tenantId, :activityId, :version, :command, :from, :to, :actor, :at)`,
)

export async function insertTransition(tx: TenantDatabase, activity: Activity, transition: Transition): Promise<void> {
  const { activityId } = activity
  await tx.change(insertTransitionRow, { ...transition, activityId, at: new Date(transition.at) })
}

const transitionsOfActivity = tenantStatement(
  'activity.listTransitions',
  `SELECT version, command, from_state AS fromState, to_state AS toState, actor, at FROM activity_transitions
   WHERE tenant_id = :tenantId AND activity_id = :activityId ORDER BY version LIMIT 1000`,
)

export async function listTransitions(db: TenantDatabase, activityId: string): Promise<Transition[]> {
  const rows = await db.rows(transitionsOfActivity, { activityId })
  return rows.map((row) => ({
    version: Number(row['version']),
    command: row['command'] as ActivityCommand,
    from: row['fromState'] as ActivityState,
    to: row['toState'] as ActivityState,
    actor: String(row['actor']),
    at: instant(row['at']),
  }))
}

const activitiesForClock = platformStatement(
  'activity.listForClock',
  `SELECT ${columns} FROM activity_activities
   WHERE state IN (:states) AND starts_at <= :startsBefore AND (tenant_id, activity_id) > (:afterTenantId, :afterActivityId)
   ORDER BY tenant_id, activity_id LIMIT :limit`,
  'the clock works for the activities of all tenants',
)

/** Page of the activities of all tenants in these states, for the clock. `startsBefore` limits it to those whose window began. */
export async function listForClock(
  db: PlatformDatabase,
  states: readonly ActivityState[],
  startsBefore: Date,
  after: { tenantId: string; activityId: string },
  limit: number,
): Promise<Activity[]> {
  const rows = await db.rows(activitiesForClock, {
    states,
    startsBefore,
    afterTenantId: after.tenantId,
    afterActivityId: after.activityId,
    limit,
  })
  return rows.map(toActivity)
}

const earliestStart = platformStatement(
  'activity.nextStart',
  `SELECT MIN(starts_at) AS startsAt FROM activity_activities WHERE state IN ('scheduled', 'warmed-up') AND starts_at > :after`,
  'the clock looks when the next sale of any tenant begins',
)

/** When the next window begins after this moment, ms. */
export async function nextStart(db: PlatformDatabase, after: Date): Promise<number | undefined> {
  const row = await db.row(earliestStart, { after })
  return (row?.['startsAt'] as Date | null | undefined)?.getTime()
}

const insertSampleRow = tenantStatement(
  'activity.insertSample',
  `INSERT INTO activity_samples (tenant_id, activity_id, at, sold, units_left, outbox_length, refused)
   VALUES (:tenantId, :activityId, :at, :sold, :left, :outboxLength, :refused)
   ON DUPLICATE KEY UPDATE sold = VALUES(sold)`,
)

export async function insertSample(db: TenantDatabase, activityId: string, sample: Sample): Promise<void> {
  await db.change(insertSampleRow, {
    ...sample,
    activityId,
    at: new Date(sample.at),
    refused: text(sample.refused),
  })
}

const newestSamples = tenantStatement(
  'activity.listSamples',
  `SELECT at, sold, units_left AS unitsLeft, outbox_length AS outboxLength, refused FROM activity_samples
   WHERE tenant_id = :tenantId AND activity_id = :activityId ORDER BY at DESC LIMIT :limit`,
)

/** The newest samples, oldest first. */
export async function listSamples(db: TenantDatabase, activityId: string, limit: number): Promise<Sample[]> {
  const rows = await db.rows(newestSamples, { activityId, limit })
  return rows.toReversed().map((row) => ({
    at: instant(row['at']),
    sold: Number(row['sold']),
    left: Number(row['unitsLeft']),
    outboxLength: Number(row['outboxLength']),
    refused: document(row['refused'] as string | null) as Record<string, number> | null,
  }))
}
