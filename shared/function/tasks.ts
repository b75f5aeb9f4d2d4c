/** Runs the tasks of schedules: when a PingSource says so, and when an alarm rings. */
import { alarmDue } from '@stampede/eventing/catalogue/alarm-events.ts'
import { gridAfter } from '../alarms/grid.ts'
import { taskName, type TaskName } from '../alarms/alarm.ts'
import { Problem } from '../http/problem.ts'
import type { Schedule } from './declaration.ts'
import type { Work } from './events.ts'
import type { Host, Mounted } from './host.ts'

export const pingType = 'dev.knative.sources.ping'
export const taskTypes: ReadonlySet<string> = new Set([pingType, alarmDue.type])

/** A task of every function that has alarms: it does nothing. A function that wakes up does what it always does at its start. */
export const wakeTask = 'wake'

/** When a run that failed is tried again. */
const failedAgainMs = 20_000

export type TaskPlanner = (mounted: readonly Mounted[], type: string, data: unknown) => Work

export function createTaskPlanner(host: Host): TaskPlanner {
  const running = new Map<string, Rounds>()

  return (mounted, type, data) => {
    const { function: name, task } = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>
    const owner = mounted.find(({ definition }) => definition.name === name)
    const schedules = (owner?.definition.schedules ?? []) as readonly Schedule<unknown>[]
    const withAlarm = schedules.filter(({ options }) => options.alarm === true)
    if (owner && type === alarmDue.type && task === wakeTask && withAlarm.length > 0)
      return { owner, label: owner.definition.name, run: async () => {} }
    const schedule = (type === alarmDue.type ? withAlarm : schedules).find((candidate) => candidate.task === task)
    if (!owner || !schedule) throw new Problem('invalid-request', 'There is no such scheduled task.')
    const key = taskName(owner.definition.name, schedule.task)
    if (schedule.options.alarm !== true) return { owner, label: key, run: () => runOrSkip(owner, schedule, key) }
    return {
      owner,
      label: key,
      run: () => runAndGoOn(owner, schedule, key),
      failed: async () =>
        (await host.alarms.set(key, gridAfter(Date.now(), failedAgainMs), { again: true })) && type === alarmDue.type,
    }
  }

  /** A task that takes longer than its interval is not started a second time beside itself. */
  async function runOrSkip(owner: Mounted, schedule: Schedule<unknown>, key: string): Promise<void> {
    if (running.has(key)) {
      owner.log.warn({ task: schedule.task }, 'the scheduled task still runs; this round is skipped')
      return
    }
    const current = schedule.run(owner.dependencies)
    running.set(key, { current })
    await current.finally(() => running.delete(key))
  }

  /** What is due now may have been looked for before it was there: one more round follows, for everybody who asks meanwhile. */
  async function runAndGoOn(owner: Mounted, schedule: Schedule<unknown>, key: TaskName): Promise<void> {
    const round = async (): Promise<void> => {
      const nextMs = await schedule.run(owner.dependencies)
      if (typeof nextMs === 'number') await host.alarms.set(key, nextMs, { again: true })
    }
    const start = async (): Promise<void> => {
      const own: Rounds = { current: round() }
      running.set(key, own)
      try {
        await own.current
      } finally {
        // The round that follows has taken its place.
        if (running.get(key) === own && !own.next) running.delete(key)
      }
    }
    const rounds = running.get(key)
    if (!rounds) return start()
    rounds.next ??= rounds.current.then(start, start)
    await rounds.next
  }
}

/** The round of a task that runs, and the one that follows. */
type Rounds = { current: Promise<unknown>; next?: Promise<unknown> }
