/** Keys, tokens and the host's environment for tests: real signatures, made fresh for each caller. */
import { randomBytes } from 'node:crypto'
import { SignJWT, UnsecuredJWT, exportJWK, generateKeyPair } from 'jose'
import type { JSONWebKeySet } from 'jose'
import { createServiceTokens, serviceIssuer } from '../identity/service-token.ts'

export type TestPerson = {
  tenantId?: string
  userId?: string
  roles?: readonly string[]
  sessionId?: string
  /** Default: now. */
  issuedAtMs?: number
}

export type TestIdentity = {
  jwks: JSONWebKeySet
  serviceSecret: string
  /** AUTH_JWKS, AUTH_ISSUER, AUTH_AUDIENCE and SERVICE_SECRET; ACCESS_CONTROL=built-in, for tests of one function. */
  environment: Record<string, string>
  /** A valid access token; default tenant `acme`, user `user-1`, no roles. */
  token(person?: TestPerson): Promise<string>
  serviceToken(tenantId?: string): Promise<string>
  /** Tokens that look right and must all be refused; the keys say why. */
  invalidTokens(person?: TestPerson): Promise<Record<string, string>>
}

const issuer = 'https://identity.example'
const audience = 'stampede'

export async function createTestIdentity(algorithm: 'ES256' | 'EdDSA' = 'ES256'): Promise<TestIdentity> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true })
  const stranger = await generateKeyPair(algorithm, { extractable: true })
  const publicJwk = { ...(await exportJWK(publicKey)), kid: 'test', alg: algorithm, use: 'sig' }
  const jwks: JSONWebKeySet = { keys: [publicJwk] }
  const serviceSecret = randomBytes(32).toString('base64')
  const text = (value: string) => new TextEncoder().encode(value)

  const claimsOf = ({ tenantId = 'acme', userId = 'user-1', roles = [], sessionId }: TestPerson) => ({
    tenant: tenantId,
    roles: [...roles],
    sub: userId,
    ...(sessionId === undefined ? {} : { sid: sessionId }),
  })
  const unsigned = (person: TestPerson, iss = issuer, aud = audience, expires = '1h') =>
    new SignJWT(claimsOf(person))
      .setIssuer(iss)
      .setAudience(aud)
      .setIssuedAt(Math.floor((person.issuedAtMs ?? Date.now()) / 1_000))
      .setExpirationTime(expires)
  const header = { alg: algorithm, kid: 'test' }

  return {
    jwks,
    serviceSecret,
    environment: {
      AUTH_JWKS: JSON.stringify(jwks),
      AUTH_ISSUER: issuer,
      AUTH_AUDIENCE: audience,
      SERVICE_SECRET: serviceSecret,
      ACCESS_CONTROL: 'built-in',
      // Of the functions that keep personal data or records that must stay provable.
      DATA_KEYS: `d1:${randomBytes(32).toString('base64')}`,
      INDEX_KEY: `i1:${randomBytes(32).toString('base64')}`,
      AUDIT_KEY: `a1:${randomBytes(32).toString('base64')}`,
    },
    token: async (person = {}) => unsigned(person).setProtectedHeader(header).sign(privateKey),
    serviceToken: async (tenantId = 'acme') =>
      createServiceTokens({ secret: serviceSecret, service: 'test' })(tenantId),
    invalidTokens: async (person = {}) => {
      const hmac = { alg: 'HS256', kid: 'test' }
      const valid = await unsigned(person).setProtectedHeader(header).sign(privateKey)
      const [head = '', , signature = ''] = valid.split('.')
      const raised = Buffer.from(
        JSON.stringify({
          ...claimsOf({ ...person, roles: ['administrator'] }),
          iss: issuer,
          aud: audience,
          exp: 4_102_444_800,
        }),
      )
      return {
        expired: await unsigned(person, issuer, audience, '1s ago').setProtectedHeader(header).sign(privateKey),
        'not yet valid': await unsigned(person).setNotBefore('50m').setProtectedHeader(header).sign(privateKey),
        forged: await unsigned(person).setProtectedHeader(header).sign(stranger.privateKey),
        'payload replaced': `${head}.${raised.toString('base64url')}.${signature}`,
        'algorithm none': new UnsecuredJWT(claimsOf(person))
          .setIssuer(issuer)
          .setAudience(audience)
          .setExpirationTime('5m')
          .encode(),
        'public key as secret': await unsigned(person)
          .setProtectedHeader(hmac)
          .sign(text(JSON.stringify(publicJwk))),
        'other issuer': await unsigned(person, 'https://elsewhere.example').setProtectedHeader(header).sign(privateKey),
        'other audience': await unsigned(person, issuer, 'elsewhere').setProtectedHeader(header).sign(privateKey),
        'person with the service issuer': await unsigned(
          { ...person, roles: ['service'] },
          serviceIssuer,
          serviceIssuer,
        )
          .setProtectedHeader(header)
          .sign(privateKey),
        'forged service token': await createServiceTokens({ secret: randomBytes(32).toString('hex'), service: 'test' })(
          'acme',
        ),
        'not a token': 'abc.def.ghi',
      }
    },
  }
}
