/**
 * Keys as environment variables hold them: `id:base64(32 bytes)`, several separated by commas. The first is used for what is new,
 * all of them for what is there.
 */
import { z } from 'zod'

export type NamedKey = { id: string; bytes: Buffer }

const idPattern = /^[A-Za-z0-9_-]{1,32}$/
const keyBytes = 32
/** A rotation needs two; more than a few are keys that somebody forgot to remove. */
const maximumKeys = 16

/** Throws a TypeError that says which entry is wrong and what to do; never with the key itself. */
export function parseKeys(text: string): readonly [NamedKey, ...NamedKey[]] {
  const entries = text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
  if (entries.length > maximumKeys)
    throw new TypeError(`has ${entries.length} keys, more than ${maximumKeys}: remove old ones that nothing uses`)
  const keys = entries.map((entry, index) => parseKey(entry, index + 1))
  for (const [index, key] of keys.entries()) {
    for (const earlier of keys.slice(0, index)) {
      if (earlier.id === key.id) throw new TypeError(`has two keys with the id "${key.id}"`)
      if (earlier.bytes.equals(key.bytes))
        throw new TypeError(`has the same key under the ids "${earlier.id}" and "${key.id}"`)
    }
  }
  const [first, ...others] = keys
  if (!first) throw new TypeError('has no key; it looks like "k1:<32 random bytes in base64>"')
  return [first, ...others]
}

function parseKey(entry: string, position: number): NamedKey {
  const colon = entry.indexOf(':')
  if (colon < 0) throw new TypeError(`key ${position} has no id: it looks like "k1:<32 random bytes in base64>"`)
  const id = entry.slice(0, colon)
  const encoded = entry.slice(colon + 1)
  if (!idPattern.test(id))
    throw new TypeError(`the id of key ${position} is not 1 to 32 letters, digits, hyphens or underscores`)
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(encoded)) throw new TypeError(`key "${id}" is not base64`)
  const bytes = Buffer.from(encoded, 'base64')
  if (bytes.length !== keyBytes) throw new TypeError(`key "${id}" has ${bytes.length} bytes instead of ${keyBytes}`)
  if (bytes.every((byte) => byte === bytes[0])) throw new TypeError(`key "${id}" is not random`)
  return { id, bytes }
}

/** For the configuration of a function: the text, checked at the start. */
export const keysVariable = z.string().superRefine((text, context) => {
  try {
    parseKeys(text)
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as TypeError).message })
  }
})
