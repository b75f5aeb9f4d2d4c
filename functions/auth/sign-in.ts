/** Signing in with a password or with a code. Unknown accounts are refused with the same answer after the same work. */
import { Problem } from '@stampede/shared/http/problem.ts'
import { beginSession, tokensOf, type BegunSession, type TokenSet } from './begin-session.ts'
import { isRightCode } from './codes.ts'
import type { IndexedContact } from './contact.ts'
import type { AuthContext } from './context.ts'
import { checkAddress, countFailure, forgetTries, giveBackTry, reserveTry, wrongCredentials } from './failures.ts'
import { findAccountByContact, setPassword, type Account } from './store.ts'

export type Credentials = {
  contact: IndexedContact
  /** One of the two. */
  password: string | undefined
  code: string | undefined
  address: string | undefined
  signal: AbortSignal
}

export async function signIn(
  auth: AuthContext,
  tenantId: string,
  credentials: Credentials & { userAgent: string },
): Promise<TokenSet> {
  const userId = await authenticatePerson(auth, tenantId, credentials)
  await auth.gate.mayIssue(tenantId, userId)
  const roles = await auth.rolesOf(tenantId, userId)
  await auth.keys.signer()
  const { contact, code, userAgent } = credentials
  const begun = await auth.events.change(tenantId, userId, async (context): Promise<BegunSession | undefined> => {
    const asked = { purpose: 'login', contact, code: code ?? '' } as const
    if (code !== undefined && !(await isRightCode(auth, context, asked, true))) return undefined
    return beginSession(auth, context, { userId, userAgent })
  })
  // Somebody else used the code in between.
  if (!begun) throw wrongCredentials()
  return tokensOf(auth, tenantId, begun, roles)
}

/** Who it is. A code is looked at and not used up. Throws Problem `unauthenticated`, `forbidden`, `rate-limited`, `overloaded`. */
export async function authenticatePerson(
  auth: AuthContext,
  tenantId: string,
  credentials: Credentials,
): Promise<string> {
  await checkAddress(auth, tenantId, credentials.address)
  const account =
    credentials.code === undefined
      ? await byPassword(auth, tenantId, credentials)
      : await byCode(auth, tenantId, credentials, credentials.code)
  if (account.state !== 'active') throw new Problem('forbidden', 'The account is not active.')
  return account.userId
}

/** The same for who keeps no tokens of ours: the code is used up. */
export async function identifyPerson(auth: AuthContext, tenantId: string, credentials: Credentials): Promise<string> {
  const userId = await authenticatePerson(auth, tenantId, credentials)
  const { contact, code } = credentials
  if (code === undefined) return userId
  const asked = { purpose: 'login', contact, code } as const
  const used = await auth.events.change(tenantId, userId, (context) => isRightCode(auth, context, asked, true))
  if (!used) throw wrongCredentials()
  return userId
}

async function byCode(
  auth: AuthContext,
  tenantId: string,
  { contact, address }: Credentials,
  code: string,
): Promise<Account> {
  const account = await auth.events.change(tenantId, auth.name, async (context) => {
    const right = await isRightCode(auth, context, { purpose: 'login', contact, code }, false)
    const known = await findAccountByContact(context.tenant, contact.indexes)
    return right ? known : undefined
  })
  if (account) return account
  await countFailure(auth, tenantId, address)
  throw wrongCredentials()
}

async function byPassword(auth: AuthContext, tenantId: string, credentials: Credentials): Promise<Account> {
  const { contact, address, signal } = credentials
  const password = credentials.password ?? ''
  const tries = await reserveTry(auth, tenantId, contact)
  const account = await findAccountByContact(auth.events.database.forTenant(tenantId), contact.indexes)
  const { matches, outdated } = await auth.passwords
    .matches(password, account?.passwordHash, signal)
    .catch(async (error: unknown) => {
      await giveBackTry(auth, tenantId, contact)
      throw error
    })
  if (!matches || !account) {
    await countFailure(auth, tenantId, address, { account, tries })
    throw wrongCredentials()
  }
  // With today's parameters, as long as the password is at hand; a full queue lets it wait for the next time.
  const newHash = outdated ? await auth.passwords.hash(password, signal).catch(() => undefined) : undefined
  await auth.events.change(tenantId, account.userId, async ({ tenant, now }) => {
    await forgetTries(tenant, contact)
    if (newHash !== undefined) await setPassword(tenant, account.userId, newHash, new Date(now()))
  })
  return account
}
