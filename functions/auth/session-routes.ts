/** HTTP for signed-in people: their sessions and their password; and for the platform's staff: signing keys. */
import { z } from 'zod'
import { actorOf, auditEvent } from '@stampede/shared/audit/audit-event.ts'
import { Reply, route } from '@stampede/shared/function/declaration.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { platformTenant } from '@stampede/shared/identity/service-token.ts'
import type { Auth } from './auth.ts'
import { changePassword } from './change-password.ts'
import { signOut, signOutEverywhere } from './end-sessions.ts'
import { addressOf, identifier, newPassword } from './routes.ts'
import { listSessions } from './session-store.ts'

const sessionView = z.object({
  sessionId: z.string(),
  current: z.boolean(),
  clientId: z.string().nullable(),
  userAgent: z.string(),
  createdAt: z.string(),
  usedAt: z.string(),
  expiresAt: z.string(),
})
const maximumListed = 500

export const sessionRoutes = [
  route(
    'GET',
    '/api/v1/sessions',
    {
      auth: 'user',
      summary: 'Your own sessions, the newest first.',
      reply: z.object({ sessions: z.array(sessionView) }),
    },
    async ({ principal }, auth: Auth) => {
      await auth.events.schema()
      const db = auth.events.database.forTenant(principal.tenantId)
      const sessions = await listSessions(db, principal.userId, new Date(auth.now()), maximumListed)
      return {
        sessions: sessions.map((session) => ({
          sessionId: session.sessionId,
          current: session.sessionId === principal.sessionId,
          clientId: session.clientId ?? null,
          userAgent: session.userAgent,
          createdAt: session.createdAt.toISOString(),
          usedAt: session.usedAt.toISOString(),
          expiresAt: session.expiresAt.toISOString(),
        })),
      }
    },
  ),
  route(
    'DELETE',
    '/api/v1/sessions/:sessionId',
    {
      auth: 'user',
      summary: 'Ends a session: its tokens are refused everywhere within a second.',
      params: z.object({ sessionId: identifier }),
      problems: ['not-found', 'dependency-unavailable'],
    },
    ({ principal, params }, auth: Auth) => signOut(auth, principal.tenantId, principal.userId, params.sessionId),
  ),
  route(
    'DELETE',
    '/api/v1/sessions',
    { auth: 'user', summary: 'Signs out everywhere.', problems: ['dependency-unavailable'] },
    ({ principal }, auth: Auth) => signOutEverywhere(auth, principal.tenantId, principal.userId),
  ),
  route(
    'PUT',
    '/api/v1/password',
    {
      auth: 'user',
      summary: 'Sets or changes your own password. Other sessions end.',
      body: z.strictObject({ currentPassword: z.string().min(1).max(200).optional(), newPassword }),
      problems: ['not-found', 'conflict', 'unprocessable', 'rate-limited', 'dependency-unavailable'],
    },
    (request, auth: Auth) =>
      changePassword(auth, request.principal.tenantId, {
        userId: request.principal.userId,
        sessionId: request.principal.sessionId,
        currentPassword: request.body.currentPassword,
        newPassword: request.body.newPassword,
        address: addressOf(auth, request),
        signal: request.signal,
      }),
  ),
]

/** Verifiers keep the keys for minutes; this is for caches in between. */
const jwksCacheSeconds = 60

export const keyRoutes = [
  route(
    'GET',
    '/.well-known/jwks.json',
    {
      auth: 'public',
      summary: 'Public keys that access tokens are signed with (RFC 7517).',
      reply: z.object({ keys: z.array(z.record(z.string(), z.unknown())) }),
      problems: ['dependency-unavailable'],
    },
    async (_request, auth: Auth) =>
      new Reply(200, await auth.keys.publicKeys(), { 'cache-control': `public, max-age=${jwksCacheSeconds}` }),
  ),
  route(
    'POST',
    '/api/v1/signing-keys/rotations',
    {
      auth: 'staff',
      permission: 'platform.keys',
      summary: 'Makes a new signing key: shown now, signs when every verifier has it.',
      reply: z.object({ keyId: z.string(), publishedAt: z.string(), signsAt: z.string() }),
      status: 201,
      problems: ['dependency-unavailable'],
    },
    async ({ principal }, auth: Auth) => {
      if (principal.tenantId !== platformTenant)
        throw new Problem('forbidden', 'This is for the staff of the platform only.')
      const rotation = await auth.events.change(platformTenant, principal.userId, async ({ tx, outbox, now }) => {
        const made = await auth.keys.rotate(tx.forPlatform())
        await outbox.add(tx, [
          auditEvent({
            by: auth.name,
            tenantId: platformTenant,
            actor: actorOf(principal),
            action: 'signing-key.rotated',
            subject: `signing-key/${made.keyId}`,
            details: { signsAt: made.signsAt },
            atMs: now(),
          }),
        ])
        return made
      })
      auth.keys.forget()
      return rotation
    },
  ),
]
