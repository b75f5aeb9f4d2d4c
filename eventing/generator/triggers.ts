import type { AnyFunction } from '@stampede/shared/function/declaration.ts'
import { brokerName, functionDestination, metadata, scaling } from './names.ts'
import { triggerGroups } from './subscriptions.ts'

export function triggers(functions: readonly AnyFunction[]): object[] {
  return triggerGroups(functions).map(({ name, functionName, ordered, types }) => ({
    apiVersion: 'eventing.knative.dev/v1',
    kind: 'Trigger',
    metadata: metadata(name, {
      'kafka.eventing.knative.dev/delivery.order': ordered ? 'ordered' : 'unordered',
      ...scaling({ maximum: 12, lagThreshold: 100 }),
    }),
    spec: {
      broker: brokerName,
      filters: types.length === 1 ? [exactly(types[0]!)] : [{ any: types.map(exactly) }],
      subscriber: functionDestination(functionName),
    },
  }))
}

const exactly = (type: string) => ({ exact: { type } })
