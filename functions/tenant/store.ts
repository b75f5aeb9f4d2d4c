/** All SQL of tenant. Its rows are the tenants themselves, so only the platform's staff get to see those of others (routes.ts). */
import type { TenantQuota, TenantState } from '@stampede/shared/access/types.ts'
import { isDuplicateKey } from '@stampede/shared/database/errors.ts'
import type { PlatformDatabase, Row, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { platformStatement, tenantStatement } from '@stampede/shared/database/statement.ts'
import type { TenantSettings } from './settings.ts'

/** Times are RFC 3339 in UTC with milliseconds. */
export type Tenant = {
  tenantId: string
  name: string
  state: TenantState
  reason: string | null
  quota: TenantQuota
  settings: TenantSettings
  /** Rows of the tenant in other functions, as they were counted last. */
  storageRows: number | null
  storageExceeded: boolean
  version: number
  createdAt: string
  updatedAt: string
}

const columns = `tenant_id AS tenantId, name, state, reason, quota_config AS quota, settings, storage_rows AS storageRows,
  storage_exceeded AS storageExceeded, version,
  created_at AS createdAt, updated_at AS updatedAt`

/** MySQL has a JSON type and gives values, MariaDB gives text. */
const document = (value: unknown): unknown => (typeof value === 'string' ? JSON.parse(value) : value)

const toTenant = (row: Row): Tenant => ({
  tenantId: String(row['tenantId']),
  name: String(row['name']),
  state: row['state'] as TenantState,
  reason: row['reason'] as string | null,
  quota: document(row['quota']) as TenantQuota,
  settings: document(row['settings']) as TenantSettings,
  storageRows: row['storageRows'] === null ? null : Number(row['storageRows']),
  storageExceeded: Boolean(row['storageExceeded']),
  version: Number(row['version']),
  createdAt: (row['createdAt'] as Date).toISOString(),
  updatedAt: (row['updatedAt'] as Date).toISOString(),
})

const insert = tenantStatement(
  'tenant.insert',
  `INSERT INTO tenant_tenants (tenant_id, name, state, reason, quota_config, settings, version, created_at, updated_at)
   VALUES (:tenantId, :name, :state, :reason, :quota, :settings, :version, :createdAt, :updatedAt)`,
)
const find = tenantStatement('tenant.find', `SELECT ${columns} FROM tenant_tenants WHERE tenant_id = :tenantId`)
const lock = tenantStatement(
  'tenant.lock',
  `SELECT ${columns} FROM tenant_tenants WHERE tenant_id = :tenantId FOR UPDATE`,
)
const update = tenantStatement(
  'tenant.update',
  `UPDATE tenant_tenants SET name = :name, state = :state, reason = :reason, quota_config = :quota, settings = :settings,
     storage_rows = :storageRows, storage_exceeded = :storageExceeded, version = :version, updated_at = :updatedAt
   WHERE tenant_id = :tenantId`,
)
const list = platformStatement(
  'tenant.list',
  `SELECT ${columns} FROM tenant_tenants WHERE tenant_id > :after AND (:state IS NULL OR state = :state)
   ORDER BY tenant_id LIMIT :limit`,
  'the list of the tenants, for the staff of the platform and for the access directory',
)

const valuesOf = (tenant: Tenant) => ({
  name: tenant.name,
  state: tenant.state,
  reason: tenant.reason,
  quota: JSON.stringify(tenant.quota),
  settings: JSON.stringify(tenant.settings),
  storageRows: tenant.storageRows,
  storageExceeded: tenant.storageExceeded,
  version: tenant.version,
  updatedAt: new Date(tenant.updatedAt),
})

/** False when the tenant exists already; then nothing was changed. */
export async function insertTenant(db: TenantDatabase, tenant: Tenant): Promise<boolean> {
  try {
    await db.change(insert, { ...valuesOf(tenant), createdAt: new Date(tenant.createdAt) })
    return true
  } catch (error) {
    if (isDuplicateKey(error)) return false
    throw error
  }
}

export async function findTenant(db: TenantDatabase): Promise<Tenant | undefined> {
  const row = await db.row(find, {})
  return row && toTenant(row)
}

export async function lockTenant(db: TenantDatabase): Promise<Tenant | undefined> {
  const row = await db.row(lock, {})
  return row && toTenant(row)
}

/** Writes a locked tenant whole; its version has been counted up by the caller. */
export async function saveTenant(db: TenantDatabase, tenant: Tenant): Promise<void> {
  await db.change(update, valuesOf(tenant))
}

/** Keyset page by tenant id. */
export async function listTenants(
  db: PlatformDatabase,
  options: { after: string; state?: TenantState | undefined; limit: number },
): Promise<Tenant[]> {
  const { after, state = null, limit } = options
  return (await db.rows(list, { after, state, limit })).map(toTenant)
}
