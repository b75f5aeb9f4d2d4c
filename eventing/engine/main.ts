/**
 * The engine as a process. Environment: KAFKA_BROKERS (`host:port,…`), PORT (8081), HOST (127.0.0.1), MANIFESTS (a folder;
 * default: the repository's), SINKS (`order=http://…,default=http://…`: addresses of Services; `default` takes a `{name}`),
 * EVENT_AUTHENTICATION (`token` | `none`), SERVICE_SECRET, LOG_LEVEL.
 */
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { Registry, collectDefaultMetrics } from 'prom-client'
import { z } from 'zod'
import { createServiceTokens, platformTenant } from '@stampede/shared/identity/service-token.ts'
import { parseSinks } from './sinks.ts'
import { startEngine } from './start.ts'

const environment = z
  .object({
    KAFKA_BROKERS: z
      .string()
      .min(1)
      .transform((text) => text.split(',').map((broker) => broker.trim())),
    PORT: z.coerce.number().int().min(0).max(65_535).default(8081),
    HOST: z.string().default('127.0.0.1'),
    MANIFESTS: z.string().default(fileURLToPath(new URL('../manifests', import.meta.url))),
    SINKS: z.string().default('').transform(parseSinks),
    EVENT_AUTHENTICATION: z.enum(['token', 'none']).default('token'),
    SERVICE_SECRET: z.string().optional(),
    LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  })
  .refine(
    ({ EVENT_AUTHENTICATION, SERVICE_SECRET }) => EVENT_AUTHENTICATION === 'none' || SERVICE_SECRET !== undefined,
    {
      path: ['SERVICE_SECRET'],
      message: 'is needed to sign deliveries (or set EVENT_AUTHENTICATION=none)',
    },
  )
  .safeParse(process.env)

if (!environment.success) {
  const problems = environment.error.issues.map((issue) => `  - ${issue.path.join('.')}: ${issue.message}`)
  process.stderr.write(`The eventing engine cannot start:\n${problems.join('\n')}\n`)
  process.exit(78)
}
const config = environment.data
const log = pino({ name: 'eventing', level: config.LOG_LEVEL })
const metrics = new Registry()
collectDefaultMetrics({ register: metrics })
const tokens =
  config.EVENT_AUTHENTICATION === 'token' && config.SERVICE_SECRET !== undefined
    ? createServiceTokens({ secret: config.SERVICE_SECRET, service: 'eventing' })
    : undefined

try {
  const engine = await startEngine({
    manifests: config.MANIFESTS,
    brokers: config.KAFKA_BROKERS,
    port: config.PORT,
    host: config.HOST,
    resolve: config.SINKS,
    ...(tokens ? { token: () => tokens(platformTenant) } : {}),
    log,
    metrics,
  })
  const end = (signal: NodeJS.Signals) => {
    log.info({ signal }, 'eventing engine stops')
    engine.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ error: (error as Error).message }, 'eventing engine did not stop cleanly')
        process.exit(1)
      },
    )
  }
  process.once('SIGTERM', end)
  process.once('SIGINT', end)
} catch (error) {
  log.fatal({ error: (error as Error).message }, 'eventing engine cannot start')
  process.exit(1)
}
