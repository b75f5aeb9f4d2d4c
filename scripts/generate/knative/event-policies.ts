/**
 * Who may send where, for the official data plane with `authentication-oidc` enabled. Functions check deliveries by themselves (the
 * token's audience is the function); these policies are for what Knative receives: the Broker and the sinks.
 */
import { brokerName } from '@stampede/eventing/generator/names.ts'
import { sourceGroups, triggerGroups } from '@stampede/eventing/generator/subscriptions.ts'
import type { AnyFunction } from '@stampede/shared/function/declaration.ts'
import { namespace } from './names.ts'

export function eventPolicies(functions: readonly AnyFunction[]): object[] {
  const publishers = functions.map(({ name }) => ({ sub: `system:serviceaccount:${namespace}:${name}` }))
  const triggers = triggerGroups(functions).map(({ name }) => ({
    ref: { apiVersion: 'eventing.knative.dev/v1', kind: 'Trigger', name, namespace },
  }))
  const sources = sourceGroups(functions).map(({ name }) => ({
    ref: { apiVersion: 'sources.knative.dev/v1', kind: 'KafkaSource', name, namespace },
  }))
  return [
    policy('broker', publishers, { apiVersion: 'eventing.knative.dev/v1', kind: 'Broker', name: brokerName }),
    // Dead letters come from what delivers.
    policy('dead-letter', [...triggers, ...sources], {
      apiVersion: 'eventing.knative.dev/v1alpha1',
      kind: 'KafkaSink',
      name: 'dead-letter',
    }),
    // The relay writes to the topic with Kafka's own protocol; over HTTP only the same function may.
    policy('seckill-orders', [{ sub: `system:serviceaccount:${namespace}:seckill` }], {
      apiVersion: 'eventing.knative.dev/v1alpha1',
      kind: 'KafkaSink',
      name: 'seckill-orders',
    }),
  ]
}

const policy = (name: string, from: object[], to: { apiVersion: string; kind: string; name: string }): object => ({
  apiVersion: 'eventing.knative.dev/v1alpha1',
  kind: 'EventPolicy',
  metadata: {
    name,
    namespace,
    labels: { 'app.kubernetes.io/part-of': 'stampede', 'app.kubernetes.io/managed-by': 'generate' },
  },
  spec: { from, to: [{ ref: to }] },
})
