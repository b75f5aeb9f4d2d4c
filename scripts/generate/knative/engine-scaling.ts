/** KEDA scales the local engine by the lag of the consumer groups that it runs: their names and thresholds are the engine's own. */
import { consumerGroups, type ConsumerGroup } from '@stampede/eventing/engine/groups.ts'
import { readManifests } from '@stampede/eventing/engine/load-manifests.ts'
import { namespace } from './names.ts'

const engineName = 'eventing-engine'

export async function engineScaling(manifests: string): Promise<object> {
  const groups = consumerGroups(await readManifests(manifests))
  return {
    apiVersion: 'keda.sh/v1alpha1',
    kind: 'ScaledObject',
    metadata: {
      name: engineName,
      namespace,
      labels: {
        'app.kubernetes.io/name': engineName,
        'app.kubernetes.io/component': 'eventing',
        'app.kubernetes.io/part-of': 'stampede',
        'app.kubernetes.io/managed-by': 'generate',
      },
    },
    spec: {
      scaleTargetRef: { name: engineName },
      // Never zero: it is also the address that functions publish to, and it keeps the schedules.
      minReplicaCount: 1,
      maxReplicaCount: 3,
      advanced: {
        horizontalPodAutoscalerConfig: {
          behavior: {
            // Each new member makes all groups share out their partitions again, which stops them for a moment: not often.
            scaleDown: { stabilizationWindowSeconds: 300, policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }] },
            scaleUp: { stabilizationWindowSeconds: 0, policies: [{ type: 'Pods', value: 1, periodSeconds: 15 }] },
          },
        },
      },
      triggers: groups.flatMap((group) => group.topics.map((topic) => lagTrigger(group, topic))),
    },
  }
}

const lagTrigger = ({ consumer, groupId, scaling }: ConsumerGroup, topic: string): object => ({
  type: 'kafka',
  metadata: {
    // From the engine's own container, so that there is one place for the address.
    bootstrapServersFromEnv: 'KAFKA_BROKERS',
    consumerGroup: groupId,
    topic,
    lagThreshold: scaling['lag-threshold'] ?? '100',
    // As the engine's groups start: new Triggers are for what comes, sources for all that is there.
    offsetResetPolicy: consumer.startsWith('source/') ? 'earliest' : 'latest',
  },
})
