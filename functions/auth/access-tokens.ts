/** Access tokens: what every function accepts. */
import { randomBytes } from 'node:crypto'
import { SignJWT } from 'jose'
import type { SigningKeys } from './signing-keys.ts'

export type AccessTokenSubject = { tenantId: string; userId: string; roles: readonly string[]; sessionId: string }

export type AccessTokens = {
  lifetimeSeconds: number
  /** Throws Problem `dependency-unavailable` when the keys cannot be read. */
  sign(subject: AccessTokenSubject): Promise<string>
}

export function createAccessTokens(options: {
  keys: SigningKeys
  issuer: string
  audience: string
  lifetimeSeconds: number
  now: () => number
}): AccessTokens {
  const { keys, issuer, audience, lifetimeSeconds, now } = options
  return {
    lifetimeSeconds,
    sign: async ({ tenantId, userId, roles, sessionId }) => {
      const { keyId, algorithm, privateKey } = await keys.signer()
      const issuedAt = Math.floor(now() / 1_000)
      return new SignJWT({ tenant: tenantId, roles: [...roles], sid: sessionId })
        .setProtectedHeader({ alg: algorithm, kid: keyId, typ: 'at+jwt' })
        .setIssuer(issuer)
        .setAudience(audience)
        .setSubject(userId)
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + lifetimeSeconds)
        .setJti(randomBytes(16).toString('base64url'))
        .sign(privateKey)
    },
  }
}
