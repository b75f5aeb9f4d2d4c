/** Every change of a person, in the caller's transaction, under the lock of their row; with its event and its audit record. */
import { createHash } from 'node:crypto'
import type { z } from 'zod'
import {
  userDeactivated,
  userErased,
  userReactivated,
  type accountRegistered,
} from '@stampede/eventing/catalogue/identity-events.ts'
import { auditEvent, type AuditActor, type AuditDetails } from '@stampede/shared/audit/audit-event.ts'
import type { ChangeContext } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { normaliseContact } from '@stampede/shared/personal-data/contact.ts'
import { registeredContactContext } from '@stampede/shared/personal-data/event-context.ts'
import { SealError } from '@stampede/shared/personal-data/key-ring.ts'
import { deleteAddresses } from './address-store.ts'
import { deleteCoupons } from './coupon-statistics.ts'
import { erased, newPerson, sealerOf, withContact, withCurrentIndexes, type Keys, type Person } from './person.ts'
import { insertPerson, lockPerson, savePerson } from './store.ts'

/** Who it is about, and who does it. */
export type Doing = { userId: string; actor: AuditActor; keys: Keys }

/** The person, locked; made when nothing is known of them yet: tokens may come before the event that tells of them. */
export async function lockOrCreate(context: ChangeContext, userId: string, keys: Keys): Promise<Person> {
  const { tenant, tenantId } = context
  const known = await lockPerson(tenant, userId)
  if (known) return known
  await insertPerson(tenant, newPerson({ tenantId, userId }, keys, context.now()))
  const made = await lockPerson(tenant, userId)
  if (!made) throw new Error(`the person ${userId} is not there although it was just made`)
  return made
}

export async function lockExisting(context: ChangeContext, userId: string): Promise<Person> {
  const person = await lockPerson(context.tenant, userId)
  if (!person) throw new Problem('not-found', `There is no user ${userId}.`)
  return person
}

export function requireActive(person: Person): void {
  if (person.state === 'active') return
  throw new Problem('conflict', `The account is ${person.state}.`, { extensions: { state: person.state } })
}

/** The contact that `auth` proved. Nobody who was erased comes back by an event that was late. */
export async function register(
  context: ChangeContext,
  data: z.output<typeof accountRegistered.data>,
  keys: Keys,
): Promise<boolean> {
  const { tenantId, userId, contactKind, sealedContact } = data
  const value = openContact(keys, sealedContact, tenantId, userId)
  const normal = normaliseContact(contactKind, value)
  if (normal === undefined) throw new Problem('unprocessable', 'The sealed contact is none.')
  const person = await lockOrCreate(context, userId, keys)
  if (person.state === 'erased') return false
  const atMs = Date.parse(data.at)
  const knownAtMs = contactKind === 'email' ? person.emailAtMs : person.phoneAtMs
  if (knownAtMs !== null && knownAtMs >= atMs) return false
  const after = withContact(person, { kind: contactKind, value: normal }, atMs, keys)
  await savePerson(context.tenant, { ...after, ...counted(person, context.now()) })
  return true
}

function openContact({ ring }: Keys, sealed: string, tenantId: string, userId: string): string {
  try {
    return ring.open(sealed, registeredContactContext(tenantId, userId))
  } catch (error) {
    if (!(error instanceof SealError)) throw error
    // A key that is not here yet comes with the next roll-out; anything else never gets better.
    const code = error.reason === 'unknown-key' ? 'dependency-unavailable' : 'unprocessable'
    throw new Problem(code, `The sealed contact cannot be opened: ${error.message}.`, { cause: error })
  }
}

const counted = (person: Person, nowMs: number) => ({ version: person.version + 1, updatedAtMs: nowMs })

export type ProfileChange = {
  version?: number | undefined
  name?: string | null | undefined
  locale?: string | null | undefined
}

export async function changeProfile(
  context: ChangeContext,
  userId: string,
  change: ProfileChange,
  keys: Keys,
): Promise<Person> {
  const person = await lockOrCreate(context, userId, keys)
  requireActive(person)
  if (change.version !== undefined && change.version !== person.version) {
    throw new Problem('conflict', `The profile changed: it has version ${person.version} now.`, {
      extensions: { version: person.version },
    })
  }
  const { name, locale } = change
  const sealer = sealerOf(person, keys)
  const after: Person = {
    ...withCurrentIndexes(person, keys),
    ...(name === undefined ? {} : { name: name === null ? null : sealer.seal('name', name) }),
    ...(locale === undefined ? {} : { locale }),
    ...counted(person, context.now()),
  }
  await savePerson(context.tenant, after)
  return after
}

const stateEvents = { deactivated: userDeactivated, activated: userReactivated, erased: userErased }

async function tell(
  context: ChangeContext,
  person: Person,
  doing: Doing,
  verb: keyof typeof stateEvents,
  details: AuditDetails = {},
): Promise<void> {
  const { tenantId, userId, version, stateAtMs } = person
  const at = new Date(stateAtMs).toISOString()
  await context.outbox.add(context.tx, [
    {
      definition: stateEvents[verb],
      // One fact for each version of a person.
      id: createHash('sha256').update(`user:${tenantId}:${userId}:${version}`).digest('hex').slice(0, 32),
      subject: userId,
      time: at,
      data: { tenantId, userId, at },
    },
    auditOf(context, doing, `user.${verb}`, details),
  ])
}

export const auditOf = (context: ChangeContext, doing: Doing, action: string, details: AuditDetails = {}) =>
  auditEvent({
    by: 'user',
    tenantId: context.tenantId,
    actor: doing.actor,
    action,
    subject: `user/${doing.userId}`,
    details,
    atMs: context.now(),
  })

/** Later than the last change of the state, also when the clock went back: the access directory keeps the newest. */
const nextStateAtMs = (person: Person, nowMs: number) => Math.max(nowMs, person.stateAtMs + 1)

/** Deactivating twice changes nothing. `erasureDueAtMs`: the person asked to be erased then. */
export async function deactivate(
  context: ChangeContext,
  person: Person,
  doing: Doing,
  options: { reason?: string | undefined; erasureDueAtMs?: number | undefined } = {},
): Promise<Person> {
  if (person.state === 'erased') throw new Problem('conflict', 'The person was erased.')
  const { reason, erasureDueAtMs } = options
  if (person.state === 'deactivated' && erasureDueAtMs === undefined) return person
  const nowMs = context.now()
  const after: Person = {
    ...person,
    state: 'deactivated',
    ...counted(person, nowMs),
    ...(person.state === 'deactivated' ? {} : { stateAtMs: nextStateAtMs(person, nowMs) }),
    ...(erasureDueAtMs === undefined ? {} : { erasureDueAtMs: person.erasureDueAtMs ?? erasureDueAtMs }),
  }
  await savePerson(context.tenant, after)
  if (person.state === 'active')
    await tell(context, after, doing, 'deactivated', reason === undefined ? {} : { reason })
  if (erasureDueAtMs !== undefined && person.erasureDueAtMs === null) {
    const details = { dueAt: new Date(erasureDueAtMs).toISOString() }
    await context.alarm('erase-due', erasureDueAtMs)
    await context.outbox.add(context.tx, [auditOf(context, doing, 'user.erasure-requested', details)])
  }
  return after
}

/** An erasure that was asked for and is not due yet is forgotten. */
export async function activate(
  context: ChangeContext,
  person: Person,
  doing: Doing,
  reason: string | undefined,
): Promise<Person> {
  if (person.state === 'erased') throw new Problem('conflict', 'The person was erased.')
  if (person.state === 'active') return person
  const nowMs = context.now()
  const after: Person = {
    ...person,
    state: 'active',
    ...counted(person, nowMs),
    stateAtMs: nextStateAtMs(person, nowMs),
    erasureDueAtMs: null,
  }
  await savePerson(context.tenant, after)
  await tell(context, after, doing, 'activated', reason === undefined ? {} : { reason })
  return after
}

/** Destroys the data key and everything that was sealed with it; a row without data stays. Erasing twice changes nothing. */
export async function erase(
  context: ChangeContext,
  person: Person,
  doing: Doing,
  reason: string | undefined,
): Promise<Person> {
  if (person.state === 'erased') return person
  const nowMs = context.now()
  const after: Person = { ...erased(person, nextStateAtMs(person, nowMs)), ...counted(person, nowMs) }
  await savePerson(context.tenant, after)
  await deleteAddresses(context.tenant, person.userId)
  await deleteCoupons(context.tenant, person.userId)
  await tell(context, after, doing, 'erased', reason === undefined ? {} : { reason })
  return after
}
