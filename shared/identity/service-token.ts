/**
 * How functions identify themselves to each other: a short HS256 token signed with SERVICE_SECRET. Issuer and audience are
 * their own, so that no service token passes for a person's token or the other way round.
 */
import { LRUCache } from 'lru-cache'
import { SignJWT } from 'jose'

export const serviceIssuer = 'stampede-service'
/** Tenant of a token that speaks for the platform and not for one tenant, for example on event deliveries. */
export const platformTenant = 'platform'

const lifetimeSeconds = 300
/** A token is renewed this long before it ends, so that none expires on its way. */
const renewBeforeMs = 60_000
const maximumTenants = 1_000

/** Returns a function that gives a token for a tenant; tokens are cached and renewed before they expire. */
export function createServiceTokens(options: {
  secret: string
  service: string
  now?: () => number
}): (tenantId: string) => Promise<string> {
  const { service, now = Date.now } = options
  const key = new TextEncoder().encode(options.secret)
  const cache = new LRUCache<string, { token: Promise<string>; renewAtMs: number }>({ max: maximumTenants })
  return (tenantId) => {
    const nowMs = now()
    const cached = cache.get(tenantId)
    if (cached && nowMs < cached.renewAtMs) return cached.token
    const issuedAt = Math.floor(nowMs / 1_000)
    const token = new SignJWT({ tenant: tenantId, roles: ['service'] })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setIssuer(serviceIssuer)
      .setAudience(serviceIssuer)
      .setSubject(service)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + lifetimeSeconds)
      .sign(key)
    cache.set(tenantId, { token, renewAtMs: nowMs + lifetimeSeconds * 1_000 - renewBeforeMs })
    return token
  }
}
