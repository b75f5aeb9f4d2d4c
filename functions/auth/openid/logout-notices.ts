/** Back-channel logout (OpenID Connect Back-Channel Logout 1.0): who must be told that a session ended, and telling them until they answer. */
import { SignJWT } from 'jose'
import type { PlatformDatabase, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { platformStatement, tenantStatement } from '@stampede/shared/database/statement.ts'
import type { AuthContext } from '../context.ts'
import { hashSecret, newSecret } from '../ids.ts'
import { findClient } from './clients.ts'
import type { PostForm } from './post-form.ts'

export type Notice = { tenantId: string; noticeId: string; clientId: string; userId: string; sid: string | undefined }
type DueNotice = Notice & { attempts: number; nextAttemptAt: Date }

const insert = tenantStatement(
  'auth.insertNotice',
  `INSERT INTO auth_logout_notices (tenant_id, notice_id, client_id, user_id, sid, next_attempt_at, created_at)
   VALUES (:tenantId, :noticeId, :clientId, :userId, :sid, :at, :at)
   ON DUPLICATE KEY UPDATE notice_id = VALUES(notice_id)`,
)
/** The same session and application twice is one notice. */
export async function insertNotice(
  db: TenantDatabase,
  { clientId, userId, sid }: Pick<Notice, 'clientId' | 'userId' | 'sid'>,
  at: Date,
): Promise<void> {
  const noticeId = hashSecret(JSON.stringify([clientId, userId, sid ?? null]))
  await db.change(insert, { noticeId, clientId, userId, sid: sid ?? null, at })
}

const due = platformStatement(
  'auth.dueNotices',
  `SELECT tenant_id AS tenantId, notice_id AS noticeId, client_id AS clientId, user_id AS userId, sid, attempts,
     next_attempt_at AS nextAttemptAt
   FROM auth_logout_notices WHERE next_attempt_at <= :at ORDER BY next_attempt_at LIMIT 50`,
  'notices of all tenants are sent by whichever process comes first',
)
async function dueNotices(db: PlatformDatabase, at: Date): Promise<DueNotice[]> {
  const rows = await db.rows(due, { at })
  return rows.map((row) => ({ ...(row as unknown as DueNotice), sid: (row['sid'] as string | null) ?? undefined }))
}

const next = platformStatement(
  'auth.nextNotice',
  'SELECT MIN(next_attempt_at) AS at FROM auth_logout_notices',
  'the clock looks when the next notice of any tenant is due',
)

const claim = tenantStatement(
  'auth.claimNotice',
  `UPDATE auth_logout_notices SET next_attempt_at = :nextAttemptAt, attempts = attempts + 1
   WHERE tenant_id = :tenantId AND notice_id = :noticeId AND next_attempt_at = :before`,
)
const remove = tenantStatement(
  'auth.deleteNotice',
  'DELETE FROM auth_logout_notices WHERE tenant_id = :tenantId AND notice_id = :noticeId',
)

/** Pauses before the attempts after the first; then it is given up. */
const pausesMs = [5_000, 30_000, 120_000, 600_000, 1_800_000, 7_200_000]
const tokenSeconds = 120

export type LogoutNotices = {
  /** Call after a commit that may have written notices. */
  wake(): void
  /** Sends what is due. The clock calls it for what `wake` did not reach. */
  send(): Promise<void>
  /** When the next notice is due, ms; undefined: none waits. */
  nextMs(): Promise<number | undefined>
  /** Resolves when nothing is being sent any more. */
  stop(): Promise<void>
}

export function createLogoutNotices(options: {
  auth: AuthContext
  issuerOf: (tenantId: string) => string
  post: PostForm
  stopping: AbortSignal
}): LogoutNotices {
  const { auth, issuerOf, post, stopping } = options
  let running: Promise<void> | undefined
  let again = false

  const tokenFor = async ({ tenantId, clientId, userId, sid }: Notice) => {
    const { keyId, algorithm, privateKey } = await auth.keys.signer()
    const issuedAt = Math.floor(auth.now() / 1_000)
    return new SignJWT({
      events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
      ...(sid === undefined ? {} : { sid }),
    })
      .setProtectedHeader({ alg: algorithm, kid: keyId, typ: 'logout+jwt' })
      .setIssuer(issuerOf(tenantId))
      .setAudience(clientId)
      .setSubject(userId)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + tokenSeconds)
      .setJti(newSecret())
      .sign(privateKey)
  }

  const sendOne = async (notice: DueNotice) => {
    const { tenantId, noticeId, clientId, attempts, nextAttemptAt } = notice
    const db = auth.events.database.forTenant(tenantId)
    const pauseMs = pausesMs[attempts]
    // Whoever moves the time has it; when its process ends now, the notice is due again after the pause.
    const claimed = { noticeId, before: nextAttemptAt, nextAttemptAt: new Date(auth.now() + (pauseMs ?? 60_000)) }
    if ((await db.change(claim, claimed)) === 0) return
    const url = (await findClient(db, clientId))?.settings.backchannelLogoutUri
    if (url === undefined) {
      await db.change(remove, { noticeId })
      return
    }
    try {
      await post(url, { logout_token: await tokenFor(notice) })
      await db.change(remove, { noticeId })
    } catch (error) {
      auth.log.warn({ err: error, tenantId, clientId, attempts }, 'an application could not be told of a logout')
      if (pauseMs === undefined) await db.change(remove, { noticeId })
    }
  }

  const pass = async () => {
    await auth.events.schema()
    for (;;) {
      again = false
      const notices = await dueNotices(auth.events.database.forPlatform(), new Date(auth.now()))
      if (stopping.aborted) return
      await Promise.all(notices.map(sendOne))
      if (notices.length === 0 && !again) return
    }
  }

  const send = () => {
    again = true
    running ??= pass().finally(() => {
      running = undefined
    })
    return running
  }
  return {
    send,
    nextMs: async () => {
      const row = await auth.events.database.forPlatform().row(next, {})
      return (row?.['at'] as Date | null | undefined)?.getTime()
    },
    wake: () => {
      if (stopping.aborted) return
      send().catch((error: unknown) => auth.log.warn({ err: error }, 'applications could not be told of logouts yet'))
    },
    stop: async () => {
      await running?.catch(() => {})
    },
  }
}
