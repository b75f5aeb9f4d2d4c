/** Appends facts to the chain of their tenant, each once, however often it is told. */
import type { TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { canonicalJson } from './canonical-json.ts'
import { beginning, chain, type Fact } from './chain.ts'
import type { Head, Macs } from './macs.ts'
import { createHead, insertRecords, knownRecordIds, lastSequence, lockHead, moveHead } from './store.ts'

const maximumSourceLength = 255
const [earliestMs, latestMs] = [Date.UTC(2000, 0, 1), Date.UTC(2200, 0, 1)]

/** Throws Problem `unprocessable` for a fact that can never be recorded. */
export function checkFact(fact: Fact): void {
  const refuse = (detail: string) => {
    throw new Problem('unprocessable', detail)
  }
  if (fact.source.length > maximumSourceLength) refuse(`The source is longer than ${maximumSourceLength} characters.`)
  const atMs = Date.parse(fact.at)
  if (!(atMs >= earliestMs && atMs < latestMs)) refuse('The time of the fact is out of all reason.')
  try {
    canonicalJson([fact.source, fact.subject, fact.details])
  } catch (error) {
    refuse(`The fact cannot be written down: ${(error as TypeError).message}.`)
  }
}

/**
 * In a transaction: the lock on the chain's end makes appends of a tenant come one after the other. Returns how many were new.
 * A chain whose end was tampered with is not extended: that would vouch for it. Throws Problem `dependency-unavailable` then.
 */
export async function append(
  tenant: TenantDatabase,
  facts: readonly Fact[],
  effects: { macs: Macs; now: () => number },
): Promise<number> {
  const { macs, now } = effects
  const end = await lockEnd(tenant, macs)
  const known = await knownRecordIds(
    tenant,
    facts.map(({ recordId }) => recordId),
  )
  // The same fact may be told twice within one group.
  const fresh = [...new Map(facts.map((fact) => [fact.recordId, fact])).values()].filter(
    ({ recordId }) => !known.has(recordId),
  )
  const records = chain(end, fresh, new Date(now()).toISOString())
  const last = records.at(-1)
  if (!last) return 0
  await insertRecords(tenant, records)
  await moveHead(tenant, { ...last, ...macs.signHead(last) })
  return records.length
}

async function lockEnd(tenant: TenantDatabase, macs: Macs): Promise<Head> {
  const head = (await lockHead(tenant)) ?? (await begin(tenant, macs))
  const checked = macs.checkHead(head)
  if (checked === 'valid') return head
  throw broken(
    checked === 'forged'
      ? `The end of the chain of ${tenant.tenantId} was tampered with.`
      : `The end of the chain of ${tenant.tenantId} is signed with the key "${head.keyId}", which is not in AUDIT_KEY.`,
  )
}

async function begin(tenant: TenantDatabase, macs: Macs): Promise<Head> {
  const { tenantId } = tenant
  if ((await lastSequence(tenant)) > 0) throw broken(`The end of the chain of ${tenantId} was removed.`)
  await createHead(tenant, { ...beginning, ...macs.signHead({ tenantId, ...beginning }) })
  const head = await lockHead(tenant)
  if (!head) throw new Error(`the chain of ${tenantId} has no end although it was just made`)
  return head
}

const broken = (detail: string) =>
  new Problem('dependency-unavailable', `${detail} Nothing is recorded until it is repaired.`, {
    retryAfterSeconds: 60,
  })
