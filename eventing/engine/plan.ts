/** From checked manifests to what the engine does: topics, ingress paths, consumers and schedules. References are resolved here. */
import { createHash } from 'node:crypto'
import { Cron } from 'croner'
import type { TopicOptions } from '@stampede/shared/kafka/topics.ts'
import { parseDuration } from './duration.ts'
import { filterOf, legacyFilter, type EventFilter } from './filter.ts'
import { checkManifests, ManifestError, manifestKey, type RawManifest } from './load-manifests.ts'
import type {
  BrokerManifest,
  DeliverySpec,
  Destination,
  KafkaSourceManifest,
  Manifest,
  PingSourceManifest,
  Reference,
  TriggerManifest,
} from './manifest-schema.ts'
import { defaultRetryPolicy, type RetryPolicy } from './retry-policy.ts'

/** Where an event goes: to an HTTP address, or straight into a topic that this engine owns. */
export type Target = { kind: 'http'; name: string; url: () => string } | { kind: 'topic'; name: string; topic: string }

export type DeliveryPlan = { policy: RetryPolicy; deadLetter: Target | undefined }

export type ConsumerPlan = {
  /** For logs and metrics: `trigger/stampede/order-x`. */
  name: string
  kind: 'trigger' | 'source'
  groupId: string
  topics: string[]
  startAt: 'earliest' | 'latest'
  filter: EventFilter
  ordered: boolean
  subscriber: Target
  delivery: DeliveryPlan
  /** Topic for events in answers; sources have none. */
  replyTopic: string | undefined
  /** `source` of records that are no CloudEvents, before the topic's name. */
  wrapSource: string
  /** Its `autoscaling.eventing.knative.dev/…` annotations, without that prefix. */
  scaling: Record<string, string>
}

export type PingPlan = {
  name: string
  source: string
  cron: string
  timezone: string
  /** Milliseconds after the beginning of a minute that is on the schedule. */
  offsetMs: number
  contentType: string | undefined
  data: Buffer | undefined
  sink: Target
}

export type EnginePlan = {
  topics: TopicOptions[]
  /** Topics that must exist already. */
  expectedTopics: string[]
  /** Path → topic. */
  ingress: Map<string, string>
  consumers: ConsumerPlan[]
  pings: PingPlan[]
  /** Group and control topic of the engines of these namespaces, of which one sends the pings. */
  pingGroup: string | undefined
}

/** The address of a Service, or undefined for the cluster's DNS name. */
export type Resolve = (reference: Reference & { namespace: string }) => string | undefined

export const brokerTopic = (namespace: string, name: string): string => `knative-broker-${namespace}-${name}`
const pathOf = (namespace: string, name: string): string => `/${namespace}/${name}`

/** @throws ManifestError with every problem of every manifest. */
export function planEngine(raw: readonly RawManifest[], resolve: Resolve = () => undefined): EnginePlan {
  const { manifests, problems, declared } = checkManifests(raw)
  const exists = (kind: string, namespace: string, name: string) => declared.has(manifestKey(kind, namespace, name))
  problems.push(...duplicates(manifests))
  const of = <K extends Manifest['kind']>(kind: K) =>
    manifests.filter((manifest) => manifest.kind === kind) as Extract<Manifest, { kind: K }>[]
  const targets = createTargets(manifests, exists, resolve, problems)
  const plan: EnginePlan = {
    topics: [],
    expectedTopics: [],
    ingress: new Map(),
    consumers: [],
    pings: [],
    pingGroup: undefined,
  }

  for (const broker of of('Broker')) planBroker(plan, broker, manifests, problems)
  for (const { metadata, spec } of of('KafkaSink')) {
    const path = pathOf(metadata.namespace, metadata.name)
    if (plan.ingress.has(path))
      problems.push(`KafkaSink ${metadata.name}: a Broker of the same name and namespace has its ingress path ${path}`)
    plan.ingress.set(path, spec.topic)
    const { numPartitions, replicationFactor } = spec
    if (numPartitions === undefined) plan.expectedTopics.push(spec.topic)
    else
      plan.topics.push({
        topic: spec.topic,
        partitions: numPartitions,
        ...(replicationFactor ? { replicationFactor } : {}),
      })
  }
  for (const trigger of of('Trigger')) planTrigger(plan, trigger, of('Broker'), targets, problems, exists)
  for (const source of of('KafkaSource')) planSource(plan, source, targets)
  for (const ping of of('PingSource')) planPing(plan, ping, targets, problems)

  if (problems.length > 0) throw new ManifestError(problems)
  planPingGroup(plan, of('PingSource'))
  const created = new Set(plan.topics.map(({ topic }) => topic))
  plan.expectedTopics = [...new Set(plan.expectedTopics)].filter((topic) => !created.has(topic))
  return plan
}

function duplicates(manifests: readonly Manifest[]): string[] {
  const seen = new Set<string>()
  const problems: string[] = []
  for (const { kind, metadata } of manifests) {
    const key = manifestKey(kind, metadata.namespace, metadata.name)
    if (seen.has(key)) problems.push(`${key} is there twice`)
    seen.add(key)
  }
  return problems
}

function planBroker(
  plan: EnginePlan,
  broker: BrokerManifest,
  manifests: readonly Manifest[],
  problems: string[],
): void {
  const { name, namespace } = broker.metadata
  const reference = broker.spec.config
  const config = manifests.find(
    (manifest) =>
      manifest.kind === 'ConfigMap' &&
      manifest.metadata.name === reference?.name &&
      manifest.metadata.namespace === (reference.namespace ?? namespace),
  )
  if (reference && !config)
    problems.push(`Broker ${name}: its ConfigMap ${reference.namespace ?? namespace}/${reference.name} is missing`)
  const data: Record<string, string> = config?.kind === 'ConfigMap' ? config.data : {}
  const number = (key: string, byDefault: number) => {
    const value = Number(data[key] ?? byDefault)
    if (Number.isInteger(value) && value > 0) return value
    problems.push(`ConfigMap ${config?.metadata.name}: ${key} is not a whole number above 0`)
    return byDefault
  }
  const topic = brokerTopic(namespace, name)
  const settings = Object.entries(data).filter(([key]) => key.startsWith('default.topic.config.'))
  plan.topics.push({
    topic,
    partitions: number('default.topic.partitions', 10),
    replicationFactor: number('default.topic.replication.factor', 1),
    config: Object.fromEntries(settings.map(([key, value]) => [key.slice('default.topic.config.'.length), value])),
  })
  plan.ingress.set(pathOf(namespace, name), topic)
}

function planTrigger(
  plan: EnginePlan,
  trigger: TriggerManifest,
  brokers: readonly BrokerManifest[],
  targets: Targets,
  problems: string[],
  exists: Exists,
): void {
  const { name, namespace, annotations } = trigger.metadata
  const { spec } = trigger
  const label = `Trigger ${name}`
  const broker = brokers.find(({ metadata }) => metadata.name === spec.broker && metadata.namespace === namespace)
  if (!exists('Broker', namespace, spec.broker))
    problems.push(`${label}: there is no Broker ${namespace}/${spec.broker}`)
  const order = annotations['kafka.eventing.knative.dev/delivery.order'] ?? 'unordered'
  if (order !== 'ordered' && order !== 'unordered')
    problems.push(`${label}: delivery.order "${order}" is neither ordered nor unordered`)
  // As on a cluster: the newer list wins over the older field, and no filter at all passes everything.
  const filter = spec.filters?.length ? filterOf(spec.filters) : legacyFilter(spec.filter?.attributes ?? {})
  const topic = brokerTopic(namespace, spec.broker)
  plan.consumers.push({
    name: `trigger/${namespace}/${name}`,
    kind: 'trigger',
    groupId: `knative-trigger-${namespace}-${name}`,
    topics: [topic],
    startAt: 'latest',
    filter,
    ordered: order === 'ordered',
    subscriber: targets(spec.subscriber, namespace, label),
    delivery: planDelivery({ ...broker?.spec.delivery, ...spec.delivery }, namespace, targets, label),
    replyTopic: topic,
    wrapSource: '',
    scaling: scalingOf(annotations),
  })
}

function planSource(plan: EnginePlan, source: KafkaSourceManifest, targets: Targets): void {
  const { name, namespace } = source.metadata
  const { spec } = source
  const label = `KafkaSource ${name}`
  plan.expectedTopics.push(...spec.topics)
  plan.consumers.push({
    name: `source/${namespace}/${name}`,
    kind: 'source',
    groupId: spec.consumerGroup ?? `knative-kafka-source-${namespace}-${name}`,
    topics: spec.topics,
    startAt: spec.initialOffset,
    filter: () => true,
    ordered: spec.ordering === 'ordered',
    subscriber: targets(spec.sink, namespace, label),
    delivery: planDelivery(spec.delivery ?? {}, namespace, targets, label),
    replyTopic: undefined,
    wrapSource: `/apis/v1/namespaces/${namespace}/kafkasources/${name}#`,
    scaling: scalingOf(source.metadata.annotations),
  })
}

const scalingPrefix = 'autoscaling.eventing.knative.dev/'
const scalingOf = (annotations: Record<string, string>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(annotations)
      .filter(([name]) => name.startsWith(scalingPrefix))
      .map(([name, value]) => [name.slice(scalingPrefix.length), value]),
  )

function planPing(plan: EnginePlan, ping: PingSourceManifest, targets: Targets, problems: string[]): void {
  const { name, namespace } = ping.metadata
  const { spec } = ping
  if (spec.data !== undefined && spec.dataBase64 !== undefined)
    problems.push(`PingSource ${name}: data and dataBase64 exclude each other`)
  const problem = checkCron(spec.schedule, spec.timezone)
  if (problem !== undefined) problems.push(`PingSource ${name}: schedule "${spec.schedule}": ${problem}`)
  const data =
    spec.dataBase64 === undefined ? spec.data && Buffer.from(spec.data) : Buffer.from(spec.dataBase64, 'base64')
  plan.pings.push({
    name: `ping/${namespace}/${name}`,
    source: `/apis/v1/namespaces/${namespace}/pingsources/${name}`,
    cron: spec.schedule,
    timezone: spec.timezone ?? 'UTC',
    offsetMs: planSecond(ping, problems) * 1_000,
    contentType: spec.contentType,
    data: data || undefined,
    sink: targets(spec.sink, namespace, `PingSource ${name}`),
  })
}

/** Not known to Knative, whose schedules have minutes only: keeps functions from waking up all at once. */
function planSecond({ metadata: { name, annotations } }: PingSourceManifest, problems: string[]): number {
  const text = annotations['stampede.io/second'] ?? '0'
  if (/^[1-5]?[0-9]$/.test(text)) return Number(text)
  problems.push(`PingSource ${name}: stampede.io/second "${text}" is not between 0 and 59`)
  return 0
}

function planPingGroup(plan: EnginePlan, pings: readonly PingSourceManifest[]): void {
  if (pings.length === 0) return
  const namespaces = [...new Set(pings.map(({ metadata }) => metadata.namespace))].toSorted()
  // Kafka allows names of 249 characters.
  const joined = namespaces.join('.')
  plan.pingGroup = `knative-pings-${joined.length <= 200 ? joined : createHash('sha256').update(joined).digest('hex')}`
  const replicationFactor = Math.max(1, ...plan.topics.map((topic) => topic.replicationFactor ?? 1))
  plan.topics.push({ topic: plan.pingGroup, partitions: 1, replicationFactor })
}

function checkCron(schedule: string, timezone = 'UTC'): string | undefined {
  if (schedule.trim().split(/\s+/).length !== 5) return 'it needs five fields'
  try {
    new Cron(schedule, { timezone, mode: '5-part', paused: true }).stop()
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

function planDelivery(spec: DeliverySpec, namespace: string, targets: Targets, label: string): DeliveryPlan {
  const milliseconds = (text: string | undefined, byDefault: number) =>
    text === undefined ? byDefault : (parseDuration(text) ?? byDefault)
  return {
    policy: {
      retry: spec.retry ?? defaultRetryPolicy.retry,
      backoffPolicy: spec.backoffPolicy ?? defaultRetryPolicy.backoffPolicy,
      backoffDelayMs: milliseconds(spec.backoffDelay, defaultRetryPolicy.backoffDelayMs),
      timeoutMs: milliseconds(spec.timeout, defaultRetryPolicy.timeoutMs) || defaultRetryPolicy.timeoutMs,
      retryAfterMaxMs: milliseconds(spec.retryAfterMax, defaultRetryPolicy.retryAfterMaxMs),
    },
    deadLetter: spec.deadLetterSink && targets(spec.deadLetterSink, namespace, `${label}: deadLetterSink`),
  }
}

/** Is there a manifest of this kind, namespace and name, be it right or wrong? */
type Exists = (kind: string, namespace: string, name: string) => boolean

type Targets = (destination: Destination, namespace: string, label: string) => Target

function createTargets(manifests: readonly Manifest[], exists: Exists, resolve: Resolve, problems: string[]): Targets {
  return ({ ref, uri }, ownNamespace, label) => {
    if (!ref) return { kind: 'http', name: uri!, url: () => uri! }
    const namespace = ref.namespace ?? ownNamespace
    const name = `${ref.kind}/${namespace}/${ref.name}`
    if (ref.kind !== 'Service') {
      const found = manifests.find(
        ({ kind, metadata }) => kind === ref.kind && metadata.name === ref.name && metadata.namespace === namespace,
      )
      if (!exists(ref.kind, namespace, ref.name))
        problems.push(`${label}: there is no ${ref.kind} ${namespace}/${ref.name}`)
      const topic = found?.kind === 'KafkaSink' ? found.spec.topic : brokerTopic(namespace, ref.name)
      return { kind: 'topic', name, topic }
    }
    // Asked at each delivery: a service may get its address after the engine has started.
    const base = () => resolve({ ...ref, namespace }) ?? `http://${ref.name}.${namespace}.svc.cluster.local`
    return { kind: 'http', name, url: () => (uri === undefined ? base() : new URL(uri, base()).href) }
  }
}
