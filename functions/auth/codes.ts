/** Codes that prove a contact: made, sent by an event, checked a few times, used once. */
import { randomInt } from 'node:crypto'
import { notificationRequested } from '@stampede/eventing/catalogue/identity-events.ts'
import type { ChangeContext } from '@stampede/shared/function/event-database.ts'
import { notificationContext } from '@stampede/shared/personal-data/event-context.ts'
import { addressIndex } from './address.ts'
import type { IndexedContact } from './contact.ts'
import type { AuthContext } from './context.ts'
import { tooManyTries } from './failures.ts'
import { countUse, type Verdict } from './guard.ts'
import { isSameText, newId } from './ids.ts'
import {
  countCodeTry,
  deleteCode,
  lockCode,
  lockCounter,
  putCode,
  putCounter,
  type CodePurpose,
} from './guard-store.ts'
import { findAccountByContact } from './store.ts'

export type CodeRequest = { contact: IndexedContact; purpose: CodePurpose; address: string | undefined; locale: string }

const newCode = () => String(randomInt(1_000_000)).padStart(6, '0')

/** Keyed, because a million possibilities are tried in no time. */
const hashesOf = (auth: AuthContext, tenantId: string, purpose: CodePurpose, contactIndex: string, code: string) =>
  auth.index.all('code', tenantId, `${purpose}:${contactIndex}:${code}`)

/**
 * The message depends on whether there is an account, the answer and the work do not: a code is kept either way, and one that was not sent
 * is known to nobody. Throws Problem `rate-limited`.
 */
export async function requestCode(auth: AuthContext, tenantId: string, request: CodeRequest): Promise<void> {
  const { contact, purpose, locale } = request
  const { codesPerAddress, codesPerContact, codeTtlMs } = auth.limits
  const byAddress = addressIndex(auth.index, tenantId, request.address)
  const counters = [
    ...(byAddress === undefined ? [] : [{ name: `codes-address:${byAddress}`, policy: codesPerAddress }]),
    { name: `codes:${contact.index}`, policy: codesPerContact },
  ]
  const refused = await auth.events.change(tenantId, auth.name, async ({ tx, tenant, outbox }) => {
    const nowMs = auth.now()
    const at = new Date(nowMs)
    for (const { name, policy } of counters) {
      const verdict: Verdict = countUse(await lockCounter(tenant, name, at), policy, nowMs)
      if (!verdict.allowed) return verdict
      await putCounter(tenant, name, verdict.counter)
    }
    const account = await findAccountByContact(tenant, contact.indexes)
    const code = newCode()
    const expiresAt = new Date(nowMs + codeTtlMs)
    const [codeHash] = hashesOf(auth, tenantId, purpose, contact.index, code)
    await putCode(tenant, { purpose, contactIndex: contact.index, codeHash, at, expiresAt })
    const template = templateFor(purpose, account?.state === 'active')
    const parameters = template.endsWith('-code') ? { code, minutes: String(Math.round(codeTtlMs / 60_000)) } : {}
    const notificationId = newId('n')
    const { ring } = auth
    await outbox.add(tx, [
      {
        definition: notificationRequested,
        id: notificationId,
        subject: notificationId,
        data: {
          tenantId,
          notificationId,
          channel: contact.kind === 'email' ? 'email' : 'sms',
          template,
          locale,
          sealedRecipient: ring.seal(contact.value, notificationContext(tenantId, notificationId, 'recipient')),
          sealedParameters: ring.seal(
            JSON.stringify(parameters),
            notificationContext(tenantId, notificationId, 'parameters'),
          ),
          expiresAt: expiresAt.toISOString(),
        },
      },
    ])
    return undefined
  })
  if (refused) throw tooManyTries(refused.retryAfterMs)
}

function templateFor(purpose: CodePurpose, hasAccount: boolean): string {
  if (purpose === 'register') return hasAccount ? 'account-exists' : 'register-code'
  return hasAccount ? `${purpose}-code` : 'no-account'
}

/** `use`: a right code is gone afterwards. A wrong one is counted; the transaction must be committed for that. */
export async function isRightCode(
  auth: AuthContext,
  { tenant, tenantId }: Pick<ChangeContext, 'tenant' | 'tenantId'>,
  asked: { purpose: CodePurpose; contact: IndexedContact; code: string },
  use: boolean,
): Promise<boolean> {
  const { purpose, contact, code } = asked
  const stored = await lockCode(tenant, purpose, contact.indexes)
  const { contactIndex, codeHash } = stored ?? { contactIndex: contact.index, codeHash: '' }
  const hashes = hashesOf(auth, tenantId, purpose, contactIndex, code)
  if (!stored) return false
  const right = hashes.some((hash) => isSameText(hash, codeHash))
  const usable = stored.expiresAt.getTime() > auth.now() && stored.tries < auth.limits.triesPerCode
  if (!right || !usable) {
    await countCodeTry(tenant, { purpose, contactIndex })
    return false
  }
  if (use) await deleteCode(tenant, { purpose, contactIndex })
  return true
}
