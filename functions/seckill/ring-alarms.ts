/** Rings the alarms of all functions: this one never sleeps. On a connection of its own, about once a second in each process. */
import tasks from '@stampede/eventing/generated/alarm-tasks.json' with { type: 'json' }
import type { TaskName } from '@stampede/shared/alarms/alarm.ts'
import { createRinger, type Ringer } from '@stampede/shared/alarms/ringer.ts'
import { createPublisher } from '@stampede/shared/events/publish.ts'
import { tokenFromFile } from '@stampede/shared/events/sink-token.ts'
import type { HostServices } from '@stampede/shared/function/declaration.ts'
import { createServiceTokens, platformTenant } from '@stampede/shared/identity/service-token.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import type { SeckillConfig } from './config.ts'

/** Far below the lease: an alarm that somebody still rings is nobody else's. */
const publishTimeoutMs = 5_000
const redisTimeoutMs = 2_000

/** Undefined: not in this process. */
export function ringAlarms(config: SeckillConfig, host: HostServices): Pick<Ringer, 'stop'> | undefined {
  if (config.ALARM_LOOK_MS === 0) return undefined
  const { K_SINK_TOKEN_FILE: tokenFile, SERVICE_SECRET: secret } = config
  const tokens = secret === undefined ? undefined : createServiceTokens({ secret, service: host.name })
  const token = tokenFile ? tokenFromFile(tokenFile) : tokens && (() => tokens(platformTenant))
  const ringer = createRinger({
    redis: connectRedis(config.REDIS_URL, {
      connectionName: 'seckill-alarms',
      queueWhileDisconnected: false,
      commandTimeoutMs: redisTimeoutMs,
    }),
    publish: createPublisher({ sink: config.K_SINK, timeoutMs: publishTimeoutMs, ...(token ? { token } : {}) }),
    tasks: tasks as TaskName[][],
    log: host.log,
    metrics: host.metrics,
    draining: host.draining,
    everyMs: config.ALARM_LOOK_MS,
  })
  ringer.start()
  return ringer
}
