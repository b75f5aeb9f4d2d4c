/**
 * A pass is the right to press "buy" in one activity: `v1.<key id>.<payload>.<mac>`. It is checked synchronously and without
 * I/O on every press, so the payload is plain text and the MAC an HMAC-SHA256 over everything before it.
 *
 * The payload is `tenant~user~activity~device~expiry`, expiry in milliseconds in base 36. Identifiers hold neither `~` nor
 * `.`, so nothing has to be encoded and no two sets of claims give the same text.
 */
import { timingSafeEqual } from 'node:crypto'
import { createHmacSha256 } from './hmac.ts'

/** What a pass says. `device` is empty when the pass is not bound to one. */
export type PassClaims = { tenantId: string; userId: string; activityId: string; device: string; expiresAtMs: number }

export type PassKey = { id: string; secret: Uint8Array }

export type Passes = {
  /** Throws a TypeError when a claim is not an identifier of 1 to 64 letters, digits, `-` or `_` (`device` may be empty). */
  issue(claims: PassClaims): string
  /**
   * The claims, or undefined when the pass is malformed, forged, expired, for another activity, or (when `device` is given
   * and the pass is bound to one) for another device. Never throws.
   */
  verify(token: string, activityId: string, device?: string): PassClaims | undefined
}

const identifier = /^[A-Za-z0-9_-]{1,64}$/
/** Five claims, the key id and the MAC at their longest. */
const maximumTokenLength = 420
const macLength = 43
const prefix = 'v1.'

/** The first key signs, all of them verify: to rotate, put the new key first and drop the old one when its passes have expired. */
export function createPasses(options: { keys: readonly PassKey[]; now: () => number }): Passes {
  const { keys, now } = options
  const signing = keys[0]
  if (!signing) throw new TypeError('at least one pass key is needed')
  const macs = new Map<string, (message: string) => string>()
  for (const { id, secret } of keys) {
    if (!/^[A-Za-z0-9_-]{1,16}$/.test(id))
      throw new TypeError(`pass key id "${id}" is not 1 to 16 letters, digits, - or _`)
    if (secret.length < 32) throw new TypeError(`pass key "${id}" is shorter than 32 bytes`)
    if (macs.has(id)) throw new TypeError(`pass key id "${id}" is used twice`)
    // Three bytes for each UTF-16 unit at most, so that a token that is not ours is measured and not thrown at.
    macs.set(id, createHmacSha256(secret, maximumTokenLength * 3))
  }
  const sign = macs.get(signing.id)!
  // Written in place on every check: no allocation, and both sides always have the same length.
  const given = Buffer.alloc(macLength)
  const expected = Buffer.alloc(macLength)

  return {
    issue({ tenantId, userId, activityId, device, expiresAtMs }) {
      for (const value of [tenantId, userId, activityId]) {
        if (!identifier.test(value)) throw new TypeError(`"${value}" cannot be in a pass`)
      }
      if (device !== '' && !identifier.test(device)) throw new TypeError('this device cannot be in a pass')
      if (!Number.isSafeInteger(expiresAtMs) || expiresAtMs < 0)
        throw new TypeError('the expiry of a pass is in whole milliseconds')
      const signed = `${prefix}${signing.id}.${tenantId}~${userId}~${activityId}~${device}~${expiresAtMs.toString(36)}`
      return `${signed}.${sign(signed)}`
    },

    verify(token, activityId, device) {
      if (typeof token !== 'string' || token.length > maximumTokenLength || !token.startsWith(prefix)) return undefined
      const macStart = token.length - macLength
      const payloadStart = token.indexOf('.', prefix.length) + 1
      if (payloadStart === 0 || macStart - 1 <= payloadStart || token.charCodeAt(macStart - 1) !== 46) return undefined
      const mac = macs.get(token.slice(prefix.length, payloadStart - 1))
      if (!mac) return undefined
      expected.write(mac(token.slice(0, macStart - 1)))
      given.fill(0)
      given.write(token.slice(macStart))
      if (!timingSafeEqual(given, expected)) return undefined
      // From here on the text is ours, so its form needs no check.
      const parts = token.slice(payloadStart, macStart - 1).split('~')
      const expiresAtMs = Number.parseInt(parts[4]!, 36)
      if (parts[2] !== activityId || !(now() < expiresAtMs)) return undefined
      if (device !== undefined && parts[3] !== '' && parts[3] !== device) return undefined
      return { tenantId: parts[0]!, userId: parts[1]!, activityId, device: parts[3]!, expiresAtMs }
    },
  }
}

/** Reads `id:base64,id:base64` (the form of PASS_KEYS). Throws a TypeError in words for people, without the secret. */
export function parsePassKeys(text: string): PassKey[] {
  return text.split(',').map((entry) => {
    const colon = entry.indexOf(':')
    if (colon < 1) throw new TypeError('PASS_KEYS is a list of id:base64, separated by commas')
    return { id: entry.slice(0, colon).trim(), secret: Buffer.from(entry.slice(colon + 1).trim(), 'base64') }
  })
}
