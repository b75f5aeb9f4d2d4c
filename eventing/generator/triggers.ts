import type { AnyFunction } from '@stampede/shared/function/declaration.ts'
import { brokerName, functionDestination, metadata, scaling } from './names.ts'
import { triggerGroups } from './subscriptions.ts'

export function triggers(functions: readonly AnyFunction[]): object[] {
  return triggerGroups(functions).map(({ name, functionName, ordered, types, subject }) => ({
    apiVersion: 'eventing.knative.dev/v1',
    kind: 'Trigger',
    metadata: metadata(name, {
      'kafka.eventing.knative.dev/delivery.order': ordered ? 'ordered' : 'unordered',
      ...scaling({ maximum: 12, lagThreshold: 100 }),
    }),
    spec: {
      broker: brokerName,
      filters: anyOf(types.map((type) => exactly(type, subject))),
      subscriber: functionDestination(functionName),
    },
  }))
}

const anyOf = (filters: readonly object[]) => (filters.length === 1 ? filters : [{ any: filters }])

const exactly = (type: string, subject?: string) => ({ exact: { type, ...(subject === undefined ? {} : { subject }) } })
