/** Environment of the gateway. What may change while it runs is in the document `gateway`. */
import { z } from 'zod'
import { configurationFolder } from '@stampede/shared/configuration/document-file.ts'
import { functionNames } from './declared.ts'

const count = (fallback: number, maximum: number) => z.coerce.number().int().min(1).max(maximum).default(fallback)

export const variableOf = (functionName: string): string => `${functionName.replaceAll('-', '_').toUpperCase()}_URL`

const addresses = Object.fromEntries(functionNames.map((name) => [variableOf(name), z.url().optional()]))

const settings = z.object({
  REDIS_URL: z.string().min(1),
  AUTH_JWKS: z.string().optional(),
  AUTH_JWKS_URL: z.string().optional(),
  AUTH_ISSUER: z.string(),
  AUTH_AUDIENCE: z.string(),
  ...configurationFolder,
  /** Where functions without a variable `<NAME>_URL` are: `http://{name}.stampede.svc.cluster.local`. */
  UPSTREAM_ADDRESS: z
    .string()
    .refine(
      (text) => text.includes('{name}') && URL.canParse(text.replace('{name}', 'x')),
      'is not an address with {name} in it',
    )
    .optional(),
  /** A Redis of their own for rate limits; default: REDIS_URL. */
  LIMITS_REDIS_URL: z.string().optional(),
  /** How long the decision about rate limits may take before the policy of each limit decides. */
  LIMITS_TIMEOUT_MS: count(250, 10_000),
  /** Requests in one script call, script calls under way, requests that wait. */
  LIMITS_BATCH: count(64, 256),
  LIMITS_CALLS_IN_FLIGHT: count(16, 64),
  LIMITS_QUEUE: count(20_000, 1_000_000),
  /** Buckets that are remembered in this process. */
  LIMITS_MEMORY: count(100_000, 10_000_000),
  TOKEN_CACHE: count(50_000, 10_000_000),
  /** Tokens that are verified at the same time. */
  TOKENS_IN_FLIGHT: count(2_000, 1_000_000),
  OTEL_EXPORTER_OTLP_ENDPOINT: z.string().optional(),
})

export type GatewayConfig = z.output<typeof settings>

/** And the variables `<NAME>_URL`. */
export const gatewayConfig: z.ZodType<GatewayConfig> = settings.extend(addresses) as never

/** Where each function is, as far as the environment says. */
export function addressesOf(config: GatewayConfig): Map<string, string> {
  const values: Record<string, unknown> = config
  return new Map(
    functionNames.flatMap((name): [string, string][] => {
      const value = values[variableOf(name)] ?? config.UPSTREAM_ADDRESS?.replace('{name}', name)
      return typeof value === 'string' ? [[name, new URL(value).origin]] : []
    }),
  )
}
