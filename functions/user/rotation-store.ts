/**
 * SQL of user: rows by the key they are under. Each row is written only if it is still as it was read: an erasure in between is not
 * undone, and a change in between has brought the row under the current key itself or is met by the next pass.
 */
import type { PlatformDatabase, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { platformStatement, tenantStatement } from '@stampede/shared/database/statement.ts'
import type { Person } from './person.ts'
import { toPerson } from './store.ts'

const countDataKeys = platformStatement(
  'user.countDataKeys',
  'SELECT data_key_id AS keyId, COUNT(*) AS people FROM user_users WHERE data_key_id IS NOT NULL GROUP BY data_key_id',
  'keys are of the platform: a rotation is over when no row of any tenant is under the old one',
)
const countIndexKeys = platformStatement(
  'user.countIndexKeys',
  'SELECT index_key_id AS keyId, COUNT(*) AS people FROM user_users WHERE index_key_id IS NOT NULL GROUP BY index_key_id',
  'keys are of the platform: a rotation is over when no row of any tenant is under the old one',
)
const selectByDataKey = platformStatement(
  'user.selectByDataKey',
  `SELECT * FROM user_users WHERE data_key_id = :keyId AND (tenant_id > :afterTenant OR (tenant_id = :afterTenant AND user_id > :afterUser))
   ORDER BY tenant_id, user_id LIMIT :limit`,
  'a rotation goes through the rows of all tenants',
)
const selectByIndexKey = platformStatement(
  'user.selectByIndexKey',
  `SELECT * FROM user_users WHERE index_key_id = :keyId AND (tenant_id > :afterTenant OR (tenant_id = :afterTenant AND user_id > :afterUser))
   ORDER BY tenant_id, user_id LIMIT :limit`,
  'a rotation goes through the rows of all tenants',
)
const replaceDataKeyRow = tenantStatement(
  'user.replaceDataKey',
  `UPDATE user_users SET data_key = :dataKey, data_key_id = :dataKeyId
   WHERE tenant_id = :tenantId AND user_id = :userId AND data_key = :before`,
)
const replaceIndexesRow = tenantStatement(
  'user.replaceIndexes',
  `UPDATE user_users SET email_index = :emailIndex, phone_index = :phoneIndex, index_key_id = :indexKeyId
   WHERE tenant_id = :tenantId AND user_id = :userId AND version = :version`,
)

export type KeyUse = 'data' | 'index'

/** How many people are under each key. */
export async function peopleByKey(platform: PlatformDatabase, use: KeyUse): Promise<Map<string, number>> {
  const rows = await platform.rows(use === 'data' ? countDataKeys : countIndexKeys, {})
  return new Map(rows.map((row) => [String(row['keyId']), Number(row['people'])]))
}

/** People under a key, by tenant and id, behind `after`. */
export async function peopleUnder(
  platform: PlatformDatabase,
  use: KeyUse,
  page: { keyId: string; after: { tenantId: string; userId: string } | undefined; limit: number },
): Promise<Person[]> {
  const rows = await platform.rows(use === 'data' ? selectByDataKey : selectByIndexKey, {
    keyId: page.keyId,
    afterTenant: page.after?.tenantId ?? '',
    afterUser: page.after?.userId ?? '',
    limit: page.limit,
  })
  return rows.map(toPerson)
}

/** False when the row changed meanwhile. */
export async function replaceDataKey(
  tenant: TenantDatabase,
  change: { userId: string; before: string; dataKey: string; dataKeyId: string },
): Promise<boolean> {
  return (await tenant.change(replaceDataKeyRow, change)) === 1
}

/** False when the row changed meanwhile. */
export async function replaceIndexes(tenant: TenantDatabase, person: Person): Promise<boolean> {
  const { userId, emailIndex, phoneIndex, indexKeyId, version } = person
  return (await tenant.change(replaceIndexesRow, { userId, emailIndex, phoneIndex, indexKeyId, version })) === 1
}
