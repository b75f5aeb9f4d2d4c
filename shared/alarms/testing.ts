/** Alarms of one test in the Redis that all tests share: under keys of its own. */
import { randomBytes } from 'node:crypto'
import type { ExecutionContext } from 'ava'
import type { Cluster, Redis } from 'ioredis'
import { connectRedis } from '../redis/connect.ts'
import { serviceAddresses } from '../testing/services.ts'
import type { AlarmKeys } from './alarm.ts'

export type OwnAlarms = {
  redis: Redis | Cluster
  keys: AlarmKeys
  redisNowMs(): Promise<number>
  put(key: 'due' | 'ringing', alarms: Record<string, number>): Promise<void>
  get(key: 'due' | 'ringing'): Promise<Record<string, number>>
}

export function startOwnAlarms(t: ExecutionContext, url = serviceAddresses().redisUrl): OwnAlarms {
  const redis = connectRedis(url)
  const tag = `{alarms-test-${randomBytes(6).toString('hex')}}`
  const keys = { due: `${tag}:due`, ringing: `${tag}:ringing`, run: `${tag}:run` }
  t.teardown(async () => {
    await redis.del(...Object.values(keys)).catch(() => {})
    redis.disconnect()
  })
  return {
    redis,
    keys,
    redisNowMs: async () => {
      const [seconds, micros] = await redis.time()
      return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
    },
    put: async (key, alarms) => {
      await redis.zadd(keys[key], ...Object.entries(alarms).flatMap(([alarm, atMs]) => [String(atMs), alarm]))
    },
    get: async (key) => {
      const found = await redis.zrange(keys[key], '0', '-1', 'WITHSCORES')
      const entries = found.flatMap((value, index) => (index % 2 === 0 ? [[value, Number(found[index + 1])]] : []))
      return Object.fromEntries(entries) as Record<string, number>
    },
  }
}
