/**
 * Verifies bearer tokens: access tokens of people (ES256 or EdDSA against a JWKS) and service tokens (HS256 with
 * SERVICE_SECRET). The algorithm in the header only chooses between these two; each accepts its own algorithms and keys alone,
 * so a public key can never be used as an HMAC secret, and `none` is refused.
 */
import { createLocalJWKSet, createRemoteJWKSet, decodeProtectedHeader, errors, jwtVerify } from 'jose'
import type { JSONWebKeySet, JWTPayload, JWTVerifyGetKey } from 'jose'
import { LRUCache } from 'lru-cache'
import { z } from 'zod'
import type { Principal } from '../function/declaration.ts'
import { Problem } from '../http/problem.ts'
import { serviceIssuer } from './service-token.ts'

export type TokenVerifier = {
  /** Throws Problem `unauthenticated`, or `dependency-unavailable` when the JWKS cannot be fetched. */
  verify(token: string): Promise<Principal>
  /** The principal when this token was verified before and is still valid; undefined says: ask `verify`. No I/O, synchronous. */
  verifySync(token: string): Principal | undefined
}

export type TokenVerifierOptions = {
  /** Keys that are known from the start, and the address that others are fetched from. Without either no access token is accepted. */
  jwks?: JSONWebKeySet | undefined
  jwksUrl?: string | URL | undefined
  issuer?: string
  audience?: string
  /** Without it no service token is accepted. */
  serviceSecret?: string
  now?: () => number
  /** Verified tokens kept in memory; default 10,000. */
  cacheSize?: number
}

const accessAlgorithms = ['ES256', 'EdDSA', 'Ed25519']
const maximumTokenLength = 4_096
/** How long a verified token is believed without looking at the keys again, so that a withdrawn key takes effect. */
const cacheMs = 300_000

const claims = z.object({
  sub: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  tenant: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  exp: z.int().positive(),
  iat: z.int().nonnegative().default(0),
  sid: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/)
    .optional(),
  roles: z.array(z.string().max(64)).max(32).default([]),
})

const refused = (cause?: unknown) => new Problem('unauthenticated', 'The token is not valid.', { cause })

export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { issuer, audience, now = Date.now } = options
  const accessKeys = keysOf(options)
  const serviceKey = options.serviceSecret === undefined ? undefined : new TextEncoder().encode(options.serviceSecret)
  const verified = new LRUCache<string, { principal: Principal; validUntilMs: number }>({
    max: options.cacheSize ?? 10_000,
  })

  const verifySync = (token: string): Principal | undefined => {
    const known = verified.get(token)
    if (!known) return undefined
    if (now() < known.validUntilMs) return known.principal
    verified.delete(token)
    return undefined
  }

  const check = async (token: string): Promise<JWTPayload & { kind: 'person' | 'service' }> => {
    const common = { requiredClaims: ['exp', 'sub', 'tenant'], currentDate: new Date(now()) }
    const { alg } = decodeProtectedHeader(token)
    if (alg === 'HS256' && serviceKey) {
      const own = { ...common, algorithms: ['HS256'], issuer: serviceIssuer, audience: serviceIssuer }
      return { ...(await jwtVerify(token, serviceKey, own)).payload, kind: 'service' }
    }
    if (alg !== undefined && accessAlgorithms.includes(alg) && accessKeys && issuer && audience) {
      const own = { ...common, algorithms: accessAlgorithms, issuer, audience }
      return { ...(await jwtVerify(token, accessKeys, own)).payload, kind: 'person' }
    }
    throw refused()
  }

  return {
    verifySync,
    async verify(token) {
      const known = verifySync(token)
      if (known) return known
      if (token.length > maximumTokenLength) throw refused()
      const payload = await check(token).catch((error: unknown) => {
        throw asProblem(error)
      })
      const parsed = claims.safeParse(payload)
      if (!parsed.success) throw refused(parsed.error)
      const { sub, tenant, exp, roles, iat, sid } = parsed.data
      const issued = { issuedAtMs: iat * 1_000, sessionId: sid }
      // The role `service` comes from the kind of token only, whatever an access token claims.
      const own = roles.filter((role) => role !== 'service')
      const principal: Principal =
        payload.kind === 'service'
          ? { kind: 'service', tenantId: tenant, userId: sub, roles: ['service'], ...issued }
          : { kind: own.length > 0 ? 'staff' : 'user', tenantId: tenant, userId: sub, roles: own, ...issued }
      verified.set(token, { principal, validUntilMs: Math.min(exp * 1_000, now() + cacheMs) })
      return principal
    },
  }
}

function keysOf({ jwks, jwksUrl }: TokenVerifierOptions): JWTVerifyGetKey | undefined {
  const fetched =
    jwksUrl === undefined
      ? undefined
      : createRemoteJWKSet(new URL(jwksUrl), { timeoutDuration: 3_000, cooldownDuration: 10_000, cacheMaxAge: 300_000 })
  if (jwks === undefined) return fetched
  // Symmetric keys have no place in a public key set; were one there, it must not count.
  const known = createLocalJWKSet({ keys: jwks.keys.filter((key) => key.kty === 'EC' || key.kty === 'OKP') })
  if (!fetched) return known
  return async (header, token) =>
    known(header, token).catch((error: unknown) => {
      if (error instanceof errors.JWKSNoMatchingKey) return fetched(header, token)
      throw error
    })
}

function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof errors.JWTExpired)
    return new Problem('unauthenticated', 'The token has expired.', { cause: error })
  const keysMissing =
    error instanceof errors.JWKSTimeout || (error instanceof errors.JOSEError && error.code === 'ERR_JOSE_GENERIC')
  if (keysMissing || (error instanceof TypeError && error.message === 'fetch failed')) {
    return new Problem('dependency-unavailable', 'The keys for checking tokens cannot be fetched.', {
      cause: error,
      retryAfterSeconds: 1,
    })
  }
  return refused(error)
}

/** The token of an `authorization: Bearer …` header, or undefined. */
export function bearerTokenOf(authorization: string | undefined): string | undefined {
  if (authorization === undefined || authorization.length < 8 || !/^bearer /i.test(authorization)) return undefined
  return authorization.slice(7).trim()
}
