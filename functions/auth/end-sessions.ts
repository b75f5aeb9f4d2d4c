/** Sessions end before their time: in the database with its event, and then in the access directory, which every process follows. */
import { sessionRevoked } from '@stampede/eventing/catalogue/identity-events.ts'
import { sessionCorrectionTtlMs } from '@stampede/shared/access/facts.ts'
import type { TenantDatabase } from '@stampede/shared/database/sessions.ts'
import type { ChangeContext } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { AuthContext } from './context.ts'
import { sidsOf } from './openid/adapter.ts'
import { insertNotice } from './openid/logout-notices.ts'
import { deleteGrants, deleteRecordsOfAccount } from './openid/records.ts'
import {
  findSession,
  listApplicationSessions,
  listEndedSessions,
  listSessions,
  revokeSessions,
  type RevocationReason,
} from './session-store.ts'

export type Ending = { userId: string; sessionIds: readonly string[]; reason: RevocationReason }

/** More than anybody has. */
const maximumAtOnce = 1_000

/** In the caller's transaction; `correctDirectory` belongs after its commit. */
export async function endSessions(
  auth: AuthContext,
  { tx, tenant, outbox, tenantId }: ChangeContext,
  { userId, sessionIds, reason }: Ending,
): Promise<void> {
  if (sessionIds.length === 0) return
  const at = new Date(auth.now())
  await endGrants(auth, tenant, userId, sessionIds, at)
  const ended = await revokeSessions(tenant, sessionIds, reason, at)
  if (ended === 0) return
  await outbox.add(tx, [
    {
      definition: sessionRevoked,
      subject: userId,
      data: { tenantId, userId, sessionIds: [...sessionIds], reason, at: at.toISOString() },
    },
  ])
}

/** What applications hold of these sessions, and who among them is to be told. */
async function endGrants(
  auth: AuthContext,
  tenant: TenantDatabase,
  userId: string,
  sessionIds: readonly string[],
  at: Date,
): Promise<void> {
  const ofApplications = await listApplicationSessions(tenant, sessionIds)
  if (ofApplications.length === 0) return
  await auth.noticeDue()
  const sids = await sidsOf(auth.ring, tenant, userId)
  for (const { sessionId, clientId } of ofApplications)
    await insertNotice(tenant, { clientId, userId, sid: sids.get(sessionId) }, at)
  await deleteGrants(
    tenant,
    ofApplications.map(({ sessionId }) => sessionId),
  )
}

/** All live sessions of a user but one. Returns their ids, and those that ended lately: the directory may not know of them yet. */
export async function endAllSessions(
  auth: AuthContext,
  context: ChangeContext,
  { userId, reason, except }: Omit<Ending, 'sessionIds'> & { except?: string | undefined },
): Promise<string[]> {
  const live = await listSessions(context.tenant, userId, new Date(auth.now()), maximumAtOnce)
  const sessionIds = live.map(({ sessionId }) => sessionId).filter((sessionId) => sessionId !== except)
  await endSessions(auth, context, { userId, sessionIds, reason })
  // Browsers that would sign in to applications without asking.
  await deleteRecordsOfAccount(context.tenant, 'Session', userId)
  const since = new Date(auth.now() - sessionCorrectionTtlMs)
  return [...new Set([...sessionIds, ...(await listEndedSessions(context.tenant, userId, since))])]
}

/** Idempotent. Throws when the directory cannot be written. */
export async function correctDirectory(
  auth: Pick<AuthContext, 'directory' | 'wakeNotices'>,
  tenantId: string,
  userId: string,
  sessionIds: readonly string[],
  atMs: number,
): Promise<void> {
  if (sessionIds.length === 0) return
  auth.wakeNotices()
  await auth.directory.correct(tenantId, userId, { atMs, revokedSessions: sessionIds })
}

/** As `correctDirectory`, for who must know that it holds: Problem `dependency-unavailable` says to ask again. */
export async function correctSurely(
  auth: AuthContext,
  tenantId: string,
  userId: string,
  sessionIds: readonly string[],
): Promise<void> {
  await correctDirectory(auth, tenantId, userId, sessionIds, auth.now()).catch((error: unknown) => {
    throw new Problem(
      'dependency-unavailable',
      'The sessions have ended; until it is known everywhere, their tokens may still be taken.',
      { cause: error, retryAfterSeconds: 1 },
    )
  })
}

/** Ends one's own session. Again is the same. Throws Problem `not-found`. */
export async function signOut(auth: AuthContext, tenantId: string, userId: string, sessionId: string): Promise<void> {
  await auth.events.change(tenantId, userId, async (context) => {
    const session = await findSession(context.tenant, sessionId)
    if (session?.userId !== userId) throw new Problem('not-found', 'There is no such session.')
    await endSessions(auth, context, { userId, sessionIds: [sessionId], reason: 'signed-out' })
  })
  await correctSurely(auth, tenantId, userId, [sessionId])
}

/** Ends all sessions of a user, that of the caller, too. */
export async function signOutEverywhere(auth: AuthContext, tenantId: string, userId: string): Promise<void> {
  const ended = await auth.events.change(tenantId, userId, (context) =>
    endAllSessions(auth, context, { userId, reason: 'signed-out' }),
  )
  await correctSurely(auth, tenantId, userId, ended)
}
