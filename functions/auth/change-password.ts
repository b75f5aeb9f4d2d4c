/** A new password: by a code for who forgot it, by the old one for who knows it. Other sessions end. */
import { Problem } from '@stampede/shared/http/problem.ts'
import { isRightCode } from './codes.ts'
import { indexContact, type IndexedContact } from './contact.ts'
import type { AuthContext } from './context.ts'
import { correctSurely, endAllSessions } from './end-sessions.ts'
import { checkAddress, countFailure, forgetTries, giveBackTry, reserveTry, wrongCredentials } from './failures.ts'
import { contactContext } from './register.ts'
import { findAccount, findAccountByContact, listContacts, lockAccount, setPassword } from './store.ts'

export type PasswordReset = {
  contact: IndexedContact
  code: string
  password: string
  address: string | undefined
  signal: AbortSignal
}

/** Ends all sessions: who forgot the password may have lost more. Throws Problem `unauthenticated`, `rate-limited`, `overloaded`. */
export async function resetPassword(auth: AuthContext, tenantId: string, reset: PasswordReset): Promise<void> {
  const { contact, code, password, address, signal } = reset
  const asked = { purpose: 'reset-password', contact, code } as const
  await checkAddress(auth, tenantId, address)
  const right = await auth.events.change(tenantId, auth.name, (context) => isRightCode(auth, context, asked, false))
  if (!right) {
    await countFailure(auth, tenantId, address)
    throw wrongCredentials()
  }
  const passwordHash = await auth.passwords.hash(password, signal)
  const done = await auth.events.change(tenantId, auth.name, async (context) => {
    const { tenant } = context
    if (!(await isRightCode(auth, context, asked, true))) return undefined
    const account = await findAccountByContact(tenant, contact.indexes)
    if (!account || (await lockAccount(tenant, account.userId))?.state !== 'active') return undefined
    const { userId } = account
    await setPassword(tenant, userId, passwordHash, new Date(auth.now()))
    await forgetTries(tenant, contact)
    return { userId, ended: await endAllSessions(auth, context, { userId, reason: 'password-changed' }) }
  })
  if (!done) throw wrongCredentials()
  await correctSurely(auth, tenantId, done.userId, done.ended)
}

export type PasswordChange = {
  userId: string
  /** Stays. */
  sessionId: string | undefined
  currentPassword: string | undefined
  newPassword: string
  address: string | undefined
  signal: AbortSignal
}

/** Throws Problem `unprocessable` (the current password is missing or wrong), `rate-limited`, `overloaded`, `not-found` (no account of ours). */
export async function changePassword(auth: AuthContext, tenantId: string, change: PasswordChange): Promise<void> {
  const { userId, sessionId, currentPassword, newPassword, address, signal } = change
  await auth.events.schema()
  const account = await findAccount(auth.events.database.forTenant(tenantId), userId)
  if (account?.state !== 'active') throw new Problem('not-found', 'There is no account with a password.')
  const contact = await contactOf(auth, tenantId, userId)
  if (account.passwordHash !== undefined) {
    await checkAddress(auth, tenantId, address)
    const tries = await reserveTry(auth, tenantId, contact)
    const { matches } = await auth.passwords
      .matches(currentPassword ?? '', account.passwordHash, signal)
      .catch(async (error: unknown) => {
        await giveBackTry(auth, tenantId, contact)
        throw error
      })
    if (!matches) {
      await countFailure(auth, tenantId, address, { account, tries })
      // Not 401: the caller's token is good.
      throw new Problem('unprocessable', 'The current password is wrong.', {
        errors: [{ pointer: '/currentPassword', detail: 'is not the current password' }],
      })
    }
  }
  const passwordHash = await auth.passwords.hash(newPassword, signal)
  const ended = await auth.events.change(tenantId, userId, async (context) => {
    const { tenant } = context
    const locked = await lockAccount(tenant, userId)
    if (locked?.state !== 'active') throw new Problem('not-found', 'There is no account with a password.')
    // Somebody changed it since it was looked at.
    if (locked.passwordHash !== account.passwordHash)
      throw new Problem('conflict', 'The password was changed in the meantime.')
    await setPassword(tenant, userId, passwordHash, new Date(auth.now()))
    await forgetTries(tenant, contact)
    return endAllSessions(auth, context, { userId, reason: 'password-changed', except: sessionId })
  })
  await correctSurely(auth, tenantId, userId, ended)
}

/** The contact whose failures count. */
async function contactOf(auth: AuthContext, tenantId: string, userId: string): Promise<IndexedContact> {
  const [first] = await listContacts(auth.events.database.forTenant(tenantId), userId)
  if (!first) throw new Problem('not-found', 'There is no account with a password.')
  const value = auth.ring.open(first.sealed, contactContext(tenantId, first.index))
  return indexContact(auth.index, tenantId, { kind: first.kind, value })
}
