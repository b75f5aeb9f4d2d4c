/**
 * The kinds that the engine runs, as strict schemas: a field that the engine does not know is reported and not ignored,
 * because a manifest that means something else on a cluster than here would make this engine worthless.
 * Fields that only concern a cluster (addresses, replicas) are known and have no effect here; they say so.
 */
import { z } from 'zod'
import { parseDuration } from './duration.ts'

const dnsLabel = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'is not a DNS label (lower case, digits, "-", at most 63)')
const metadata = z.strictObject({
  name: dnsLabel,
  namespace: dnsLabel.default('default'),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).default({}),
})

const duration = z
  .string()
  .refine((text) => parseDuration(text) !== undefined, 'is not an ISO 8601 duration such as PT0.5S, of at most 24 days')

const reference = z.strictObject({
  apiVersion: z.string(),
  kind: z.enum(['Service', 'Broker', 'KafkaSink'], 'only Service, Broker and KafkaSink can be referred to'),
  name: dnsLabel,
  namespace: dnsLabel.optional(),
})
export type Reference = z.output<typeof reference>

const destination = z
  .strictObject({
    ref: reference.optional(),
    uri: z.string().optional(),
    /** Official broker only, for its OIDC tokens: the tokens of this engine are for every function. */
    audience: z.string().min(1).max(1_000).optional(),
    /** Official broker only: here a certificate is checked against those that Node trusts. */
    CACerts: z.string().optional(),
  })
  .refine(
    ({ ref, uri }) => ref !== undefined || (uri !== undefined && URL.canParse(uri)),
    'needs a ref or an absolute uri',
  )
export type Destination = z.output<typeof destination>

export const deliverySpec = z.strictObject({
  deadLetterSink: destination.optional(),
  retry: z.int().min(0).max(1_000).optional(),
  backoffPolicy: z.enum(['linear', 'exponential']).optional(),
  backoffDelay: duration.optional(),
  timeout: duration.optional(),
  retryAfterMax: duration.optional(),
})
export type DeliverySpec = z.output<typeof deliverySpec>

const attributeValues = z
  .record(z.string().regex(/^[a-z0-9]+$/, 'is not an attribute name (lower-case letters and digits)'), z.string())
  .refine((values) => Object.keys(values).length > 0, 'needs an attribute')

type Expression =
  | { exact: Record<string, string> }
  | { prefix: Record<string, string> }
  | { suffix: Record<string, string> }
  | { all: Expression[] }
  | { any: Expression[] }
  | { not: Expression }
const dialects = ['exact', 'prefix', 'suffix', 'all', 'any', 'not'] as const

const filterExpression: z.ZodType<Expression> = z.lazy(() =>
  z
    .strictObject({
      exact: attributeValues.optional(),
      prefix: attributeValues.optional(),
      suffix: attributeValues.optional(),
      all: z.array(filterExpression).min(1).max(100).optional(),
      any: z.array(filterExpression).min(1).max(100).optional(),
      not: filterExpression.optional(),
      cesql: z
        .undefined('CloudEvents SQL (cesql) is not supported; use exact, prefix, suffix, all, any and not')
        .optional(),
    })
    .refine(
      (value) => dialects.filter((dialect) => value[dialect] !== undefined).length === 1,
      'needs exactly one dialect',
    )
    .transform(
      (value) =>
        Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as unknown as Expression,
    ),
)

const configMap = z.strictObject({
  apiVersion: z.literal('v1'),
  kind: z.literal('ConfigMap'),
  metadata,
  data: z.record(z.string(), z.string()).default({}),
})

const broker = z.strictObject({
  apiVersion: z.literal('eventing.knative.dev/v1'),
  kind: z.literal('Broker'),
  metadata: metadata.refine(
    ({ annotations }) => annotations['eventing.knative.dev/broker.class'] === 'Kafka',
    'needs the annotation eventing.knative.dev/broker.class: Kafka',
  ),
  spec: z
    .strictObject({
      config: z
        .strictObject({
          apiVersion: z.literal('v1'),
          kind: z.literal('ConfigMap'),
          name: dnsLabel,
          namespace: dnsLabel.optional(),
        })
        .optional(),
      delivery: deliverySpec.optional(),
    })
    .default({}),
})

const trigger = z.strictObject({
  apiVersion: z.literal('eventing.knative.dev/v1'),
  kind: z.literal('Trigger'),
  metadata,
  spec: z.strictObject({
    broker: dnsLabel,
    filter: z.strictObject({ attributes: z.record(z.string(), z.string()).default({}) }).optional(),
    filters: z.array(filterExpression).max(100).optional(),
    subscriber: destination,
    delivery: deliverySpec.optional(),
  }),
})

const kafkaSink = z.strictObject({
  apiVersion: z.literal('eventing.knative.dev/v1alpha1'),
  kind: z.literal('KafkaSink'),
  metadata,
  spec: z.strictObject({
    topic: z.string().regex(/^[a-zA-Z0-9._-]{1,249}$/),
    numPartitions: z.int().min(1).max(10_000).optional(),
    replicationFactor: z.int().min(1).max(100).optional(),
    contentMode: z.literal('binary', 'only binary is supported').optional(),
    /** Cluster only: here the engine's own brokers are used. */
    bootstrapServers: z.array(z.string()).optional(),
    /** Cluster only. */
    auth: z.unknown().optional(),
  }),
})

const kafkaSource = z.strictObject({
  apiVersion: z.enum(['sources.knative.dev/v1', 'sources.knative.dev/v1beta1']),
  kind: z.literal('KafkaSource'),
  metadata,
  spec: z.strictObject({
    topics: z
      .array(z.string().regex(/^[a-zA-Z0-9._-]{1,249}$/))
      .min(1)
      .max(100),
    consumerGroup: z.string().min(1).max(255).optional(),
    initialOffset: z.enum(['earliest', 'latest']).default('earliest'),
    ordering: z.enum(['ordered', 'unordered']).default('ordered'),
    sink: destination,
    delivery: deliverySpec.optional(),
    /** Cluster only: here one consumer takes all partitions. */
    consumers: z.int().min(0).optional(),
    /** Cluster only: here the engine's own brokers are used. */
    bootstrapServers: z.array(z.string()).optional(),
    /** Cluster only. */
    net: z.unknown().optional(),
  }),
})

const pingSource = z.strictObject({
  apiVersion: z.enum(['sources.knative.dev/v1', 'sources.knative.dev/v1beta2']),
  kind: z.literal('PingSource'),
  metadata,
  spec: z.strictObject({
    schedule: z.string().min(1),
    timezone: z.string().optional(),
    contentType: z.string().optional(),
    data: z.string().optional(),
    dataBase64: z.string().optional(),
    sink: destination,
  }),
})

/**
 * Known in order to be refused: this engine cannot tell who publishes, and a rule that is silently not kept is worse than none.
 */
const eventPolicy = z.never(
  'the engine does not know who publishes and cannot keep an EventPolicy: leave it out and let a NetworkPolicy guard the ingress',
)

/** Documentation of a type that a broker carries: checked, and without effect on delivery, as on a cluster. */
const eventType = z.strictObject({
  apiVersion: z.literal('eventing.knative.dev/v1beta3'),
  kind: z.literal('EventType'),
  metadata,
  spec: z.strictObject({
    reference: z
      .strictObject({ apiVersion: z.string(), kind: z.string(), name: z.string(), namespace: z.string().optional() })
      .optional(),
    description: z.string().optional(),
    attributes: z.array(
      z.strictObject({ name: z.string(), required: z.boolean().optional(), value: z.string().optional() }),
    ),
    variables: z.array(z.unknown()).optional(),
  }),
})

export const manifestSchemas = {
  ConfigMap: configMap,
  Broker: broker,
  Trigger: trigger,
  KafkaSink: kafkaSink,
  KafkaSource: kafkaSource,
  PingSource: pingSource,
  EventType: eventType,
  EventPolicy: eventPolicy,
} as const

export type ManifestKind = keyof typeof manifestSchemas
export type ConfigMapManifest = z.output<typeof configMap>
export type BrokerManifest = z.output<typeof broker>
export type TriggerManifest = z.output<typeof trigger>
export type KafkaSinkManifest = z.output<typeof kafkaSink>
export type KafkaSourceManifest = z.output<typeof kafkaSource>
export type PingSourceManifest = z.output<typeof pingSource>
export type EventTypeManifest = z.output<typeof eventType>
export type Manifest =
  | ConfigMapManifest
  | BrokerManifest
  | TriggerManifest
  | KafkaSinkManifest
  | KafkaSourceManifest
  | PingSourceManifest
  | EventTypeManifest
