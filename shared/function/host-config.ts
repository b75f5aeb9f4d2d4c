/** The host's own environment variables. */
import { z } from 'zod'
import type { JSONWebKeySet } from 'jose'
import { configurationFolder } from '../configuration/document-file.ts'
import type { AnyFunction } from './declaration.ts'
import { eventOidcConfig, eventOidcSettings } from './event-oidc.ts'
import { hasAlarms } from './host-alarms.ts'

const milliseconds = (fallback: number, maximum: number) =>
  z.coerce.number().int().min(0).max(maximum).default(fallback)
const count = (fallback: number) => z.coerce.number().int().min(1).max(1_000_000).default(fallback)

const keySet = z.string().transform((text, context): JSONWebKeySet => {
  try {
    const value = JSON.parse(text) as JSONWebKeySet
    if (Array.isArray(value.keys)) return value
  } catch {
    // Said below; the parser's message would quote the value.
  }
  context.addIssue({ code: 'custom', message: 'is not a JSON Web Key Set in JSON' })
  return z.NEVER
})

export const hostConfig = z.object({
  PORT: z.coerce.number().int().min(0).max(65_535).default(8_080),
  HOST: z.string().optional(),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  AUTH_JWKS: keySet.optional(),
  AUTH_JWKS_URL: z.url().optional(),
  AUTH_ISSUER: z.string().optional(),
  AUTH_AUDIENCE: z.string().optional(),
  /** `directory`: roles, tenants and what was revoked are known from Redis; `built-in`: built-in roles alone, every tenant active. */
  ACCESS_CONTROL: z.enum(['directory', 'built-in']).default('directory'),
  /** How long the memory of the access directory is believed without news of it. */
  ACCESS_STALE_MS: z.coerce.number().int().min(300).max(60_000).default(1_000),
  REDIS_URL: z.string().optional(),
  SERVICE_SECRET: z.string().min(32, 'has fewer than 32 characters').optional(),
  /** `token`: service tokens, as the local engine sends them; `oidc`: tokens of an official Knative broker; `none` only where a network
   *  policy lets nobody but the broker in. */
  EVENT_AUTHENTICATION: z.enum(['token', 'oidc', 'none']).default('token'),
  ...eventOidcConfig.shape,
  ...configurationFolder,
  /** Origins that browsers may call from, separated by commas; none by default. */
  CORS_ORIGINS: z
    .string()
    .default('')
    .transform((text) =>
      text
        .split(',')
        .map((origin) => origin.trim())
        .filter((origin) => origin !== ''),
    ),
  MAX_IN_FLIGHT: count(2_000),
  MAX_EVENTS_IN_FLIGHT: count(500),
  EVENT_BODY_LIMIT_BYTES: count(1_000_000),
  EVENT_TIMEOUT_MS: milliseconds(30_000, 600_000),
  BODY_TIMEOUT_MS: milliseconds(10_000, 600_000),
  REQUEST_TIMEOUT_MS: milliseconds(20_000, 600_000),
  /** How long after SIGTERM the process goes on accepting, until proxies have noticed that it is not ready. */
  DRAIN_DELAY_MS: milliseconds(250, 60_000),
  DRAIN_TIMEOUT_MS: milliseconds(25_000, 600_000),
})
export type HostConfig = z.output<typeof hostConfig>

/** What the declarations need beyond single variables. */
export function hostConfigProblems(config: HostConfig, definitions: readonly AnyFunction[]): string[] {
  const problems: string[] = []
  const auths = new Set(definitions.flatMap(({ routes }) => routes.map(({ options }) => options.auth)))
  if (auths.has('user') || auths.has('staff')) {
    if (!config.AUTH_JWKS && !config.AUTH_JWKS_URL)
      problems.push('AUTH_JWKS (keys as JSON) or AUTH_JWKS_URL is not set (routes need signed-in people)')
    if (!config.AUTH_ISSUER) problems.push('AUTH_ISSUER is not set (routes need signed-in people)')
    if (!config.AUTH_AUDIENCE) problems.push('AUTH_AUDIENCE is not set (routes need signed-in people)')
  }
  if (config.ACCESS_CONTROL === 'directory' && !config.REDIS_URL)
    problems.push('REDIS_URL is not set (the access directory is there; ACCESS_CONTROL=built-in does without)')
  else if (!config.REDIS_URL && definitions.some(hasAlarms))
    problems.push('REDIS_URL is not set (the alarms of tasks are there)')
  const takesEvents = definitions.some(({ events, schedules }) => (events?.length ?? 0) + (schedules?.length ?? 0) > 0)
  if (takesEvents && config.EVENT_AUTHENTICATION === 'oidc') {
    const found = eventOidcSettings(config)
    if ('problems' in found) problems.push(...found.problems)
  }
  const eventsNeedTokens = takesEvents && config.EVENT_AUTHENTICATION === 'token'
  if ((auths.has('service') || eventsNeedTokens) && !config.SERVICE_SECRET) {
    problems.push('SERVICE_SECRET is not set (functions and the broker identify themselves with it)')
  }
  return problems
}
