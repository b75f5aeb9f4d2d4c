/**
 * What must stay provable is told to `audit` by the outbox of the function where it happened, in the transaction of the change:
 *
 *   await outbox.add(tx, [auditEvent({ by: 'tenant', actor: actorOf(principal), tenantId, action: 'tenant.suspended',
 *     subject: `tenant/${tenantId}`, details: { reason }, atMs: now() })])
 */
import { randomUUID } from 'node:crypto'
import type { z } from 'zod'
import { auditRecorded } from '@stampede/eventing/catalogue/identity-events.ts'
import type { OutgoingEvent } from '../events/publish.ts'
import type { Principal } from '../function/declaration.ts'

type Recorded = z.input<typeof auditRecorded.data>
export type AuditActor = Recorded['actor']
export type AuditDetails = Recorded['details']

export type AuditFact = {
  /** The name of the function where it happened. */
  by: string
  /** In whose record it is kept: the tenant that it was done to. */
  tenantId: string
  actor: AuditActor
  /** Noun and past verb, like `tenant.suspended`. */
  action: string
  /** What it was done to, like `tenant/acme`. */
  subject: string
  /** What changed, without personal data: at most 50 members. */
  details?: Readonly<Record<string, AuditDetails[string] | undefined>>
  atMs: number
  /** Stable for the fact, when the same fact may be told by several transactions; default: random. */
  recordId?: string
}

/** Members that are undefined are left out, texts are cut to what a record holds. */
export function auditEvent(fact: AuditFact): OutgoingEvent<typeof auditRecorded.data> {
  const recordId = fact.recordId ?? randomUUID()
  const at = new Date(fact.atMs).toISOString()
  const { tenantId, actor, action } = fact
  const subject = shorten(fact.subject, 200)
  return {
    definition: auditRecorded,
    source: `/functions/${fact.by}`,
    id: recordId,
    subject,
    time: at,
    data: { tenantId, recordId, actor, action, subject, details: detailsOf(fact.details ?? {}), at },
  }
}

/** Who did it, from a verified token. */
export function actorOf(principal: Principal): AuditActor {
  return { kind: principal.kind, id: principal.userId, tenantId: principal.tenantId }
}

/** A clock or an event did it: no person. */
export function systemActor(functionName: string, tenantId: string): AuditActor {
  return { kind: 'system', id: functionName, tenantId }
}

const maximumDetails = 50

function detailsOf(details: NonNullable<AuditFact['details']>): AuditDetails {
  const entries = Object.entries(details).filter(
    (entry): entry is [string, AuditDetails[string]] => entry[1] !== undefined,
  )
  return Object.fromEntries(
    entries
      .slice(0, maximumDetails)
      .map(([name, value]) => [name, typeof value === 'string' ? shorten(value, 1_000) : value]),
  )
}

/** Cut between characters, so that the text stays well-formed. */
const shorten = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length - 1).replace(/[\uD800-\uDBFF]$/, '')}…`
