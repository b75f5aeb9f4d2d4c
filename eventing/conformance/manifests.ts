/**
 * The Broker and the Triggers that the suite needs. `node eventing/conformance/manifests.ts <subscriber address> [namespace]
 * [broker class]` prints them for a cluster.
 */
import { stringify } from 'yaml'

export type ConformanceOptions = {
  /** Where the broker reaches the suite's subscriber, for example `http://10.0.0.5:7000`. */
  subscriberUrl: string
  namespace: string
  /** Default `Kafka`; another one takes its own default configuration. */
  brokerClass?: string
  /** Kafka topics need no copies for a test. */
  replicationFactor?: number
}

export const brokerName = 'conformance'
export const typePrefix = 'io.stampede.conformance.'

type TriggerOptions = {
  filter?: object
  filters?: object[]
  ordered?: boolean
  delivery?: object
}

const type = (name: string) => ({ exact: { type: typePrefix + name } })
const quick = { retry: 2, backoffPolicy: 'linear', backoffDelay: 'PT0.05S' }

/** Name of a Trigger → what it is made of; its subscriber is the path of its name. */
const triggers: Record<string, TriggerOptions> = {
  transport: { filters: [type('transport')] },
  // All of these are ordered, so that an event sent last tells that nothing more can come for its key.
  'filter-attributes': { filter: { attributes: { type: `${typePrefix}filter`, colour: 'red' } }, ordered: true },
  'filter-presence': { filter: { attributes: { type: `${typePrefix}filter`, shape: '' } }, ordered: true },
  'filter-exact': { filters: [type('filter'), { exact: { colour: 'red' } }], ordered: true },
  'filter-prefix': { filters: [type('filter'), { prefix: { colour: 're' } }], ordered: true },
  'filter-suffix': { filters: [type('filter'), { suffix: { colour: 'ed' } }], ordered: true },
  'filter-all': {
    filters: [{ all: [type('filter'), { exact: { colour: 'red' } }, { exact: { shape: 'round' } }] }],
    ordered: true,
  },
  'filter-any': {
    filters: [type('filter'), { any: [{ exact: { colour: 'red' } }, { exact: { shape: 'round' } }] }],
    ordered: true,
  },
  'filter-not': { filters: [type('filter'), { not: { exact: { colour: 'blue' } } }], ordered: true },
  retry: { filters: [type('retry')], delivery: { ...quick, deadLetter: 'dead/retry' } },
  'broker-dead-letter': { filters: [type('broker-dead-letter')] },
  linear: { filters: [type('linear')], delivery: { retry: 3, backoffPolicy: 'linear', backoffDelay: 'PT0.2S' } },
  exponential: {
    filters: [type('exponential')],
    delivery: { retry: 3, backoffPolicy: 'exponential', backoffDelay: 'PT0.2S' },
  },
  timeout: { filters: [type('timeout')], delivery: { ...quick, timeout: 'PT0.5S', deadLetter: 'dead/timeout' } },
  unreachable: { filters: [type('unreachable')], delivery: { ...quick, deadLetter: 'dead/unreachable' } },
  ordered: {
    filters: [type('ordered')],
    ordered: true,
    delivery: { retry: 5, backoffPolicy: 'linear', backoffDelay: 'PT0.02S' },
  },
  unordered: { filters: [type('unordered')] },
  replies: { filters: [type('replies')], delivery: { ...quick, deadLetter: 'dead/replies' } },
  'replies-back': { filters: [type('replies-back')] },
  crash: {
    filters: [type('crash')],
    ordered: true,
    delivery: { retry: 5, backoffPolicy: 'linear', backoffDelay: 'PT0.2S' },
  },
}

/** Nobody listens on port 1. */
const nowhere = 'http://127.0.0.1:1/'

export function conformanceManifests({
  subscriberUrl,
  namespace,
  brokerClass = 'Kafka',
  replicationFactor = 1,
}: ConformanceOptions): object[] {
  const at = (path: string) => ({ uri: `${subscriberUrl}/${path}` })
  const config = { apiVersion: 'v1', kind: 'ConfigMap', name: 'conformance-broker', namespace }
  const ofKafka = brokerClass === 'Kafka'
  const configMap = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'conformance-broker', namespace },
    data: {
      'bootstrap.servers': 'kafka.infra.svc.cluster.local:9092',
      'default.topic.partitions': '4',
      'default.topic.replication.factor': String(replicationFactor),
    },
  }
  return [
    ...(ofKafka ? [configMap] : []),
    {
      apiVersion: 'eventing.knative.dev/v1',
      kind: 'Broker',
      metadata: { name: brokerName, namespace, annotations: { 'eventing.knative.dev/broker.class': brokerClass } },
      spec: {
        ...(ofKafka ? { config } : {}),
        delivery: { ...quick, deadLetterSink: at('dead/broker') },
      },
    },
    ...Object.entries(triggers).map(([name, { filter, filters, ordered, delivery }]) => {
      const { deadLetter, ...rest } = (delivery ?? {}) as { deadLetter?: string }
      return {
        apiVersion: 'eventing.knative.dev/v1',
        kind: 'Trigger',
        metadata: {
          name: `conformance-${name}`,
          namespace,
          annotations: { 'kafka.eventing.knative.dev/delivery.order': ordered ? 'ordered' : 'unordered' },
        },
        spec: {
          broker: brokerName,
          ...(filter ? { filter } : {}),
          ...(filters ? { filters } : {}),
          subscriber: name === 'unreachable' ? { uri: nowhere } : at(name),
          ...(delivery ? { delivery: { ...rest, ...(deadLetter ? { deadLetterSink: at(deadLetter) } : {}) } } : {}),
        },
      }
    }),
  ]
}

if (import.meta.main) {
  const [subscriberUrl, namespace = 'default', brokerClass = 'Kafka'] = process.argv.slice(2)
  if (subscriberUrl === undefined) {
    process.stderr.write(
      'usage: node eventing/conformance/manifests.ts <address of the subscriber> [namespace] [broker class]\n',
    )
    process.exit(64)
  }
  process.stdout.write(
    conformanceManifests({ subscriberUrl, namespace, brokerClass })
      .map((manifest) => stringify(manifest))
      .join('---\n'),
  )
}
