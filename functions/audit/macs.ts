/** What ties a chain to a key that is not in the database: a MAC over its end, and over what its end was at times. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { parseKeys } from '@stampede/shared/personal-data/keys.ts'
import { canonicalJson } from './canonical-json.ts'

/** Where a chain ends. */
export type End = { tenantId: string; sequence: number; hash: string }
export type Signature = { keyId: string; mac: string }
export type Head = End & Signature
/** `at` is RFC 3339 in UTC with milliseconds. */
export type Checkpoint = End & { at: string } & Signature

export type Macs = {
  signHead(end: End): Signature
  signCheckpoint(end: End & { at: string }): Signature
  /** `unknown-key`: it cannot be told, its key is not among those that were given. */
  checkHead(head: Head): 'valid' | 'forged' | 'unknown-key'
  checkCheckpoint(checkpoint: Checkpoint): 'valid' | 'forged' | 'unknown-key'
}

/** @param auditKey `AUDIT_KEY`: `id:base64(32 bytes)`, older ones after a comma. Throws a TypeError for people. */
export function createMacs(auditKey: string): Macs {
  const keys = parseKeys(auditKey)
  const [current] = keys
  const macOf = (key: Buffer, what: 'head' | 'checkpoint', { tenantId, sequence, hash }: End, at: string | null) =>
    createHmac('sha256', key)
      .update(canonicalJson({ format: 1, what, tenantId, sequence, hash, at }))
      .digest('hex')
  const check = (what: 'head' | 'checkpoint', end: End & Signature, at: string | null) => {
    const key = keys.find(({ id }) => id === end.keyId)
    if (!key) return 'unknown-key'
    const expected = Buffer.from(macOf(key.bytes, what, end, at))
    const given = Buffer.from(end.mac)
    return given.length === expected.length && timingSafeEqual(given, expected) ? 'valid' : 'forged'
  }
  return {
    signHead: (end) => ({ keyId: current.id, mac: macOf(current.bytes, 'head', end, null) }),
    signCheckpoint: (end) => ({ keyId: current.id, mac: macOf(current.bytes, 'checkpoint', end, end.at) }),
    checkHead: (head) => check('head', head, null),
    checkCheckpoint: (checkpoint) => check('checkpoint', checkpoint, checkpoint.at),
  }
}
