import type { Cluster, Redis } from 'ioredis'
import { alarmKeys, readAlarm, type TaskName } from '../alarms/alarm.ts'
import { connectRedis } from '../redis/connect.ts'
import { serviceAddresses } from './services.ts'

/**
 * When a task is to run, ms, the earliest first, as Redis has it now. Tests share the Redis of the run: an alarm that is there may be
 * another test's, so look for a moment that is your own.
 */
export async function alarmsSet(
  task: TaskName,
  redis: Redis | Cluster | string = serviceAddresses().redisUrl,
): Promise<number[]> {
  const client = typeof redis === 'string' ? connectRedis(redis) : redis
  try {
    const alarms = (await client.zrange(alarmKeys.due, '0', '-1')).map(readAlarm)
    return alarms.flatMap((alarm) =>
      alarm?.dueAtMs !== undefined && `${alarm.functionName}/${alarm.task}` === task ? [alarm.dueAtMs] : [],
    )
  } finally {
    if (typeof redis === 'string') client.disconnect()
  }
}

const waitLimitMs = 10_000

/**
 * Those of the task's alarms that are the test's own, as soon as there is one: when Redis is slow to answer, an alarm is set a little
 * after what it is for. Throws after 10 seconds.
 */
export async function ownAlarms(
  task: TaskName,
  isOwn: (atMs: number) => boolean,
  redis?: Redis | Cluster | string,
): Promise<number[]> {
  const untilMs = performance.now() + waitLimitMs
  for (;;) {
    const all = await alarmsSet(task, redis)
    const own = all.filter(isOwn)
    if (own.length > 0) return own
    if (performance.now() > untilMs) throw new Error(`no alarm of ${task} is the test's own: ${JSON.stringify(all)}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
