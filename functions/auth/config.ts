/** Variables of auth. */
import { z } from 'zod'
import { trustedProxies } from '@stampede/shared/http/client-address.ts'
import { keysVariable } from '@stampede/shared/personal-data/keys.ts'

const whole = (fallback: number, minimum: number, maximum: number) =>
  z.coerce.number().int().min(minimum).max(maximum).default(fallback)
const daySeconds = 86_400

export const authConfig = z.object({
  DATABASE_URL: z.string(),
  REDIS_URL: z.string(),
  K_SINK: z.string(),
  K_SINK_TOKEN_FILE: z.string().optional(),
  SERVICE_SECRET: z.string(),
  /** Says which roles somebody has. */
  PERMISSION_URL: z.string(),
  /** What tokens say, and what every function's host expects. The OpenID Connect issuer of a tenant is `<AUTH_ISSUER>/oidc/<tenant>`. */
  AUTH_ISSUER: z.url().transform((text) => text.replace(/\/+$/, '')),
  AUTH_AUDIENCE: z.string(),
  /** Seals contacts, signing keys and what the OpenID Connect provider remembers. */
  DATA_KEYS: keysVariable,
  INDEX_KEY: keysVariable,
  /** Whose `x-forwarded-for` is believed. */
  TRUSTED_PROXIES: trustedProxies,

  SIGNING_ALGORITHM: z.enum(['ES256', 'EdDSA']).default('ES256'),
  SIGNING_KEY_DAYS: whole(30, 1, 365),
  /** How long verifiers keep the public keys: a new key waits so long before it signs. */
  JWKS_CACHE_SECONDS: whole(300, 0, daySeconds),
  /** On top of it: caches in between, clocks that differ, and processes that look at the keys every few seconds. */
  KEY_MARGIN_SECONDS: whole(90, 0, daySeconds),
  ACCESS_TOKEN_SECONDS: whole(600, 10, 3_600),
  /** A session that is not used ends; one that is, too, in the end. */
  REFRESH_TOKEN_SECONDS: whole(30 * daySeconds, 60, 365 * daySeconds),
  SESSION_SECONDS: whole(90 * daySeconds, 60, 365 * daySeconds),
  SESSIONS_PER_USER: whole(100, 1, 500),

  /** Argon2id; the defaults are OWASP's. */
  PASSWORD_MEMORY_KIB: whole(19_456, 8, 1_048_576),
  PASSWORD_PASSES: whole(2, 1, 100),
  PASSWORD_PARALLELISM: whole(1, 1, 16),
  /** Hashes at once; each takes its memory and a thread. */
  PASSWORD_CONCURRENCY: whole(2, 1, 64),
  /** Sign-ins that wait for a hash; more are answered 503. */
  PASSWORD_QUEUE: whole(100, 0, 10_000),

  CODE_SECONDS: whole(600, 30, daySeconds),
  CODE_TRIES: whole(5, 1, 20),
  CODES_PER_CONTACT_AND_HOUR: whole(6, 1, 1_000),
  CODES_PER_ADDRESS_AND_HOUR: whole(300, 1, 1_000_000),
  /** Failures before the first wait, by contact and by address; the waits double from the first to the longest. */
  FREE_FAILURES_PER_CONTACT: whole(5, 1, 1_000),
  FREE_FAILURES_PER_ADDRESS: whole(100, 1, 1_000_000),
  FIRST_WAIT_SECONDS: whole(15, 1, 3_600),
  LONGEST_WAIT_SECONDS: whole(3_600, 1, daySeconds),

  /** Applications may be told of a logout at addresses of this network: for development and tests. */
  LOGOUT_TO_PRIVATE_ADDRESSES: z.enum(['allowed', 'refused']).default('refused'),
})
export type AuthConfig = z.output<typeof authConfig>
