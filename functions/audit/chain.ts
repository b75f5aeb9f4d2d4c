/** What a record is, and the hash that ties it to the one before. */
import { createHash } from 'node:crypto'
import type { z } from 'zod'
import type { auditRecorded } from '@stampede/eventing/catalogue/identity-events.ts'
import { canonicalJson, type Json } from './canonical-json.ts'

type Recorded = z.output<typeof auditRecorded.data>

/** A fact as it was told; times are RFC 3339 in UTC with milliseconds. */
export type Fact = Recorded & { source: string }

export type AuditRecord = Fact & {
  /** 1, 2, 3 … in each tenant. */
  sequence: number
  recordedAt: string
  previousHash: string
  /** SHA-256 in hex over everything above, `previousHash` included. */
  hash: string
}

/** Before the first record. */
export const beginning = { sequence: 0, hash: '0'.repeat(64) } as const

export function hashOf(record: Omit<AuditRecord, 'hash'>): string {
  const { tenantId, sequence, recordId, source, actor, action, subject, details, at, recordedAt, previousHash } = record
  const text: Json = {
    format: 1,
    tenantId,
    sequence,
    recordId,
    source,
    actor: { kind: actor.kind, id: actor.id, tenantId: actor.tenantId },
    action,
    subject,
    details,
    at,
    recordedAt,
    previousHash,
  }
  return createHash('sha256').update(canonicalJson(text)).digest('hex')
}

/** The records that these facts become behind `end`. */
export function chain(
  end: { sequence: number; hash: string },
  facts: readonly Fact[],
  recordedAt: string,
): AuditRecord[] {
  let { sequence, hash } = end
  return facts.map((fact) => {
    sequence += 1
    const record = { ...fact, sequence, recordedAt, previousHash: hash }
    hash = hashOf(record)
    return { ...record, hash }
  })
}
