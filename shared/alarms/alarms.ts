/**
 * Sets alarms. `seckill`, which never sleeps, rings them (`ringer.ts`).
 *
 * Whoever makes something due sets its alarm before the commit: an alarm for nothing does no harm, one that is missing leaves a
 * function asleep. When Redis does not answer nobody is held up: the alarm is remembered here and set as soon as it answers again. Were
 * this process to end before that, too, the task's schedule finds what is due.
 */
import type { Cluster, Redis } from 'ioredis'
import { LRUCache } from 'lru-cache'
import { alarmKeys, alarmOf, type AlarmKeys, type TaskName } from './alarm.ts'

export type AlarmsOptions = {
  redis: Redis | Cluster
  keys?: AlarmKeys
  /** Default `Date.now`. */
  now?: () => number
  /** How soon what Redis did not take is tried again; default 1,000. */
  retryMs?: number
  onFailure?: (error: unknown) => void
}

export type Alarms = {
  /**
   * The task is to run at `atMs` (ms since 1970; the past: at once), or up to a second later. Never rejects. Resolves with true when
   * Redis has the alarm; with false when it is only remembered in this process so far. `again`: also when this process has set it
   * before, because it may have rung since.
   */
  set(task: TaskName, atMs: number, options?: { again?: boolean }): Promise<boolean>
  /** Tries once more what is only remembered. */
  close(): Promise<void>
}

/** Alarms that wait for Redis. Each is a second of one task; more than this many are not remembered, the schedule has them. */
const maximumPending = 2_000
const maximumRemembered = 2_000
/** This process need not set again what it has set this long ago, unless it is about to ring: Redis may have forgotten it since. */
const rememberedMs = 60_000
/** Clocks differ, and commits take time: what is due so soon may have rung. */
const soonMs = 15_000

export function createAlarms(options: AlarmsOptions): Alarms {
  const { redis, keys = alarmKeys, now = Date.now, retryMs = 1_000, onFailure = () => {} } = options
  const remembered = new LRUCache<string, number>({ max: maximumRemembered })
  const pending = new Map<string, number>()
  let timer: NodeJS.Timeout | undefined
  let trying: Promise<void> | undefined

  const isRemembered = (alarm: string, dueAtMs: number): boolean => {
    const setAtMs = remembered.get(alarm)
    if (setAtMs === undefined) return false
    const nowMs = now()
    return dueAtMs - nowMs > soonMs && nowMs >= setAtMs && nowMs - setAtMs < rememberedMs
  }

  const tryPending = async (): Promise<void> => {
    const alarms = [...pending]
    if (alarms.length === 0) return
    try {
      await redis.zadd(keys.due, 'LT', ...alarms.flatMap(([alarm, dueAtMs]) => [dueAtMs, alarm]))
      for (const [alarm] of alarms) pending.delete(alarm)
    } catch (error) {
      onFailure(error)
    }
  }
  const retryLater = () => {
    // Must not keep a process alive that has nothing else to do.
    timer ??= setTimeout(() => {
      timer = undefined
      trying = tryPending().finally(() => {
        if (pending.size > 0) retryLater()
      })
    }, retryMs).unref()
  }

  return {
    async set(task, atMs, { again = false } = {}) {
      const { alarm, dueAtMs } = alarmOf(task, atMs)
      // Redis does not answer: nobody waits to hear it again.
      if (pending.has(alarm)) return false
      if (!again && isRemembered(alarm, dueAtMs)) return true
      const setAtMs = now()
      try {
        await redis.zadd(keys.due, 'LT', dueAtMs, alarm)
        remembered.set(alarm, setAtMs)
        return true
      } catch (error) {
        onFailure(error)
        if (pending.size < maximumPending) pending.set(alarm, dueAtMs)
        retryLater()
        return false
      }
    },
    async close() {
      clearTimeout(timer)
      await trying
      await tryPending()
      clearTimeout(timer)
      redis.disconnect()
    },
  }
}
