/** Environment of the function. Every limit has a name, a default and a bound. What may change while it runs is in `settings.ts`. */
import { z } from 'zod'
import { settingsEnvironment } from './settings.ts'

const count = (fallback: number, maximum: number) => z.coerce.number().int().min(1).max(maximum).default(fallback)

export const configuration = z.object({
  REDIS_URL: z.string().min(1),
  KAFKA_BROKERS: z.string().min(1),
  AUTH_JWKS: z.string().optional(),
  AUTH_JWKS_URL: z.string().optional(),
  AUTH_ISSUER: z.string().optional(),
  AUTH_AUDIENCE: z.string().optional(),
  SERVICE_SECRET: z.string().optional(),
  /** Where alarms are published. */
  K_SINK: z.string().min(1),
  K_SINK_TOKEN_FILE: z.string().optional(),
  /** How often is looked for alarms that are due, about; 0: never in this process. */
  ALARM_LOOK_MS: z.coerce.number().int().min(0).max(60_000).default(1_000),
  /** `id:base64,id:base64`; the first signs. */
  PASS_KEYS: z.string().min(1),
  ...settingsEnvironment,

  /** When a purchase is answered: after the script in Redis, or after Kafka acknowledged it. */
  DURABILITY: z.enum(['redis', 'kafka']).default('redis'),
  /** How long an accepted purchase waits for Kafka under DURABILITY=kafka before it is answered 503. */
  DURABILITY_TIMEOUT_MS: count(5_000, 60_000),

  DECISION_TIMEOUT_MS: count(2_000, 60_000),
  SALE_POLL_MS: count(750, 1_000),
  /** Winners of a sold-out sale kept in memory, for true answers without I/O. */
  WINNERS_LIMIT: count(100_000, 10_000_000),

  /** Events of a bucket on their way to `order` at once. More make smaller ones, which cost everybody behind them more. */
  RELAY_SHARDS: count(2, 256),
  RELAY_SWEEP_MS: count(500, 60_000),
  RELAY_CLAIM_IDLE_MS: count(5_000, 600_000),
  /** Partitions of the topic, when it does not exist yet. */
  RELAY_PARTITIONS: count(8, 256),
  RELAY_REPLICATION: count(1, 9),
  RELAY_TOPIC: z.string().default('seckill.orders'),

  RESULT_WAITERS: count(10_000, 1_000_000),
  RESULT_WAITERS_PER_BUYER: count(4, 100),
  RESULT_INTERVAL_MS: count(100, 5_000),
  LIVE_CLIENTS: count(1_000, 100_000),
  RECOVERY_GRACE_MS: count(3_000, 60_000),
  DRAIN_RELAY_MS: count(5_000, 60_000),
})

export type SeckillConfig = z.output<typeof configuration>
