/**
 * Rings what is due: takes alarms under a lease, publishes an event for each task, and only then forgets them. Whatever dies in
 * between, the lease ends and the alarm rings again. Many processes may ring beside each other.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Redis } from 'ioredis'
import type { Logger } from 'pino'
import { Counter, Histogram, type Registry } from 'prom-client'
import { alarmDue } from '@stampede/eventing/catalogue/alarm-events.ts'
import { endAlarms, recallAlarms, takeAlarms } from '@stampede/lua/generated/scripts.ts'
import { toCloudEvent, type Publish } from '../events/publish.ts'
import { runScript } from '../redis/run-script.ts'
import { alarmKeys, readAlarm, type AlarmKeys, type TaskName } from './alarm.ts'

export type RingerOptions = {
  /** A connection for this alone. */
  redis: Redis | Cluster
  publish: Publish
  /** All tasks that can have alarms, by function. */
  tasks: readonly (readonly TaskName[])[]
  log: Pick<Logger, 'info' | 'warn' | 'error'>
  metrics: Registry
  /** Aborted: no more is taken. */
  draining: AbortSignal
  keys?: AlarmKeys
  /** How often is looked, about; default 1,000. */
  everyMs?: number
  /** How long what was taken is nobody else's; default 30,000. */
  leaseMs?: number
  /** Alarms that are taken at once; default 100. */
  limit?: number
  /** Default `Math.random`. */
  random?: () => number
}

export type Ringer = {
  /** One look. Resolves with the number of alarms that were taken. Rejects when Redis or the broker does not answer. */
  ring(): Promise<number>
  /** Ends when what was taken has rung. */
  stop(): Promise<void>
}

/** Between the functions that are called when Redis may have forgotten alarms, so that not all of them wake up in one second. */
const recallPauseMs = 500
/** What the broker did not take rings again after this. */
const againMs = 2_000

export function createRinger(options: RingerOptions): Ringer & { start(): void } {
  const { redis, publish, log, keys = alarmKeys, random = Math.random } = options
  const { everyMs = 1_000, leaseMs = 30_000, limit = 100 } = options
  const metrics = ringerMetrics(options.metrics)
  const stopping = new AbortController()
  const signal = AbortSignal.any([options.draining, stopping.signal])
  let running: Promise<void> | undefined
  let failing = false

  const recall = async () => {
    const groups = options.tasks.map((tasks) => tasks.join(' ')).join('\n')
    const said = await runScript(redis, recallAlarms, [keys.due, keys.run, groups, recallPauseMs])
    if (said === 1) log.info('this Redis may have forgotten alarms: every task looks what it has to do')
  }

  /** Rings the alarms of one task with one event. */
  const ringTask = async (lease: string, { functionName, task, dueAtMs, alarms }: RingingTask): Promise<void> => {
    const event = toCloudEvent({
      definition: alarmDue,
      subject: functionName,
      // The same for all who ring it.
      id: `${functionName}/${task}@${dueAtMs ?? lease}`,
      data: { function: functionName, task, dueAt: new Date(dueAtMs ?? Date.now()).toISOString() },
    })
    try {
      await publish(event)
    } catch (error) {
      // Sooner than the lease ends. Due first: were this process to die in between, it would ring twice.
      const atMs = Date.now() + againMs
      await redis.zadd(keys.due, 'LT', ...alarms.flatMap((alarm) => [atMs, alarm])).catch(() => {})
      await end(lease, alarms).catch(() => {})
      throw error
    }
    metrics.rung.inc({ task: `${functionName}/${task}` })
    if (dueAtMs !== undefined) metrics.lateSeconds.observe(Math.max(0, (Date.now() - dueAtMs) / 1_000))
    await end(lease, alarms)
  }
  const end = (lease: string, alarms: readonly string[]) =>
    runScript(redis, endAlarms, [keys.ringing, lease, alarms.join(' ')])

  const ring = async (): Promise<number> => {
    const reply = await runScript(redis, takeAlarms, [keys.due, keys.ringing, keys.run, limit, leaseMs])
    const [isKnown, lease, ...alarms] = reply as [number, string, ...string[]]
    const { tasks, unreadable } = byTask(alarms)
    if (unreadable.length > 0) {
      log.error({ alarms: unreadable }, 'these are no alarms')
      await end(lease, unreadable)
    }
    const outcomes = await Promise.allSettled(tasks.map((task) => ringTask(lease, task)))
    if (isKnown !== 1) await recall()
    const failed = outcomes.filter((outcome) => outcome.status === 'rejected')
    if (failed.length > 0) throw failed[0]!.reason
    return alarms.length
  }

  const loop = async (): Promise<void> => {
    for (;;) {
      let taken = 0
      try {
        taken = await ring()
        // A look that finds nothing says nothing about the broker.
        if (failing && taken > 0) {
          log.info('alarms ring again')
          failing = false
        }
      } catch (error) {
        metrics.failures.inc()
        // Once: while the broker or Redis is away it would come every second.
        if (!failing) log.error({ err: error }, 'alarms cannot ring; it is tried again')
        failing = true
      }
      if (signal.aborted) return
      // There may be more. Else not all processes at the same moment.
      if (taken < limit) await sleep(everyMs * (0.5 + random()), undefined, { signal }).catch(() => {})
      if (signal.aborted) return
    }
  }

  return {
    ring,
    start() {
      running ??= loop()
    },
    async stop() {
      stopping.abort()
      await running
      redis.disconnect()
    },
  }
}

type RingingTask = { functionName: string; task: string; dueAtMs: number | undefined; alarms: string[] }

function byTask(alarms: readonly string[]): { tasks: RingingTask[]; unreadable: string[] } {
  const tasks = new Map<string, RingingTask>()
  const unreadable: string[] = []
  for (const alarm of alarms) {
    const read = readAlarm(alarm)
    if (!read) {
      unreadable.push(alarm)
      continue
    }
    const key = `${read.functionName}/${read.task}`
    const known = tasks.get(key) ?? { ...read, alarms: [] }
    tasks.set(key, known)
    known.alarms.push(alarm)
    known.dueAtMs = Math.min(known.dueAtMs ?? Infinity, read.dueAtMs ?? Infinity)
    if (known.dueAtMs === Infinity) known.dueAtMs = undefined
  }
  return { tasks: [...tasks.values()], unreadable }
}

function ringerMetrics(registry: Registry) {
  const registers = [registry]
  return {
    rung: new Counter({
      name: 'alarms_rung_total',
      help: 'Alarms that were published, by task.',
      labelNames: ['task'],
      registers,
    }),
    failures: new Counter({
      name: 'alarm_failures_total',
      help: 'Looks for alarms that failed, because Redis or the broker did not answer.',
      registers,
    }),
    lateSeconds: new Histogram({
      name: 'alarm_late_seconds',
      help: 'Time from when an alarm was due to when the broker had its event.',
      buckets: [0.5, 1, 2, 5, 15, 60, 300, 3_600],
      registers,
    }),
  }
}
