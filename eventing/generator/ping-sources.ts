import type { AnyFunction } from '@stampede/shared/function/declaration.ts'
import { functionDestination, metadata } from './names.ts'

export function pingSources(functions: readonly AnyFunction[]): object[] {
  return functions.flatMap(({ name, schedules = [] }) =>
    schedules.map(({ task, cron }) => ({
      apiVersion: 'sources.knative.dev/v1',
      kind: 'PingSource',
      metadata: metadata(`${name}-${task}`),
      spec: {
        schedule: cron,
        timezone: 'UTC',
        contentType: 'application/json',
        data: JSON.stringify({ function: name, task }),
        sink: functionDestination(name),
      },
    })),
  )
}
