/** SQL of codes and counters: what lives for minutes. */
import type { PlatformDatabase, Row, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { platformStatement, tenantStatement, type PlatformStatement } from '@stampede/shared/database/statement.ts'
import type { Counter } from './guard.ts'

export type CodePurpose = 'register' | 'login' | 'reset-password'
export type CodeOf = { purpose: CodePurpose; contactIndex: string }
export type StoredCode = { contactIndex: string; codeHash: string; tries: number; expiresAt: Date }

const put = tenantStatement(
  'auth.putCode',
  `INSERT INTO auth_codes (tenant_id, purpose, contact_index, code_hash, tries, created_at, expires_at)
   VALUES (:tenantId, :purpose, :contactIndex, :codeHash, 0, :at, :expiresAt)
   ON DUPLICATE KEY UPDATE code_hash = VALUES(code_hash), tries = 0, created_at = VALUES(created_at), expires_at = VALUES(expires_at)`,
)
/** Replaces an older one: only the newest code counts. */
export async function putCode(
  db: TenantDatabase,
  code: CodeOf & { codeHash: string; at: Date; expiresAt: Date },
): Promise<void> {
  await db.change(put, code)
}

const lock = tenantStatement(
  'auth.lockCode',
  `SELECT contact_index AS contactIndex, code_hash AS codeHash, tries, expires_at AS expiresAt FROM auth_codes
   WHERE tenant_id = :tenantId AND purpose = :purpose AND contact_index IN (:contactIndexes)
   ORDER BY created_at DESC LIMIT 1 FOR UPDATE`,
)
/** The newest, whichever index key it was asked for under. */
export async function lockCode(
  db: TenantDatabase,
  purpose: CodePurpose,
  contactIndexes: readonly string[],
): Promise<StoredCode | undefined> {
  const row = await db.row(lock, { purpose, contactIndexes })
  return (
    row && {
      contactIndex: String(row['contactIndex']),
      codeHash: String(row['codeHash']),
      tries: Number(row['tries']),
      expiresAt: row['expiresAt'] as Date,
    }
  )
}

const countTries = tenantStatement(
  'auth.countCodeTry',
  `UPDATE auth_codes SET tries = tries + 1 WHERE tenant_id = :tenantId AND purpose = :purpose AND contact_index = :contactIndex`,
)
export async function countCodeTry(db: TenantDatabase, of: CodeOf): Promise<void> {
  await db.change(countTries, of)
}

const remove = tenantStatement(
  'auth.deleteCode',
  'DELETE FROM auth_codes WHERE tenant_id = :tenantId AND purpose = :purpose AND contact_index = :contactIndex',
)
export async function deleteCode(db: TenantDatabase, of: CodeOf): Promise<void> {
  await db.change(remove, of)
}

const toCounter = (row: Row): Counter => ({
  amount: Number(row['amount']),
  windowEndsAtMs: (row['windowEndsAt'] as Date).getTime(),
  blockedUntilMs: (row['blockedUntil'] as Date | null)?.getTime(),
})

const find = tenantStatement(
  'auth.findCounter',
  `SELECT amount, window_ends_at AS windowEndsAt, blocked_until AS blockedUntil FROM auth_counters
   WHERE tenant_id = :tenantId AND counter = :counter`,
)
export async function findCounter(db: TenantDatabase, counter: string): Promise<Counter | undefined> {
  const row = await db.row(find, { counter })
  return row && toCounter(row)
}

const ensure = tenantStatement(
  'auth.ensureCounter',
  `INSERT INTO auth_counters (tenant_id, counter, amount, window_ends_at) VALUES (:tenantId, :counter, 0, :at)
   ON DUPLICATE KEY UPDATE counter = VALUES(counter)`,
)
const lockOne = tenantStatement(
  'auth.lockCounter',
  `SELECT amount, window_ends_at AS windowEndsAt, blocked_until AS blockedUntil FROM auth_counters
   WHERE tenant_id = :tenantId AND counter = :counter FOR UPDATE`,
)
/** The row is made where there is none: a lock on nothing would let two through. */
export async function lockCounter(db: TenantDatabase, counter: string, at: Date): Promise<Counter> {
  await db.change(ensure, { counter, at })
  return toCounter((await db.row(lockOne, { counter }))!)
}

const putOne = tenantStatement(
  'auth.putCounter',
  `UPDATE auth_counters SET amount = :amount, window_ends_at = :windowEndsAt, blocked_until = :blockedUntil
   WHERE tenant_id = :tenantId AND counter = :counter`,
)
export async function putCounter(
  db: TenantDatabase,
  counter: string,
  { amount, windowEndsAtMs, blockedUntilMs }: Counter,
): Promise<void> {
  const windowEndsAt = new Date(windowEndsAtMs)
  const blockedUntil = blockedUntilMs === undefined ? null : new Date(blockedUntilMs)
  await db.change(putOne, { counter, amount, windowEndsAt, blockedUntil })
}

const removeOne = tenantStatement(
  'auth.deleteCounter',
  'DELETE FROM auth_counters WHERE tenant_id = :tenantId AND counter = :counter',
)
export async function deleteCounter(db: TenantDatabase, counter: string): Promise<void> {
  await db.change(removeOne, { counter })
}

const sweeps = [
  platformStatement(
    'auth.sweepCodes',
    'DELETE FROM auth_codes WHERE expires_at < :at ORDER BY expires_at LIMIT :step',
    'codes that have expired are deleted for all tenants by the clock',
  ),
  platformStatement(
    'auth.sweepCounters',
    'DELETE FROM auth_counters WHERE window_ends_at < :at ORDER BY window_ends_at LIMIT :step',
    'counters that count nothing any more are deleted for all tenants by the clock',
  ),
]
const sweepStep = 1_000

/** Runs statements that delete at most `step` rows until nothing older than `at` is left. */
export async function deleteOlder(
  db: PlatformDatabase,
  statements: readonly PlatformStatement<{ readonly at: Date; readonly step: number }>[],
  at: Date,
): Promise<void> {
  for (const statement of statements) while ((await db.change(statement, { at, step: sweepStep })) === sweepStep);
}

export const sweepGuards = (db: PlatformDatabase, at: Date): Promise<void> => deleteOlder(db, sweeps, at)
