/**
 * One mistake for each kind of manifest, made in a manifest that is right otherwise (it comes from the overlays). A server that
 * takes it would take anything.
 */
import type { Manifest } from '../../cluster/manifest.ts'

export type Mistake = {
  /** `group/Kind`, for example `serving.knative.dev/Service`; the core group is `core`. */
  kind: string
  /** In words, for the report. */
  what: string
  /** The first manifest of the kind whose name it is; default: any. */
  name?: string
  make: (manifest: Manifest) => void
  /** Found in what the server says; the field or value that is wrong. */
  refusal: RegExp
}

type Free = Record<string, unknown>
const free = (value: unknown) => value as Free
/** The object at this path; numbers are positions in lists. */
const at = (manifest: Manifest, ...path: (string | number)[]): Free =>
  path.reduce<unknown>((value, key) => (value as Record<string | number, unknown>)[key], manifest) as Free

const template = (manifest: Manifest) => at(manifest, 'spec', 'template', 'metadata', 'annotations')
const container = (manifest: Manifest) => at(manifest, 'spec', 'template', 'spec', 'containers', 0)

export const mistakes: readonly Mistake[] = [
  {
    kind: 'core/Namespace',
    what: 'a label that is no label',
    make: ({ metadata }) => (metadata.labels!['app.kubernetes.io/part-of'] = 'not a label!'),
    refusal: /part-of|not a label/,
  },
  {
    kind: 'core/ConfigMap',
    what: 'a number instead of text',
    make: (manifest) => (free(manifest.data)['planted'] = 5),
    refusal: /planted|number|string/i,
  },
  {
    kind: 'core/ServiceAccount',
    what: 'text instead of yes or no',
    make: (manifest) => (free(manifest)['automountServiceAccountToken'] = 'never'),
    refusal: /automountServiceAccountToken|bool/,
  },
  {
    kind: 'core/ResourceQuota',
    what: 'an amount that is none',
    make: (manifest) => (at(manifest, 'spec', 'hard')['pods'] = 'many'),
    refusal: /quantit|pods/i,
  },
  {
    kind: 'core/LimitRange',
    what: 'a default above the maximum',
    make: (manifest) => (at(manifest, 'spec', 'limits', 0, 'default')['memory'] = '64Gi'),
    refusal: /memory|max/,
  },
  {
    kind: 'core/Service',
    what: 'a port that there cannot be',
    make: (manifest) => (at(manifest, 'spec', 'ports', 0)['port'] = 70_000),
    refusal: /port/,
  },
  {
    kind: 'rbac.authorization.k8s.io/Role',
    what: 'a rule without verbs',
    make: (manifest) => delete at(manifest, 'rules', 0)['verbs'],
    refusal: /verbs/,
  },
  {
    kind: 'networking.k8s.io/NetworkPolicy',
    what: 'a direction that there is not',
    make: (manifest) => (at(manifest, 'spec')['policyTypes'] = ['Sideways']),
    refusal: /policyTypes|Sideways/,
  },
  {
    kind: 'policy/PodDisruptionBudget',
    what: 'a minimum beside a maximum',
    make: (manifest) => (at(manifest, 'spec')['minAvailable'] = 1),
    refusal: /minAvailable|maxUnavailable/,
  },
  {
    kind: 'apps/Deployment',
    what: 'a selector that misses its own pods',
    make: (manifest) => (at(manifest, 'spec', 'selector', 'matchLabels')['app.kubernetes.io/name'] = 'other'),
    refusal: /selector/,
  },
  {
    kind: 'apps/StatefulSet',
    what: 'a field that there is not',
    make: (manifest) => (at(manifest, 'spec')['replica'] = 3),
    refusal: /replica/,
  },
  {
    kind: 'serving.knative.dev/Service',
    what: 'a window below six seconds',
    make: (manifest) => (template(manifest)['autoscaling.knative.dev/window'] = '2s'),
    refusal: /window/,
  },
  {
    kind: 'serving.knative.dev/Service',
    what: 'a field that there is not',
    make: (manifest) => (at(manifest, 'spec', 'template', 'spec')['concurrency'] = 5),
    refusal: /concurrency/,
  },
  {
    kind: 'serving.knative.dev/Service',
    what: 'more pods at least than at most',
    name: 'seckill',
    make: (manifest) => (template(manifest)['autoscaling.knative.dev/min-scale'] = '1000'),
    refusal: /max-?scale|min-?scale/i,
  },
  {
    kind: 'serving.knative.dev/Service',
    what: 'an annotation of the template on the Service',
    make: ({ metadata }) => (metadata.annotations = { 'autoscaling.knative.dev/min-scale': '1' }),
    refusal: /autoscaling.knative.dev\/min-scale/,
  },
  {
    kind: 'serving.knative.dev/Service',
    what: 'a privileged container',
    make: (manifest) => (free(container(manifest)['securityContext'])['privileged'] = true),
    refusal: /privileged/,
  },
  {
    kind: 'serving.knative.dev/DomainMapping',
    what: 'nothing that the name leads to',
    make: (manifest) => delete at(manifest, 'spec', 'ref')['name'],
    refusal: /name/,
  },
  {
    kind: 'networking.internal.knative.dev/ClusterDomainClaim',
    what: 'nobody who claims',
    make: (manifest) => delete at(manifest, 'spec')['namespace'],
    refusal: /namespace/,
  },
  {
    kind: 'eventing.knative.dev/Broker',
    what: 'a back-off that there is not',
    make: (manifest) => (at(manifest, 'spec', 'delivery')['backoffPolicy'] = 'random'),
    refusal: /backoffPolicy|random/,
  },
  {
    kind: 'eventing.knative.dev/Trigger',
    what: 'a filter in two dialects',
    make: (manifest) => (at(manifest, 'spec')['filters'] = [{ exact: { type: 'a' }, prefix: { type: 'a' } }]),
    refusal: /dialect|filters/,
  },
  {
    kind: 'eventing.knative.dev/Trigger',
    what: 'a field that there is not',
    make: (manifest) => (at(manifest, 'spec', 'subscriber')['audiences'] = ['a']),
    refusal: /audiences/,
  },
  {
    kind: 'eventing.knative.dev/KafkaSink',
    what: 'text instead of a number of partitions',
    make: (manifest) => (at(manifest, 'spec')['numPartitions'] = 'three'),
    refusal: /numPartitions/,
  },
  {
    kind: 'eventing.knative.dev/EventType',
    what: 'attributes that are no list',
    make: (manifest) => (at(manifest, 'spec')['attributes'] = 'type'),
    refusal: /attributes/,
  },
  {
    kind: 'eventing.knative.dev/EventPolicy',
    what: 'senders that are no list',
    make: (manifest) => (at(manifest, 'spec')['from'] = 'anyone'),
    refusal: /from/,
  },
  {
    kind: 'sources.knative.dev/KafkaSource',
    what: 'text instead of a number of consumers',
    make: (manifest) => (at(manifest, 'spec')['consumers'] = 'three'),
    refusal: /consumers/,
  },
  {
    kind: 'sources.knative.dev/PingSource',
    what: 'a schedule that is none',
    make: (manifest) => (at(manifest, 'spec')['schedule'] = 'now and then'),
    refusal: /schedule/,
  },
  {
    kind: 'keda.sh/ScaledObject',
    what: 'text instead of a number of pods',
    make: (manifest) => (at(manifest, 'spec')['maxReplicaCount'] = 'three'),
    refusal: /maxReplicaCount/,
  },
  {
    kind: 'monitoring.coreos.com/PodMonitor',
    what: 'an interval that is none',
    make: (manifest) => (at(manifest, 'spec', 'podMetricsEndpoints', 0)['interval'] = 'often'),
    refusal: /interval/,
  },
  {
    kind: 'monitoring.coreos.com/ServiceMonitor',
    what: 'a field that there is not',
    make: (manifest) => (at(manifest, 'spec')['endpoint'] = []),
    refusal: /endpoint/,
  },
]
