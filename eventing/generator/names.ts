/** Names and references that all generated manifests share. */
export const namespace = 'stampede'
export const brokerName = 'default'

/** `io.stampede.order.created.v1` → `order-created-v1`. */
export const shortName = (type: string): string => type.replace(/^io\.stampede\./, '').replaceAll('.', '-')

/** A topic as part of a Kubernetes name. */
export const topicName = (topic: string): string => topic.toLowerCase().replaceAll(/[^a-z0-9-]+/g, '-')

export const serviceReference = (name: string) => ({
  ref: { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name },
})

/** The same for every source: a Trigger takes it from the Broker, a source has to say it itself. */
export const delivery = {
  retry: 10,
  backoffPolicy: 'exponential',
  backoffDelay: 'PT0.2S',
  timeout: 'PT30S',
  deadLetterSink: { ref: { apiVersion: 'eventing.knative.dev/v1alpha1', kind: 'KafkaSink', name: 'dead-letter' } },
} as const

/** KEDA scales consumers by lag; see `config-kafka-features`. At least one stays, so that the first event of a sale waits for nothing. */
export const scaling = (options: { maximum: number; lagThreshold: number }) => ({
  'autoscaling.eventing.knative.dev/min-scale': '1',
  'autoscaling.eventing.knative.dev/max-scale': String(options.maximum),
  'autoscaling.eventing.knative.dev/polling-interval': '5',
  'autoscaling.eventing.knative.dev/cooldown-period': '60',
  'autoscaling.eventing.knative.dev/lag-threshold': String(options.lagThreshold),
})

export const metadata = (name: string, annotations?: Record<string, string>) => ({
  name,
  namespace,
  labels: { 'app.kubernetes.io/part-of': 'stampede', 'app.kubernetes.io/managed-by': 'generate' },
  ...(annotations ? { annotations } : {}),
})
