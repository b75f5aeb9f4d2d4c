/**
 * The identities of a local run: a signing key for access tokens with its JWKS, the secret of the services, the key of the passes, the
 * keys of personal data and of the audit records. Made for one run and kept in memory, or kept beside the data that they belong to;
 * production gets them from its secrets.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
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
      ACCESS_CONTROL: 'directory',
      BOOTSTRAP_TENANTS: JSON.stringify([{ tenantId: localTenant, name: 'The shop of this machine' }]),
      NOTIFICATION_CHANNEL: 'outbox',
    },
  }
}

/** The identity that an earlier run left in `file`, or a new one: what its keys sealed outlives a run. */
export async function keptLocalIdentity(file: string): Promise<LocalIdentity> {
  const kept = await readFile(file, 'utf8').catch(() => undefined)
  const fresh = await createLocalIdentity()
  if (kept !== undefined) {
    const { signingKey, environment } = JSON.parse(kept) as LocalIdentity
    // A variable that an older version did not know is added.
    return { signingKey, environment: { ...fresh.environment, ...environment } }
  }
  await mkdir(dirname(file), { recursive: true })
  await writeFile(`${file}.new`, JSON.stringify(fresh), { mode: 0o600 })
  await rename(`${file}.new`, file)
  return fresh
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
