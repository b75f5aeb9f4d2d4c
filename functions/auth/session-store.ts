/** SQL of sessions and their refresh tokens. */
import type { PlatformDatabase, Row, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { platformStatement, tenantStatement } from '@stampede/shared/database/statement.ts'
import { deleteOlder } from './guard-store.ts'

export type RevocationReason =
  'signed-out' | 'revoked' | 'refresh-token-reused' | 'password-changed' | 'user-deactivated'

export type Session = {
  sessionId: string
  userId: string
  /** The application that began it (OpenID Connect); undefined: our own sign-in. */
  clientId: string | undefined
  userAgent: string
  createdAt: Date
  usedAt: Date
  expiresAt: Date
  revokedAt: Date | undefined
}

const toSession = (row: Row): Session => ({
  sessionId: String(row['sessionId']),
  userId: String(row['userId']),
  clientId: (row['clientId'] as string | null) ?? undefined,
  userAgent: String(row['userAgent']),
  createdAt: row['createdAt'] as Date,
  usedAt: row['usedAt'] as Date,
  expiresAt: row['expiresAt'] as Date,
  revokedAt: (row['revokedAt'] as Date | null) ?? undefined,
})

const insert = tenantStatement(
  'auth.insertSession',
  `INSERT INTO auth_sessions (tenant_id, session_id, user_id, client_id, user_agent, created_at, used_at, expires_at)
   VALUES (:tenantId, :sessionId, :userId, :clientId, :userAgent, :at, :at, :expiresAt)`,
)
export async function insertSession(
  db: TenantDatabase,
  session: { sessionId: string; userId: string; clientId?: string; userAgent: string; at: Date; expiresAt: Date },
): Promise<void> {
  await db.change(insert, { ...session, clientId: session.clientId ?? null })
}

const find = tenantStatement(
  'auth.findSession',
  `SELECT session_id AS sessionId, user_id AS userId, client_id AS clientId, user_agent AS userAgent, created_at AS createdAt,
     used_at AS usedAt, expires_at AS expiresAt, revoked_at AS revokedAt
   FROM auth_sessions WHERE tenant_id = :tenantId AND session_id = :sessionId`,
)
export async function findSession(db: TenantDatabase, sessionId: string): Promise<Session | undefined> {
  const row = await db.row(find, { sessionId })
  return row && toSession(row)
}

const lock = tenantStatement(
  'auth.lockSession',
  `SELECT session_id AS sessionId, user_id AS userId, client_id AS clientId, user_agent AS userAgent, created_at AS createdAt,
     used_at AS usedAt, expires_at AS expiresAt, revoked_at AS revokedAt
   FROM auth_sessions WHERE tenant_id = :tenantId AND session_id = :sessionId FOR UPDATE`,
)
export async function lockSession(db: TenantDatabase, sessionId: string): Promise<Session | undefined> {
  const row = await db.row(lock, { sessionId })
  return row && toSession(row)
}

const live = tenantStatement(
  'auth.listSessions',
  `SELECT session_id AS sessionId, user_id AS userId, client_id AS clientId, user_agent AS userAgent, created_at AS createdAt,
     used_at AS usedAt, expires_at AS expiresAt, revoked_at AS revokedAt
   FROM auth_sessions WHERE tenant_id = :tenantId AND user_id = :userId AND revoked_at IS NULL AND expires_at > :at
   ORDER BY created_at DESC, session_id LIMIT :limit`,
)
/** Live ones, the newest first. */
export async function listSessions(db: TenantDatabase, userId: string, at: Date, limit: number): Promise<Session[]> {
  return (await db.rows(live, { userId, at, limit })).map(toSession)
}

const applications = tenantStatement(
  'auth.listApplicationSessions',
  `SELECT session_id AS sessionId, client_id AS clientId FROM auth_sessions
   WHERE tenant_id = :tenantId AND session_id IN (:sessionIds) AND client_id IS NOT NULL`,
)
/** Those that an application began. */
export async function listApplicationSessions(
  db: TenantDatabase,
  sessionIds: readonly string[],
): Promise<{ sessionId: string; clientId: string }[]> {
  const rows = await db.rows(applications, { sessionIds })
  return rows.map((row) => ({ sessionId: String(row['sessionId']), clientId: String(row['clientId']) }))
}

const ended = tenantStatement(
  'auth.listEndedSessions',
  `SELECT session_id AS sessionId FROM auth_sessions
   WHERE tenant_id = :tenantId AND user_id = :userId AND revoked_at >= :since ORDER BY revoked_at DESC LIMIT 1000`,
)
/** Ids of a user's sessions that were revoked lately: their tokens and passes may still be alive. */
export async function listEndedSessions(db: TenantDatabase, userId: string, since: Date): Promise<string[]> {
  return (await db.rows(ended, { userId, since })).map((row) => String(row['sessionId']))
}

const touch = tenantStatement(
  'auth.touchSession',
  'UPDATE auth_sessions SET used_at = :at WHERE tenant_id = :tenantId AND session_id = :sessionId',
)
export async function touchSession(db: TenantDatabase, sessionId: string, at: Date): Promise<void> {
  await db.change(touch, { sessionId, at })
}

const revoke = tenantStatement(
  'auth.revokeSessions',
  `UPDATE auth_sessions SET revoked_at = :at, reason = :reason
   WHERE tenant_id = :tenantId AND session_id IN (:sessionIds) AND revoked_at IS NULL`,
)
/** Only live ones: the first revocation's time and reason stay. Returns how many. */
export async function revokeSessions(
  db: TenantDatabase,
  sessionIds: readonly string[],
  reason: RevocationReason,
  at: Date,
): Promise<number> {
  return sessionIds.length === 0 ? 0 : db.change(revoke, { sessionIds, reason, at })
}

export type RevokedSession = { tenantId: string; userId: string; sessionId: string; revokedAt: Date }

const revoked = platformStatement(
  'auth.revokedSince',
  `SELECT tenant_id AS tenantId, user_id AS userId, session_id AS sessionId, revoked_at AS revokedAt FROM auth_sessions
   WHERE revoked_at >= :since AND (revoked_at > :revokedAt OR (revoked_at = :revokedAt AND session_id > :sessionId))
   ORDER BY revoked_at, session_id LIMIT :limit`,
  'the access directory is told again of the revoked sessions of all tenants',
)
/** In order of time and id. */
export async function revokedSince(
  db: PlatformDatabase,
  since: Date,
  after: { revokedAt: Date; sessionId: string },
  limit: number,
): Promise<RevokedSession[]> {
  return (await db.rows(revoked, { since, ...after, limit })) as unknown as RevokedSession[]
}

export type RefreshToken = { sessionId: string; expiresAt: Date; usedAt: Date | undefined }

const insertToken = tenantStatement(
  'auth.insertRefreshToken',
  `INSERT INTO auth_refresh_tokens (tenant_id, token_hash, session_id, created_at, expires_at)
   VALUES (:tenantId, :tokenHash, :sessionId, :at, :expiresAt)`,
)
export async function insertRefreshToken(
  db: TenantDatabase,
  token: { tokenHash: string; sessionId: string; at: Date; expiresAt: Date },
): Promise<void> {
  await db.change(insertToken, token)
}

const findToken = tenantStatement(
  'auth.findRefreshToken',
  `SELECT session_id AS sessionId, expires_at AS expiresAt, used_at AS usedAt FROM auth_refresh_tokens
   WHERE tenant_id = :tenantId AND token_hash = :tokenHash`,
)
export async function findRefreshToken(db: TenantDatabase, tokenHash: string): Promise<RefreshToken | undefined> {
  const row = await db.row(findToken, { tokenHash })
  return (
    row && {
      sessionId: String(row['sessionId']),
      expiresAt: row['expiresAt'] as Date,
      usedAt: (row['usedAt'] as Date | null) ?? undefined,
    }
  )
}

const useToken = tenantStatement(
  'auth.useRefreshToken',
  `UPDATE auth_refresh_tokens SET used_at = :at WHERE tenant_id = :tenantId AND token_hash = :tokenHash AND used_at IS NULL`,
)
/** True once: whoever gets it may go on, everybody else used it again. */
export async function useRefreshToken(db: TenantDatabase, tokenHash: string, at: Date): Promise<boolean> {
  return (await db.change(useToken, { tokenHash, at })) === 1
}

const sweeps = [
  platformStatement(
    'auth.sweepRefreshTokens',
    'DELETE FROM auth_refresh_tokens WHERE expires_at < :at ORDER BY expires_at LIMIT :step',
    'tokens that have expired are deleted for all tenants by the clock',
  ),
  platformStatement(
    'auth.sweepSessions',
    'DELETE FROM auth_sessions WHERE expires_at < :at ORDER BY expires_at LIMIT :step',
    'sessions that have ended long ago are deleted for all tenants by the clock',
  ),
]

export const sweepSessions = (db: PlatformDatabase, at: Date): Promise<void> => deleteOlder(db, sweeps, at)
