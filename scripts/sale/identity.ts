/**
 * The identities of a local run: a signing key for access tokens with its JWKS, the secret of the services and the key of the
 * passes. Made anew for each run and kept in memory only; production gets them from its secrets.
 */
import { randomBytes } from 'node:crypto'
import { SignJWT, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose'

export const localIssuer = 'http://127.0.0.1/stampede'
export const localAudience = 'stampede'
export const localTenant = 'demo'

export type LocalIdentity = {
  /** Private key of the access tokens, as a JWK, for processes that mint tokens. */
  signingKey: JWK
  /** What the functions are started with. */
  environment: Record<string, string>
}

export async function createLocalIdentity(): Promise<LocalIdentity> {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true })
  const kid = randomBytes(6).toString('hex')
  const signingKey = { ...(await exportJWK(privateKey)), kid, alg: 'EdDSA' }
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid, alg: 'EdDSA', use: 'sig' }] }
  return {
    signingKey,
    environment: {
      AUTH_JWKS: JSON.stringify(jwks),
      AUTH_ISSUER: localIssuer,
      AUTH_AUDIENCE: localAudience,
      SERVICE_SECRET: randomBytes(32).toString('base64'),
      PASS_KEYS: `${kid}:${randomBytes(32).toString('base64')}`,
      DATA_KEYS: `${kid}:${randomBytes(32).toString('base64')}`,
      INDEX_KEY: `${kid}:${randomBytes(32).toString('base64')}`,
      AUDIT_KEY: `${kid}:${randomBytes(32).toString('base64')}`,
      EVENT_AUTHENTICATION: 'token',
      ACCESS_CONTROL: 'built-in',
    },
  }
}

/** What verifiers of access tokens expect in them. */
export type TokenTerms = { issuer: string; audience: string }

/** Mints access tokens of the local tenant; valid for `ttlSeconds` (default two hours: a local run outlives ten minutes). */
export async function createTokenMint(
  signingKey: JWK,
  tenantId = localTenant,
  ttlSeconds = 7_200,
  { issuer, audience }: TokenTerms = { issuer: localIssuer, audience: localAudience },
) {
  const algorithm = signingKey.alg ?? 'EdDSA'
  const key = await importJWK(signingKey, algorithm)
  return (userId: string, roles: readonly string[] = []): Promise<string> =>
    new SignJWT({ tenant: tenantId, roles })
      .setProtectedHeader({ alg: algorithm, kid: signingKey.kid ?? '', typ: 'at+jwt' })
      .setIssuer(issuer)
      .setAudience(audience)
      .setSubject(userId)
      .setIssuedAt()
      .setExpirationTime(`${ttlSeconds}s`)
      .sign(key)
}
