import type { AnyFunction } from '@stampede/shared/function/declaration.ts'
import { functionDestination, metadata } from './names.ts'

/** Seconds of a minute over which functions are spread. */
const spread = { fromSeconds: 4, toSeconds: 55 } as const

/**
 * Cron knows minutes only, and every minute many functions would wake up in the same second. The engine keeps the second of the
 * annotation; Knative's PingSource knows nothing of the kind and pings at the beginning of the minute.
 */
export const secondAnnotation = 'stampede.io/second'

/** @param order the functions as the collection has them: neighbours there get neighbouring seconds. */
export function pingSources(functions: readonly AnyFunction[], order: readonly AnyFunction[] = functions): object[] {
  const seconds = secondsOf(order)
  return functions.flatMap(({ name, schedules = [] }) =>
    schedules.map((schedule) => {
      const second = isSpread(schedule) ? seconds.get(name) : undefined
      return {
        apiVersion: 'sources.knative.dev/v1',
        kind: 'PingSource',
        metadata: metadata(
          `${name}-${schedule.task}`,
          second === undefined ? undefined : { [secondAnnotation]: String(second) },
        ),
        spec: {
          schedule: schedule.cron,
          timezone: 'UTC',
          contentType: 'application/json',
          data: JSON.stringify({ function: name, task: schedule.task }),
          sink: functionDestination(name),
        },
      }
    }),
  )
}

type FunctionSchedule = NonNullable<AnyFunction['schedules']>[number]

/** What runs once a day has a minute of its own already. */
const isSpread = ({ cron }: FunctionSchedule): boolean => cron.trim().split(/\s+/)[1] === '*'

/**
 * One second for each function, whatever it has to do: it wakes up once for all of it. In the order of the collection, where functions
 * that call each other are neighbours: who is awake for a neighbour is asked while it is.
 */
function secondsOf(functions: readonly AnyFunction[]): Map<string, number> {
  const names = functions.filter(({ schedules = [] }) => schedules.some(isSpread)).map(({ name }) => name)
  const { fromSeconds, toSeconds } = spread
  const step = (toSeconds - fromSeconds) / Math.max(1, names.length)
  return new Map(names.map((name, index) => [name, Math.floor(fromSeconds + index * step)]))
}
