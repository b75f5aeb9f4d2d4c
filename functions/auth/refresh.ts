/**
 * A refresh token is used once. Used again, somebody has a copy: the whole family ends, whoever asks. There is no grace for an answer
 * that was lost: a thief who is quick enough could not be told from the owner.
 */
import { Problem } from '@stampede/shared/http/problem.ts'
import { addRefreshToken, tokensOf, type TokenSet } from './begin-session.ts'
import type { AuthContext } from './context.ts'
import { correctDirectory, endSessions } from './end-sessions.ts'
import { hashSecret } from './ids.ts'
import { findRefreshToken, findSession, lockSession, touchSession, useRefreshToken } from './session-store.ts'
import { findAccount } from './store.ts'

const refused = () => new Problem('unauthenticated', 'The refresh token is not valid. Sign in again.')

/** Throws Problem `unauthenticated`, `forbidden`, `dependency-unavailable`. A token of another tenant is not known. */
export async function refresh(auth: AuthContext, tenantId: string, refreshToken: string): Promise<TokenSet> {
  await auth.events.schema()
  const reading = auth.events.database.forTenant(tenantId)
  const tokenHash = hashSecret(refreshToken)
  const token = await findRefreshToken(reading, tokenHash)
  const session = token && (await findSession(reading, token.sessionId))
  if (!token || !session) throw refused()
  const { sessionId, userId } = session
  if (token.usedAt) {
    await endFamily(auth, tenantId, userId, sessionId)
    throw refused()
  }
  // All that may fail comes before the token is used up.
  await auth.gate.mayIssue(tenantId, userId)
  const roles = await auth.rolesOf(tenantId, userId)
  await auth.keys.signer()

  const outcome = await auth.events.change(tenantId, userId, async ({ tenant }) => {
    const at = new Date(auth.now())
    const locked = await lockSession(tenant, sessionId)
    if (!locked || locked.revokedAt || locked.expiresAt <= at || token.expiresAt <= at) return 'ended'
    if ((await findAccount(tenant, userId))?.state !== 'active') return 'ended'
    if (!(await useRefreshToken(tenant, tokenHash, at))) return 'reused'
    await touchSession(tenant, sessionId, at)
    return { refreshToken: await addRefreshToken(auth, tenant, locked) }
  })
  if (outcome === 'reused') await endFamily(auth, tenantId, userId, sessionId)
  if (typeof outcome === 'string') throw refused()
  return tokensOf(auth, tenantId, { sessionId, userId, refreshToken: outcome.refreshToken }, roles)
}

async function endFamily(auth: AuthContext, tenantId: string, userId: string, sessionId: string): Promise<void> {
  await auth.events.change(tenantId, auth.name, (context) =>
    endSessions(auth, context, { userId, sessionIds: [sessionId], reason: 'refresh-token-reused' }),
  )
  auth.log.warn({ tenantId, userId, sessionId }, 'a refresh token was used twice: its session has ended')
  // The event of the transaction does it, too; the caller is refused either way.
  await correctDirectory(auth, tenantId, userId, [sessionId], auth.now()).catch((error: unknown) =>
    auth.log.warn({ err: error, tenantId }, 'an ended session could not be told to the access directory yet'),
  )
}
