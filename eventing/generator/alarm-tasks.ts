import { accessWriters } from '@stampede/shared/access/writers.ts'
import { taskName } from '@stampede/shared/alarms/alarm.ts'
import type { AnyFunction } from '@stampede/shared/function/declaration.ts'

/**
 * All tasks that have alarms, by function: whoever rings them calls all of them when Redis may have forgotten what is due. Those without
 * which nobody may do anything first.
 */
export function alarmTasks(functions: readonly AnyFunction[]): string[][] {
  const groups = functions
    .map(({ name, schedules = [] }) =>
      schedules.filter(({ options }) => options.alarm === true).map(({ task }) => taskName(name, task)),
    )
    .filter((tasks) => tasks.length > 0)
  const isWriter = (tasks: readonly string[]) =>
    tasks.some((task) => (accessWriters as readonly string[]).includes(task))
  return [...groups.filter(isWriter), ...groups.filter((tasks) => !isWriter(tasks))]
}
