/** Work that time starts: by a schedule, and by an alarm when something is due. */
import type { TaskName } from '../alarms/alarm.ts'

/** Work that a PingSource starts; `cron` has five fields, in UTC. The PingSource's data is `{ function, task }`. */
export type Schedule<Dependencies> = {
  task: string
  cron: string
  /** With an alarm it may say when it is to run next, in ms since 1970, as far as that is known. */
  run: (dependencies: Dependencies) => Promise<number | void>
  options: ScheduleOptions
}

export type ScheduleOptions = {
  /**
   * Runs also when its alarm rings (`HostServices.alarms`), which is when it has something to do; the schedule is a safety net then,
   * once an hour. A run that fails is tried again by an alarm.
   */
  alarm?: boolean
}

/** Alarms of a function's own tasks, and of one that another function has because of what is done here. */
export type FunctionAlarms = {
  /**
   * The task is to run at this moment (ms since 1970), or up to a second later. Called before the commit of what makes it due, as
   * `beforeCommit` does. Never rejects: see `shared/alarms/alarms.ts`.
   */
  set: (task: string, atMs: number) => Promise<void>
  /** The same for what is committed in the next seconds: it does not ring before that, and would find nothing. */
  beforeCommit: (task: string, atMs: number) => Promise<void>
  /** As `set`, for a task of another function. */
  ofOther: (task: TaskName, atMs: number) => Promise<void>
}

export function every<Dependencies>(
  task: string,
  cron: string,
  run: (dependencies: Dependencies) => Promise<number | void>,
  options: ScheduleOptions = {},
): Schedule<Dependencies> {
  return { task, cron, run, options }
}
