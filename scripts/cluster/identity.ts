/** Keys of the platform in a cluster: how they are made, and tokens of people minted with the one that only trial clusters have. */
import { randomBytes } from 'node:crypto'
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import { createTokenMint, localTenant } from '../sale/identity.ts'
import { KubectlError, type Kubectl } from './kubectl.ts'

export const identitySecret = 'stampede-identity'
export const signingSecret = 'stampede-signing'
/** Apart from the others: it belongs to the database, not to the installation. */
export const dataKeysSecret = 'stampede-data-keys'

/** Issuer and audience of tokens that a trial cluster mints for itself. */
export const ownIssuer = 'https://stampede.invalid'
export const ownAudience = 'stampede'

/** Staff of the trials' tenant; the first administrator there (`bootstrap-administrators` of the overlays that have the key). */
export const trialStaff = 'trial-staff'

export type SecretData = Record<string, string>

/** Where the platform's own `auth` shows its keys, beside whatever keys are known from the start. */
export const ownKeysUrl = 'http://auth.stampede.svc.cluster.local/.well-known/jwks.json'
export const noKeys = '{"keys":[]}'

/** Key pair for the tokens of trials; the public half as a JSON Web Key Set. */
export async function createSigningKey(): Promise<{ privateJwk: string; jwks: string }> {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true })
  const kid = randomBytes(6).toString('hex')
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid, alg: 'EdDSA', use: 'sig' }] }
  return {
    privateJwk: JSON.stringify({ ...(await exportJWK(privateKey)), kid, alg: 'EdDSA' }),
    jwks: JSON.stringify(jwks),
  }
}

export const createServiceSecret = (): string => randomBytes(32).toString('base64')

export const createPassKeys = (): string => `${randomBytes(4).toString('hex')}:${randomBytes(32).toString('base64')}`

/** The decoded values of a Secret; undefined when there is none. Handle with care: never print them. */
export const readSecret = async (kubectl: Kubectl, namespace: string, name: string): Promise<SecretData | undefined> =>
  (await readLabelledSecret(kubectl, namespace, name))?.data

export async function readLabelledSecret(
  kubectl: Kubectl,
  namespace: string,
  name: string,
): Promise<{ data: SecretData; labels: Record<string, string> } | undefined> {
  try {
    const { data = {}, metadata } = await kubectl.json<{
      data?: Record<string, string>
      metadata?: { labels?: Record<string, string> }
    }>(['-n', namespace, 'get', 'secret', name])
    return {
      data: Object.fromEntries(
        Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]),
      ),
      labels: metadata?.labels ?? {},
    }
  } catch (error) {
    if (error instanceof KubectlError && error.failure === 'not-found') return undefined
    throw error
  }
}

/** Makes an access token for a person. */
export type TokenMint = (userId: string, roles?: readonly string[]) => Promise<string>

/**
 * Mints with the key in the Secret `stampede-signing`; undefined when the cluster has none (production: tokens come from the
 * identity provider). Tokens are valid for `ttlSeconds` (default one hour) and belong to `tenantId` (default `demo`).
 */
export async function clusterMint(
  kubectl: Kubectl,
  options: { namespace: string; tenantId?: string; ttlSeconds?: number },
): Promise<TokenMint | undefined> {
  const { namespace, tenantId = localTenant, ttlSeconds = 3_600 } = options
  const [signing, identity] = await Promise.all([
    readSecret(kubectl, namespace, signingSecret),
    readSecret(kubectl, namespace, identitySecret),
  ])
  const jwk = signing?.['private-jwk']
  if (jwk === undefined || identity === undefined) return undefined
  return createTokenMint(JSON.parse(jwk) as JWK, tenantId, ttlSeconds, {
    issuer: identity['issuer'] ?? ownIssuer,
    audience: identity['audience'] ?? ownAudience,
  })
}
