/** Guessing made slow: by contact, whether an account has it or not, and by address. The counters are in the database and outlive any process. */
import { accountLocked } from '@stampede/eventing/catalogue/identity-events.ts'
import type { TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { addressIndex } from './address.ts'
import type { IndexedContact } from './contact.ts'
import type { AuthContext } from './context.ts'
import { countTry, mayTry, type Counter } from './guard.ts'
import { deleteCounter, findCounter, lockCounter, putCounter } from './guard-store.ts'
import type { Account } from './store.ts'

/** The same words for all reasons: which accounts exist is nobody's business. */
export const wrongCredentials = () => new Problem('unauthenticated', 'The contact, the password or the code is wrong.')

export const tooManyTries = (retryAfterMs: number) =>
  new Problem('rate-limited', 'There were too many tries. Wait before the next one.', {
    retryAfterSeconds: Math.ceil(retryAfterMs / 1_000),
  })

const failuresOf = (auth: AuthContext, tenantId: string, address: string | undefined): string | undefined => {
  const index = addressIndex(auth.index, tenantId, address)
  return index && `failures:${index}`
}
const passwordOf = (contact: IndexedContact) => `password:${contact.index}`

/** Throws Problem `rate-limited` while the address has to wait. */
export async function checkAddress(auth: AuthContext, tenantId: string, address: string | undefined): Promise<void> {
  await auth.events.schema()
  const name = failuresOf(auth, tenantId, address)
  if (name === undefined) return
  const counter = await findCounter(auth.events.database.forTenant(tenantId), name)
  const { allowed, retryAfterMs } = mayTry(counter, auth.now())
  if (!allowed) throw tooManyTries(retryAfterMs)
}

/** Counts a try of a password before it is looked at. Throws Problem `rate-limited`. */
export async function reserveTry(auth: AuthContext, tenantId: string, contact: IndexedContact): Promise<Counter> {
  const verdict = await auth.events.change(tenantId, auth.name, async ({ tenant }) => {
    const nowMs = auth.now()
    const counter = await lockCounter(tenant, passwordOf(contact), new Date(nowMs))
    const decided = countTry(counter, auth.limits.contactFailures, nowMs)
    if (decided.allowed) await putCounter(tenant, passwordOf(contact), decided.counter)
    return decided
  })
  if (!verdict.allowed) throw tooManyTries(verdict.retryAfterMs)
  return verdict.counter
}

/** The password was not looked at after all. */
export async function giveBackTry(auth: AuthContext, tenantId: string, contact: IndexedContact): Promise<void> {
  await auth.events.change(tenantId, auth.name, async ({ tenant }) => {
    const counter = await lockCounter(tenant, passwordOf(contact), new Date(auth.now()))
    const given = { ...counter, amount: Math.max(0, counter.amount - 1), blockedUntilMs: undefined }
    await putCounter(tenant, passwordOf(contact), given)
  })
}

/** The right password: failures of the contact are forgotten. */
export function forgetTries(tenant: TenantDatabase, contact: IndexedContact): Promise<void> {
  return deleteCounter(tenant, passwordOf(contact))
}

/** Counts a failure against the address, and says so when the account waits now. `tries`: what `reserveTry` gave. */
export async function countFailure(
  auth: AuthContext,
  tenantId: string,
  address: string | undefined,
  locked?: { account: Account | undefined; tries: Counter },
): Promise<void> {
  await auth.events.change(tenantId, auth.name, async ({ tx, tenant, outbox }) => {
    const nowMs = auth.now()
    const name = failuresOf(auth, tenantId, address)
    if (name !== undefined) {
      const counter = await lockCounter(tenant, name, new Date(nowMs))
      const decided = countTry(counter, auth.limits.addressFailures, nowMs)
      if (decided.allowed) await putCounter(tenant, name, decided.counter)
    }
    const untilMs = locked?.tries.blockedUntilMs
    if (!locked?.account || untilMs === undefined) return
    const { userId } = locked.account
    await outbox.add(tx, [
      {
        definition: accountLocked,
        subject: userId,
        data: {
          tenantId,
          userId,
          failures: locked.tries.amount,
          untilAt: new Date(untilMs).toISOString(),
          at: new Date(nowMs).toISOString(),
        },
      },
    ])
  })
}
