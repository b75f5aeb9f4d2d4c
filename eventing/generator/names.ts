/** Names and references that all generated manifests share. */
export const namespace = 'stampede'
export const brokerName = 'default'

/** `io.stampede.order.created.v1` → `order-created-v1`. */
export const shortName = (type: string): string => type.replace(/^io\.stampede\./, '').replaceAll('.', '-')

/** A topic as part of a Kubernetes name. */
export const topicName = (topic: string): string => topic.toLowerCase().replaceAll(/[^a-z0-9-]+/g, '-')

/** Where the brokers are unless an overlay says otherwise; the local engine uses its own. */
export const bootstrapServers = 'kafka.infra.svc.cluster.local:9092'

/**
 * A function as a destination. Where `authentication-oidc` is enabled, deliveries carry a token of the sender's service account
 * for exactly this audience, so that what one function was sent cannot be sent on to another. Elsewhere it means nothing.
 */
export const functionDestination = (name: string) => ({
  ref: { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name },
  audience: audienceOf(name),
})
export const audienceOf = (functionName: string): string => `${namespace}/${functionName}`

/** The same for every source: a Trigger takes it from the Broker, a source has to say it itself. */
export const delivery = {
  retry: 10,
  backoffPolicy: 'exponential',
  backoffDelay: 'PT0.2S',
  timeout: 'PT30S',
  deadLetterSink: { ref: { apiVersion: 'eventing.knative.dev/v1alpha1', kind: 'KafkaSink', name: 'dead-letter' } },
} as const

/**
 * KEDA scales consumers by lag where `config-kafka-features` says `controller-autoscaler-keda: enabled`. At least one stays, so
 * that the first event of a sale waits for nothing. `activation-lag-threshold` (0 ↔ 1) only matters once somebody sets min-scale
 * to 0; the official controller copies it to its consumer groups and does not hand it to KEDA yet, whose own default is 0 as well.
 */
export const scaling = (options: { maximum: number; lagThreshold: number }) => ({
  'autoscaling.eventing.knative.dev/class': 'keda.autoscaling.knative.dev',
  'autoscaling.eventing.knative.dev/min-scale': '1',
  'autoscaling.eventing.knative.dev/max-scale': String(options.maximum),
  'autoscaling.eventing.knative.dev/polling-interval': '5',
  'autoscaling.eventing.knative.dev/cooldown-period': '60',
  'autoscaling.eventing.knative.dev/lag-threshold': String(options.lagThreshold),
  'autoscaling.eventing.knative.dev/activation-lag-threshold': '0',
})

export const metadata = (name: string, annotations?: Record<string, string>) => ({
  name,
  namespace,
  labels: { 'app.kubernetes.io/part-of': 'stampede', 'app.kubernetes.io/managed-by': 'generate' },
  ...(annotations ? { annotations } : {}),
})
