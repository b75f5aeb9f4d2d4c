/**
 * The engine as a process. Environment: KAFKA_BROKERS (`host:port,…`), PORT (8081), HOST (127.0.0.1; in a container 0.0.0.0),
 * MANIFESTS (a folder; default: the repository's), SINKS (`order=http://…,default=http://…`: addresses of Services; `default` takes
 * a `{name}` and a `{namespace}`), EVENT_AUTHENTICATION (`token` | `none`), SERVICE_SECRET, LOG_LEVEL, and for the end:
 * DRAIN_DELAY_MS (0; on a cluster some seconds, in which nobody sends events here any more), STOP_GRACE_MS (20,000).
 * With `--groups` it prints the consumer groups of the manifests as JSON and ends.
 */
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { Registry, collectDefaultMetrics } from 'prom-client'
import { z } from 'zod'
import { createServiceTokens, platformTenant } from '@stampede/shared/identity/service-token.ts'
import { consumerGroups } from './groups.ts'
import { readManifests } from './load-manifests.ts'
import { parseSinks } from './sinks.ts'
import { startEngine } from './start.ts'

const manifests = z
  .string()
  .default(fileURLToPath(new URL('../manifests', import.meta.url)))
  .parse(process.env['MANIFESTS'] || undefined)

if (process.argv.includes('--groups')) {
  const text = `${JSON.stringify(consumerGroups(await readManifests(manifests)), undefined, 2)}\n`
  await new Promise((resolve) => process.stdout.write(text, resolve))
  process.exit(0)
}

const milliseconds = (fallback: number) => z.coerce.number().int().min(0).max(600_000).default(fallback)
const environment = z
  .object({
    KAFKA_BROKERS: z
      .string()
      .min(1)
      .transform((text) => text.split(',').map((broker) => broker.trim())),
    PORT: z.coerce.number().int().min(0).max(65_535).default(8081),
    HOST: z.string().default('127.0.0.1'),
    SINKS: z
      .string()
      .default('')
      .transform((text, context) => {
        try {
          return parseSinks(text)
        } catch (error) {
          context.addIssue({ code: 'custom', message: (error as Error).message })
          return z.NEVER
        }
      }),
    EVENT_AUTHENTICATION: z
      .enum(['token', 'none'], 'is neither token nor none (oidc is for the tokens of an official broker)')
      .default('token'),
    SERVICE_SECRET: z.string().optional(),
    LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
    DRAIN_DELAY_MS: milliseconds(0),
    STOP_GRACE_MS: milliseconds(20_000),
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

/** A second signal does not wait any longer. */
let stop: (() => Promise<void>) | undefined
let ending = false
const end = (signal: NodeJS.Signals) => {
  // Before it has started there is nothing to finish.
  if (ending || !stop) process.exit(1)
  ending = true
  log.info({ signal }, 'eventing engine stops')
  stop().then(
    () => process.exit(0),
    (error: unknown) => {
      log.error({ error: (error as Error).message }, 'eventing engine did not stop cleanly')
      process.exit(1)
    },
  )
}
process.on('SIGTERM', end)
process.on('SIGINT', end)

try {
  const engine = await startEngine({
    manifests,
    brokers: config.KAFKA_BROKERS,
    port: config.PORT,
    host: config.HOST,
    resolve: config.SINKS,
    ...(tokens ? { token: () => tokens(platformTenant) } : {}),
    log,
    metrics,
    limits: { stopGraceMs: config.STOP_GRACE_MS, drainDelayMs: config.DRAIN_DELAY_MS },
  })
  stop = () => engine.stop()
} catch (error) {
  log.fatal({ error: (error as Error).message }, 'eventing engine cannot start')
  process.exit(1)
}
