/** SQL of the signing keys: of the platform, no tenant's. */
import type { PlatformDatabase } from '@stampede/shared/database/sessions.ts'
import { platformStatement } from '@stampede/shared/database/statement.ts'
import type { SigningAlgorithm, SigningKey } from './key-schedule.ts'

const reason = 'signing keys are the own of the platform'

const list = platformStatement(
  'auth.listKeys',
  `SELECT key_id AS keyId, algorithm, public_jwk AS publicJwk, sealed_private_jwk AS sealedPrivateJwk, published_at AS publishedAt,
     signs_at AS signsAt, hidden_at AS hiddenAt FROM auth_signing_keys ORDER BY signs_at, key_id LIMIT 1000`,
  reason,
)
export async function listKeys(db: PlatformDatabase): Promise<SigningKey[]> {
  return (await db.rows(list, {})).map((row) => ({
    keyId: String(row['keyId']),
    algorithm: row['algorithm'] as SigningAlgorithm,
    publicJwk: String(row['publicJwk']),
    sealedPrivateJwk: String(row['sealedPrivateJwk']),
    publishedAtMs: (row['publishedAt'] as Date).getTime(),
    signsAtMs: (row['signsAt'] as Date).getTime(),
    hiddenAtMs: (row['hiddenAt'] as Date | null)?.getTime(),
  }))
}

const lock = platformStatement(
  'auth.lockKeys',
  `SELECT guard FROM auth_signing_guard WHERE guard = 'keys' FOR UPDATE`,
  reason,
)
/** One process at a time changes the keys. */
export async function lockKeys(db: PlatformDatabase): Promise<void> {
  await db.rows(lock, {})
}

const insert = platformStatement(
  'auth.insertKey',
  `INSERT INTO auth_signing_keys (key_id, algorithm, public_jwk, sealed_private_jwk, published_at, signs_at)
   VALUES (:keyId, :algorithm, :publicJwk, :sealedPrivateJwk, :publishedAt, :signsAt)`,
  reason,
)
export async function insertKey(db: PlatformDatabase, key: SigningKey): Promise<void> {
  const { keyId, algorithm, publicJwk, sealedPrivateJwk } = key
  const times = { publishedAt: new Date(key.publishedAtMs), signsAt: new Date(key.signsAtMs) }
  await db.change(insert, { keyId, algorithm, publicJwk, sealedPrivateJwk, ...times })
}

const hide = platformStatement(
  'auth.hideKey',
  'UPDATE auth_signing_keys SET hidden_at = :hiddenAt WHERE key_id = :keyId',
  reason,
)
export async function hideKey(db: PlatformDatabase, keyId: string, hiddenAt: Date): Promise<void> {
  await db.change(hide, { keyId, hiddenAt })
}

const rewrite = platformStatement(
  'auth.rewriteKey',
  'UPDATE auth_signing_keys SET sealed_private_jwk = :sealedPrivateJwk WHERE key_id = :keyId',
  reason,
)
export async function rewriteKey(db: PlatformDatabase, keyId: string, sealedPrivateJwk: string): Promise<void> {
  await db.change(rewrite, { keyId, sealedPrivateJwk })
}

const remove = platformStatement(
  'auth.deleteHiddenKeys',
  'DELETE FROM auth_signing_keys WHERE hidden_at < :before',
  reason,
)
export async function deleteHiddenKeys(db: PlatformDatabase, before: Date): Promise<void> {
  await db.change(remove, { before })
}
