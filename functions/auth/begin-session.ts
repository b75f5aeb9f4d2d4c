/** A session begins: its tokens, and who is told. */
import { accountSignedIn } from '@stampede/eventing/catalogue/identity-events.ts'
import type { TenantDatabase } from '@stampede/shared/database/sessions.ts'
import type { ChangeContext } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { AuthContext } from './context.ts'
import { correctDirectory, endSessions } from './end-sessions.ts'
import { hashSecret, newId, newSecret } from './ids.ts'
import { insertRefreshToken, insertSession, listSessions } from './session-store.ts'
import { lockAccount } from './store.ts'

export type TokenSet = {
  accessToken: string
  tokenType: 'Bearer'
  expiresInSeconds: number
  refreshToken: string
  sessionId: string
  userId: string
}

export type NewSession = { userId: string; userAgent: string; roles: readonly string[] }

export type BegunSession = { sessionId: string; userId: string; refreshToken: string; evicted: string[] }

/** In the caller's transaction. Throws Problem `forbidden` when the account is not active. */
export async function beginSession(
  auth: AuthContext,
  context: ChangeContext,
  { userId, userAgent }: Omit<NewSession, 'roles'>,
): Promise<BegunSession> {
  const { tx, tenant, outbox, tenantId } = context
  const at = new Date(auth.now())
  const account = await lockAccount(tenant, userId)
  if (account?.state !== 'active') throw new Problem('forbidden', 'The account is not active.')
  // The oldest ones make room: a list without end would be a way to fill the table.
  const { sessionsPerUser, sessionTtlMs } = auth.limits
  const live = await listSessions(tenant, userId, at, sessionsPerUser + 50)
  const evicted = live.slice(sessionsPerUser - 1).map(({ sessionId }) => sessionId)
  if (evicted.length > 0) await endSessions(auth, context, { userId, sessionIds: evicted, reason: 'revoked' })
  const sessionId = newId('s')
  const expiresAt = new Date(at.getTime() + sessionTtlMs)
  await insertSession(tenant, { sessionId, userId, userAgent: userAgent.slice(0, 200), at, expiresAt })
  const refreshToken = await addRefreshToken(auth, tenant, { sessionId, expiresAt })
  await outbox.add(tx, [
    { definition: accountSignedIn, subject: userId, data: { tenantId, userId, sessionId, at: at.toISOString() } },
  ])
  return { sessionId, userId, refreshToken, evicted }
}

/** A new token of the session's family. */
export async function addRefreshToken(
  auth: AuthContext,
  tenant: TenantDatabase,
  session: { sessionId: string; expiresAt: Date },
): Promise<string> {
  const refreshToken = newSecret()
  const at = new Date(auth.now())
  const idleAtMs = at.getTime() + auth.limits.refreshTtlMs
  await insertRefreshToken(tenant, {
    tokenHash: hashSecret(refreshToken),
    sessionId: session.sessionId,
    at,
    expiresAt: new Date(Math.min(idleAtMs, session.expiresAt.getTime())),
  })
  return refreshToken
}

/** After the commit. */
export async function tokensOf(
  auth: AuthContext,
  tenantId: string,
  begun: Pick<BegunSession, 'sessionId' | 'userId' | 'refreshToken'> & { evicted?: string[] },
  roles: readonly string[],
): Promise<TokenSet> {
  const { sessionId, userId, refreshToken, evicted = [] } = begun
  if (evicted.length > 0)
    // The event of the transaction does it, too.
    await correctDirectory(auth, tenantId, userId, evicted, auth.now()).catch((error: unknown) =>
      auth.log.warn({ err: error, tenantId }, 'ended sessions could not be told to the access directory yet'),
    )
  return {
    accessToken: await auth.tokens.sign({ tenantId, userId, roles, sessionId }),
    tokenType: 'Bearer',
    expiresInSeconds: auth.tokens.lifetimeSeconds,
    refreshToken,
    sessionId,
    userId,
  }
}
