/**
 * A pass is the right to press "buy" in one activity: `v2.<key id>.<payload>.<mac>`. It is checked synchronously and without
 * I/O on every press, so the payload is plain text and the MAC an HMAC-SHA256 over everything before it.
 *
 * The payload is `tenant~user~activity~device~session~issued~expiry`, times in milliseconds in base 36. Identifiers hold neither
 * `~` nor `.`, so nothing has to be encoded and no two sets of claims give the same text.
 *
 * Session and time are those of the access token that the pass was given for: what ends that token before its time (see
 * `../access/types.ts`) ends the pass.
 */
import { timingSafeEqual } from 'node:crypto'
import type { Principal } from '../function/declaration.ts'
import { createHmacSha256 } from './hmac.ts'

/** What a pass says. */
export type PassClaims = {
  tenantId: string
  userId: string
  activityId: string
  /** Empty: not bound to one. */
  device: string
  /** Of the token; undefined when it belongs to none. */
  sessionId?: string | undefined
  /** When the token was issued, whole ms. */
  issuedAtMs: number
  expiresAtMs: number
}

/** Who holds a pass, in the form in which `AccessChecker` is asked about them. Never staff: a pass is good for nothing but buying. */
export type PassHolder = Principal & Pick<PassClaims, 'activityId' | 'device' | 'expiresAtMs'>

/** No pass lives longer: so long is remembered which sessions have ended. */
export const maximumPassMs = 7_200_000

export type PassKey = { id: string; secret: Uint8Array }

export type Passes = {
  /** Throws a TypeError when a claim is not an identifier of 1 to 64 letters, digits, `-` or `_`, or a time is not in whole ms. */
  issue(claims: PassClaims): string
  /**
   * The holder, or undefined when the pass is malformed, forged, expired, for another activity, or (when `device` is given
   * and the pass is bound to one) for another device. Never throws.
   */
  verify(token: string, activityId: string, device?: string): PassHolder | undefined
}

const identifier = /^[A-Za-z0-9_-]{1,64}$/
/** All claims, the key id and the MAC at their longest: 412. */
const maximumTokenLength = 420
const macLength = 43
const prefix = 'v2.'
const noRoles: readonly string[] = Object.freeze([])

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
    issue({ tenantId, userId, activityId, device, sessionId, issuedAtMs, expiresAtMs }) {
      for (const value of [tenantId, userId, activityId]) {
        if (!identifier.test(value)) throw new TypeError(`"${value}" cannot be in a pass`)
      }
      if (device !== '' && !identifier.test(device)) throw new TypeError('this device cannot be in a pass')
      // Without its session the pass would outlive it.
      if (sessionId !== undefined && !identifier.test(sessionId))
        throw new TypeError('this session cannot be in a pass')
      const times = [issuedAtMs, expiresAtMs].map((ms) => {
        if (!Number.isSafeInteger(ms) || ms < 0) throw new TypeError('the times of a pass are in whole milliseconds')
        return ms.toString(36)
      })
      const claims = [tenantId, userId, activityId, device, sessionId ?? '', ...times].join('~')
      const signed = `${prefix}${signing.id}.${claims}`
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
      // Nor is it split: an array for each press costs as much as all of this.
      const afterTenant = token.indexOf('~', payloadStart)
      const afterUser = token.indexOf('~', afterTenant + 1)
      const afterActivity = token.indexOf('~', afterUser + 1)
      const afterDevice = token.indexOf('~', afterActivity + 1)
      const afterSession = token.indexOf('~', afterDevice + 1)
      const afterIssued = token.indexOf('~', afterSession + 1)
      const expiresAtMs = Number.parseInt(token.slice(afterIssued + 1, macStart - 1), 36)
      if (token.slice(afterUser + 1, afterActivity) !== activityId || !(now() < expiresAtMs)) return undefined
      const bound = token.slice(afterActivity + 1, afterDevice)
      if (device !== undefined && bound !== '' && bound !== device) return undefined
      return {
        kind: 'user',
        tenantId: token.slice(payloadStart, afterTenant),
        userId: token.slice(afterTenant + 1, afterUser),
        roles: noRoles,
        sessionId: afterSession - afterDevice === 1 ? undefined : token.slice(afterDevice + 1, afterSession),
        issuedAtMs: Number.parseInt(token.slice(afterSession + 1, afterIssued), 36),
        activityId,
        device: bound,
        expiresAtMs,
      }
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
