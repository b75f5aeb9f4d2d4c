/** SQL of user: people. Addresses, coupon statistics and key rotation have stores of their own. */
import type { PlatformDatabase, Row, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { platformStatement, tenantStatement } from '@stampede/shared/database/statement.ts'
import type { Person, UserState } from './person.ts'

const selectPerson = tenantStatement(
  'user.selectPerson',
  'SELECT * FROM user_users WHERE tenant_id = :tenantId AND user_id = :userId',
)
const lockPersonRow = tenantStatement(
  'user.lockPerson',
  'SELECT * FROM user_users WHERE tenant_id = :tenantId AND user_id = :userId FOR UPDATE',
)
const insertPersonRow = tenantStatement(
  'user.insertPerson',
  `INSERT INTO user_users (tenant_id, user_id, state, version, data_key, data_key_id, created_at, updated_at, state_at)
   VALUES (:tenantId, :userId, :state, :version, :dataKey, :dataKeyId, :createdAt, :updatedAt, :stateAt)
   ON DUPLICATE KEY UPDATE user_id = user_id`,
)
const updatePerson = tenantStatement(
  'user.updatePerson',
  `UPDATE user_users SET state = :state, version = :version, data_key = :dataKey, data_key_id = :dataKeyId, name = :name,
     email = :email, email_at = :emailAt, email_index = :emailIndex, phone = :phone, phone_at = :phoneAt, phone_index = :phoneIndex,
     index_key_id = :indexKeyId, locale = :locale, default_address_id = :defaultAddressId, updated_at = :updatedAt,
     state_at = :stateAt, erasure_due_at = :erasureDueAt
   WHERE tenant_id = :tenantId AND user_id = :userId`,
)
const listPage = tenantStatement(
  'user.list',
  `SELECT * FROM user_users WHERE tenant_id = :tenantId AND user_id > :after AND (:state IS NULL OR state = :state)
   ORDER BY user_id LIMIT :limit`,
)
const selectByEmail = tenantStatement(
  'user.selectByEmail',
  'SELECT * FROM user_users WHERE tenant_id = :tenantId AND email_index IN (:indexes) AND user_id > :after ORDER BY user_id LIMIT :limit',
)
const selectByPhone = tenantStatement(
  'user.selectByPhone',
  'SELECT * FROM user_users WHERE tenant_id = :tenantId AND phone_index IN (:indexes) AND user_id > :after ORDER BY user_id LIMIT :limit',
)
const selectStateChanges = platformStatement(
  'user.selectStateChanges',
  `SELECT tenant_id, user_id, state, state_at FROM user_users
   WHERE state_at >= :since AND (state_at, tenant_id, user_id) > (:afterAt, :afterTenant, :afterUser)
   ORDER BY state_at, tenant_id, user_id LIMIT :limit`,
  'the clock writes the access directory of all tenants again',
)
const selectErasureDue = platformStatement(
  'user.selectErasureDue',
  'SELECT tenant_id, user_id FROM user_users WHERE erasure_due_at <= :now ORDER BY erasure_due_at LIMIT :limit',
  'the clock erases who asked for it, in all tenants',
)
const selectNextErasure = platformStatement(
  'user.selectNextErasure',
  'SELECT MIN(erasure_due_at) AS at FROM user_users',
  'the clock looks when the next person of any tenant is to be erased',
)

const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null)
const msOf = (value: unknown): number => (value as Date).getTime()
const msOrNull = (value: unknown): number | null => (value === null ? null : msOf(value))
const dateOrNull = (ms: number | null): Date | null => (ms === null ? null : new Date(ms))

export const toPerson = (row: Row): Person => ({
  tenantId: String(row['tenant_id']),
  userId: String(row['user_id']),
  state: row['state'] as UserState,
  version: Number(row['version']),
  dataKey: textOf(row['data_key']),
  dataKeyId: textOf(row['data_key_id']),
  name: textOf(row['name']),
  email: textOf(row['email']),
  emailAtMs: msOrNull(row['email_at']),
  emailIndex: textOf(row['email_index']),
  phone: textOf(row['phone']),
  phoneAtMs: msOrNull(row['phone_at']),
  phoneIndex: textOf(row['phone_index']),
  indexKeyId: textOf(row['index_key_id']),
  locale: textOf(row['locale']),
  defaultAddressId: textOf(row['default_address_id']),
  createdAtMs: msOf(row['created_at']),
  updatedAtMs: msOf(row['updated_at']),
  stateAtMs: msOf(row['state_at']),
  erasureDueAtMs: msOrNull(row['erasure_due_at']),
})

export async function findPerson(tenant: TenantDatabase, userId: string): Promise<Person | undefined> {
  const row = await tenant.row(selectPerson, { userId })
  return row && toPerson(row)
}

/** Every change of a person begins here: their row lock makes changes come one after the other. */
export async function lockPerson(tenant: TenantDatabase, userId: string): Promise<Person | undefined> {
  const row = await tenant.row(lockPersonRow, { userId })
  return row && toPerson(row)
}

/** Nothing happens when there is such a person. */
export async function insertPerson(tenant: TenantDatabase, person: Person): Promise<void> {
  const { userId, state, version, dataKey, dataKeyId } = person
  const at = { createdAt: new Date(person.createdAtMs), updatedAt: new Date(person.updatedAtMs) }
  const stateAt = new Date(person.stateAtMs)
  await tenant.change(insertPersonRow, { userId, state, version, dataKey, dataKeyId, ...at, stateAt })
}

/** Writes a locked person whole. */
export async function savePerson(tenant: TenantDatabase, person: Person): Promise<void> {
  const { emailAtMs, phoneAtMs, updatedAtMs, stateAtMs, erasureDueAtMs } = person
  const { tenantId: _tenantId, createdAtMs: _createdAtMs, ...columns } = person
  await tenant.change(updatePerson, {
    ...columns,
    emailAt: dateOrNull(emailAtMs),
    phoneAt: dateOrNull(phoneAtMs),
    updatedAt: new Date(updatedAtMs),
    stateAt: new Date(stateAtMs),
    erasureDueAt: dateOrNull(erasureDueAtMs),
  })
}

export type PeoplePage = { after: string; limit: number }

export async function listPeople(
  tenant: TenantDatabase,
  page: PeoplePage & { state: UserState | null },
): Promise<Person[]> {
  return (await tenant.rows(listPage, page)).map(toPerson)
}

/** `indexes`: the blind index by every key there is. */
export async function findByContact(
  tenant: TenantDatabase,
  kind: 'email' | 'phone',
  page: PeoplePage & { indexes: readonly string[] },
): Promise<Person[]> {
  return (await tenant.rows(kind === 'email' ? selectByEmail : selectByPhone, page)).map(toPerson)
}

export type StateChange = { tenantId: string; userId: string; state: UserState; stateAtMs: number }

/** By time, those behind `after`. */
export async function stateChanges(
  platform: PlatformDatabase,
  sinceMs: number,
  after: StateChange | undefined,
  limit: number,
): Promise<StateChange[]> {
  const rows = await platform.rows(selectStateChanges, {
    since: new Date(sinceMs),
    afterAt: new Date(after?.stateAtMs ?? sinceMs - 1),
    afterTenant: after?.tenantId ?? '',
    afterUser: after?.userId ?? '',
    limit,
  })
  return rows.map((row) => ({
    tenantId: String(row['tenant_id']),
    userId: String(row['user_id']),
    state: row['state'] as UserState,
    stateAtMs: msOf(row['state_at']),
  }))
}

/** When the next erasure is due, ms; undefined: nobody waits for one. */
export async function nextErasureMs(platform: PlatformDatabase): Promise<number | undefined> {
  const row = await platform.row(selectNextErasure, {})
  return msOrNull(row?.['at'] ?? null) ?? undefined
}

export async function erasuresDue(
  platform: PlatformDatabase,
  nowMs: number,
  limit: number,
): Promise<{ tenantId: string; userId: string }[]> {
  const rows = await platform.rows(selectErasureDue, { now: new Date(nowMs), limit })
  return rows.map((row) => ({ tenantId: String(row['tenant_id']), userId: String(row['user_id']) }))
}
