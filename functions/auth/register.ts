/** A person who proved a contact gets an account and a session. */
import { accountRegistered } from '@stampede/eventing/catalogue/identity-events.ts'
import { isDuplicateKey } from '@stampede/shared/database/errors.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { registeredContactContext } from '@stampede/shared/personal-data/event-context.ts'
import { beginSession, tokensOf, type TokenSet } from './begin-session.ts'
import { isRightCode } from './codes.ts'
import type { IndexedContact } from './contact.ts'
import type { AuthContext } from './context.ts'
import { checkAddress, countFailure, wrongCredentials } from './failures.ts'
import { newId } from './ids.ts'
import { findAccountByContact, insertAccount, insertContact } from './store.ts'

export type Registration = {
  contact: IndexedContact
  code: string
  password: string | undefined
  address: string | undefined
  userAgent: string
  signal: AbortSignal
}

/** Throws Problem `unauthenticated`, `conflict`, `rate-limited`, `overloaded`. */
export async function register(auth: AuthContext, tenantId: string, registration: Registration): Promise<TokenSet> {
  const { contact, code, password, address, userAgent, signal } = registration
  const asked = { purpose: 'register', contact, code } as const
  await checkAddress(auth, tenantId, address)
  // Looked at before the password is hashed, which is work for who has a code only, and used up together with what it is used for.
  const right = await auth.events.change(tenantId, auth.name, (context) => isRightCode(auth, context, asked, false))
  if (!right) {
    await countFailure(auth, tenantId, address)
    throw wrongCredentials()
  }
  const passwordHash = password === undefined ? undefined : await auth.passwords.hash(password, signal)
  await auth.keys.signer()
  const userId = newId('u')
  const begun = await auth.events
    .change(tenantId, userId, async (context) => {
      const { tx, tenant, outbox } = context
      if (!(await isRightCode(auth, context, asked, true))) return undefined
      const known = await findAccountByContact(tenant, contact.indexes)
      if (known) throw alreadyRegistered()
      const at = new Date(auth.now())
      await insertAccount(tenant, { userId, passwordHash, at })
      await insertContact(tenant, {
        index: contact.index,
        kind: contact.kind,
        userId,
        sealed: auth.ring.seal(contact.value, contactContext(tenantId, contact.index)),
        at,
      })
      await outbox.add(tx, [
        {
          definition: accountRegistered,
          id: `registered-${userId}`,
          subject: userId,
          data: {
            tenantId,
            userId,
            contactKind: contact.kind,
            sealedContact: auth.ring.seal(contact.value, registeredContactContext(tenantId, userId)),
            at: at.toISOString(),
          },
        },
      ])
      return beginSession(auth, context, { userId, userAgent })
    })
    .catch((error: unknown) => {
      throw isDuplicateKey(error) ? alreadyRegistered() : error
    })
  if (!begun) throw wrongCredentials()
  // Nobody can have given roles to somebody who did not exist.
  return tokensOf(auth, tenantId, begun, [])
}

/** Only who has the contact is told. */
const alreadyRegistered = () => new Problem('conflict', 'There is an account with this contact: sign in.')

export const contactContext = (tenantId: string, contactIndex: string) => ({
  tenantId,
  table: 'auth_contacts',
  column: 'contact',
  rowId: contactIndex,
})
