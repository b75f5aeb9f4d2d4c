/**
 * A challenge as its buyer carries it: `c1.<key id>.<payload>.<mac>`, signed with the keys of the passes, so that nothing has to be
 * stored. The prefix is part of what is signed: a challenge is never a pass, nor the other way round.
 *
 * The payload is `tenant~user~activity~device~policy~bits~expiry`. No nonce: the MAC cannot be foreseen, so neither can the work.
 */
import { timingSafeEqual } from 'node:crypto'
import { createHmacSha256 } from '@stampede/shared/identity/hmac.ts'
import type { PassKey } from '@stampede/shared/identity/pass.ts'
import { challengePolicies, type ChallengePolicy } from './settings.ts'

export type ChallengeClaims = {
  tenantId: string
  userId: string
  activityId: string
  /** Empty: none. */
  device: string
  policy: ChallengePolicy
  difficultyBits: number
  expiresAtMs: number
}

export type ChallengeTokens = {
  issue(claims: ChallengeClaims): string
  /** What one of our keys signed, whether it is still valid or not; undefined otherwise. Never throws. */
  read(token: string): ChallengeClaims | undefined
}

export const maximumChallengeLength = 440
const prefix = 'c1.'

/** The first key signs, all verify. */
export function createChallengeTokens(keys: readonly PassKey[]): ChallengeTokens {
  const macs = new Map(keys.map(({ id, secret }) => [id, createHmacSha256(secret, maximumChallengeLength * 3)]))
  const signing = keys[0]!
  return {
    issue({ tenantId, userId, activityId, device, policy, difficultyBits, expiresAtMs }) {
      const payload = [tenantId, userId, activityId, device, policy, difficultyBits, expiresAtMs.toString(36)].join('~')
      const signed = `${prefix}${signing.id}.${payload}`
      return `${signed}.${macs.get(signing.id)!(signed)}`
    },
    read(token) {
      if (token.length > maximumChallengeLength) return undefined
      const [version, keyId = '', payload = '', mac = '', ...more] = token.split('.')
      const expected = macs.get(keyId)?.(token.slice(0, token.lastIndexOf('.')))
      if (version !== 'c1' || expected === undefined || more.length > 0 || !isSame(mac, expected)) return undefined
      // From here on the text is ours.
      const [tenantId, userId, activityId, device, policy, bits, expiry] = payload.split('~') as [
        string,
        string,
        string,
        string,
        string,
        string,
        string,
      ]
      const known = challengePolicies.find((name) => name === policy)
      // A policy of another version of this function.
      if (known === undefined) return undefined
      const expiresAtMs = Number.parseInt(expiry, 36)
      return { tenantId, userId, activityId, device, policy: known, difficultyBits: Number(bits), expiresAtMs }
    },
  }
}

function isSame(given: string, expected: string): boolean {
  const bytes = Buffer.from(given)
  const wanted = Buffer.from(expected)
  return bytes.length === wanted.length && timingSafeEqual(bytes, wanted)
}
