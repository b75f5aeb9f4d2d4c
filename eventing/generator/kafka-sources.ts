import type { AnyFunction } from '@stampede/shared/function/declaration.ts'
import { bootstrapServers, delivery, functionDestination, metadata, scaling } from './names.ts'
import { sourceGroups } from './subscriptions.ts'

/** As many as the topic has partitions at most; KEDA sets the number between the limits. */
const maximumConsumers = 8

export function kafkaSources(functions: readonly AnyFunction[]): object[] {
  return sourceGroups(functions).map(({ name, functionName, topic, ordered }) => ({
    apiVersion: 'sources.knative.dev/v1',
    kind: 'KafkaSource',
    // An event carries up to a few hundred purchases, so a short queue is much work already.
    metadata: metadata(name, scaling({ maximum: maximumConsumers, lagThreshold: 20 })),
    spec: {
      bootstrapServers: [bootstrapServers],
      topics: [topic],
      consumerGroup: `stampede-${functionName}-${name}`,
      consumers: 1,
      initialOffset: 'earliest',
      ordering: ordered ? 'ordered' : 'unordered',
      sink: functionDestination(functionName),
      delivery,
    },
  }))
}
