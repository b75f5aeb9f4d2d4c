/**
 * An alarm says: this task of this function has something to do at this moment. Each moment is an alarm of its own, so that one that
 * rings takes no other with it.
 */

/** One hash tag: an alarm moves from one key to the other in one step, in a cluster too. */
export const alarmKeys = {
  /** Sorted set: alarm → when it is due, ms. */
  due: '{alarms}:due',
  /** Sorted set: alarm that is being rung → until when it is leased, ms. */
  ringing: '{alarms}:ringing',
  /** The Redis process that is known to have all alarms. */
  run: '{alarms}:run',
} as const

/** Whoever owns alarms by other keys (tests on a shared Redis) hands them in. */
export type AlarmKeys = Record<keyof typeof alarmKeys, string>

/** A task with its function: `order/cancel-overdue`. */
export type TaskName = `${string}/${string}`

export const taskName = (functionName: string, task: string): TaskName => `${functionName}/${task}`

/** Moments of the same second are one alarm: it rings when the second is over. */
const granularityMs = 1_000

/** Name and score of an alarm in the sorted set. Never before `atMs`, and less than a second after it. */
export function alarmOf(task: TaskName, atMs: number): { alarm: string; dueAtMs: number } {
  const dueAtMs = Math.max(0, Math.ceil(atMs / granularityMs)) * granularityMs
  return { alarm: `${task}@${dueAtMs}`, dueAtMs }
}

/** What an alarm says. Without a moment (see `recall-alarms.lua`) it is `undefined`: due at any time. */
export function readAlarm(
  alarm: string,
): { functionName: string; task: string; dueAtMs: number | undefined } | undefined {
  const [, functionName, task, dueAt] =
    /^([a-z][a-z0-9-]{0,63})\/([a-z][a-z0-9-]{0,63})(?:@(\d{1,15}))?$/.exec(alarm) ?? []
  if (functionName === undefined || task === undefined) return undefined
  return { functionName, task, dueAtMs: dueAt === undefined ? undefined : Number(dueAt) }
}
