/** SQL of what the provider remembers. Ids are kept as hashes (a token is its own id) and payloads sealed. */
import type { PlatformDatabase, Row, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { platformStatement, tenantStatement } from '@stampede/shared/database/statement.ts'
import type { SealContext } from '@stampede/shared/personal-data/key-ring.ts'
import { deleteOlder } from '../guard-store.ts'

export type StoredRecord = { recordHash: string; payload: string; consumedAt: Date | undefined }

/** What a payload is bound to. */
export const recordContext = (tenantId: string, model: string, recordHash: string): SealContext => ({
  tenantId,
  table: 'auth_oidc_records',
  column: model,
  rowId: recordHash,
})

const toRecord = (row: Row | undefined): StoredRecord | undefined =>
  row && {
    recordHash: String(row['recordHash']),
    payload: String(row['payload']),
    consumedAt: (row['consumedAt'] as Date | null) ?? undefined,
  }

const put = tenantStatement(
  'auth.putRecord',
  `INSERT INTO auth_oidc_records (tenant_id, model, record_hash, payload, grant_id, uid, account_id, expires_at)
   VALUES (:tenantId, :model, :recordHash, :payload, :grantId, :uid, :accountId, :expiresAt)
   ON DUPLICATE KEY UPDATE payload = VALUES(payload), grant_id = VALUES(grant_id), uid = VALUES(uid),
     account_id = VALUES(account_id), expires_at = VALUES(expires_at)`,
)
export async function putRecord(
  db: TenantDatabase,
  record: {
    model: string
    recordHash: string
    payload: string
    grantId: string | null
    uid: string | null
    accountId: string | null
    expiresAt: Date
  },
): Promise<void> {
  await db.change(put, record)
}

const find = tenantStatement(
  'auth.findRecord',
  `SELECT record_hash AS recordHash, payload, consumed_at AS consumedAt FROM auth_oidc_records
   WHERE tenant_id = :tenantId AND model = :model AND record_hash = :recordHash`,
)
export async function findRecord(
  db: TenantDatabase,
  model: string,
  recordHash: string,
): Promise<StoredRecord | undefined> {
  return toRecord(await db.row(find, { model, recordHash }))
}

const byUid = tenantStatement(
  'auth.findRecordByUid',
  `SELECT record_hash AS recordHash, payload, consumed_at AS consumedAt FROM auth_oidc_records
   WHERE tenant_id = :tenantId AND uid = :uid AND model = :model LIMIT 1`,
)
export async function findRecordByUid(
  db: TenantDatabase,
  model: string,
  uid: string,
): Promise<StoredRecord | undefined> {
  return toRecord(await db.row(byUid, { model, uid }))
}

const byAccount = tenantStatement(
  'auth.listRecordsOfAccount',
  `SELECT record_hash AS recordHash, payload, consumed_at AS consumedAt FROM auth_oidc_records
   WHERE tenant_id = :tenantId AND account_id = :accountId AND model = :model ORDER BY expires_at DESC LIMIT 100`,
)
export async function listRecordsOfAccount(
  db: TenantDatabase,
  model: string,
  accountId: string,
): Promise<StoredRecord[]> {
  return (await db.rows(byAccount, { model, accountId })).map((row) => toRecord(row)!)
}

const consume = tenantStatement(
  'auth.consumeRecord',
  `UPDATE auth_oidc_records SET consumed_at = :at
   WHERE tenant_id = :tenantId AND model = :model AND record_hash = :recordHash AND consumed_at IS NULL`,
)
/** True once. */
export async function consumeRecord(db: TenantDatabase, model: string, recordHash: string, at: Date): Promise<boolean> {
  return (await db.change(consume, { model, recordHash, at })) === 1
}

const remove = tenantStatement(
  'auth.deleteRecord',
  'DELETE FROM auth_oidc_records WHERE tenant_id = :tenantId AND model = :model AND record_hash = :recordHash',
)
export async function deleteRecord(db: TenantDatabase, model: string, recordHash: string): Promise<void> {
  await db.change(remove, { model, recordHash })
}

const removeTokens = tenantStatement(
  'auth.deleteRecordsOfGrant',
  'DELETE FROM auth_oidc_records WHERE tenant_id = :tenantId AND grant_id = :grantId AND model = :model',
)
export async function deleteRecordsOfGrant(db: TenantDatabase, model: string, grantId: string): Promise<void> {
  await db.change(removeTokens, { grantId, model })
}

const removeGrants = tenantStatement(
  'auth.deleteGrants',
  'DELETE FROM auth_oidc_records WHERE tenant_id = :tenantId AND grant_id IN (:grantIds)',
)
/** Grants and all that was issued by them. A grant's record carries its own id as `grant_id`. */
export async function deleteGrants(db: TenantDatabase, grantIds: readonly string[]): Promise<void> {
  if (grantIds.length > 0) await db.change(removeGrants, { grantIds })
}

const removeAccount = tenantStatement(
  'auth.deleteRecordsOfAccount',
  'DELETE FROM auth_oidc_records WHERE tenant_id = :tenantId AND account_id = :accountId AND model = :model',
)
/** Signs the browsers of a person out. */
export async function deleteRecordsOfAccount(db: TenantDatabase, model: string, accountId: string): Promise<void> {
  await db.change(removeAccount, { model, accountId })
}

const sweeps = [
  platformStatement(
    'auth.sweepRecords',
    'DELETE FROM auth_oidc_records WHERE expires_at < :at ORDER BY expires_at LIMIT :step',
    'what has expired is deleted for all tenants by the clock',
  ),
]
export const sweepRecords = (db: PlatformDatabase, at: Date): Promise<void> => deleteOlder(db, sweeps, at)
