/**
 * Look-ups of sealed values by equality: an HMAC of the value, kept in a column beside it. Without the index key nobody can try
 * values against the column; with it whoever has the database can, which is why it is a key of its own. Bound to tenant and kind:
 * the same person in two tenants cannot be matched.
 */
import { createHmac } from 'node:crypto'
import { parseKeys } from './keys.ts'

export type BlindIndex = {
  readonly currentKeyId: string
  /** `<key id>.<43 characters>`, at most 76 characters. `value` is normalised (`contact.ts`). */
  of(kind: string, tenantId: string, value: string): string
  /** One for each key of the ring, the current one first: rows that a rotation has not reached are found, too. */
  all(kind: string, tenantId: string, value: string): readonly [string, ...string[]]
}

/** @param indexKeys `INDEX_KEY`: `id:base64(32 bytes)`, and older ones after a comma while a rotation runs. Throws a TypeError for people. */
export function createBlindIndex(indexKeys: string): BlindIndex {
  const [current, ...older] = parseKeys(indexKeys)
  const make = (key: { id: string; bytes: Buffer }, kind: string, tenantId: string, value: string) =>
    `${key.id}.${createHmac('sha256', key.bytes)
      .update(JSON.stringify(['stampede', kind, tenantId, value]))
      .digest('base64url')}`
  return {
    currentKeyId: current.id,
    of: (kind, tenantId, value) => make(current, kind, tenantId, value),
    all: (kind, tenantId, value) => [
      make(current, kind, tenantId, value),
      ...older.map((key) => make(key, kind, tenantId, value)),
    ],
  }
}
