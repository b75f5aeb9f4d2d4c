import test from 'ava'
import { ManifestError } from './load-manifests.ts'
import { planEngine } from './plan.ts'
import { parseSinks } from './sinks.ts'

const broker = (more: object = {}) => ({
  apiVersion: 'eventing.knative.dev/v1',
  kind: 'Broker',
  metadata: { name: 'default', namespace: 'shop', annotations: { 'eventing.knative.dev/broker.class': 'Kafka' } },
  spec: more,
})
const trigger = (spec: object, metadata: object = {}) => ({
  apiVersion: 'eventing.knative.dev/v1',
  kind: 'Trigger',
  metadata: { name: 'buyer', namespace: 'shop', ...metadata },
  spec: { broker: 'default', subscriber: { uri: 'http://127.0.0.1:9/' }, ...spec },
})
const sink = {
  apiVersion: 'eventing.knative.dev/v1alpha1',
  kind: 'KafkaSink',
  metadata: { name: 'dead', namespace: 'shop' },
  spec: { topic: 'dead', numPartitions: 1 },
}
const toService = (name: string, more: object = {}) => ({
  ref: { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name },
  ...more,
})
const toSink = { ref: { apiVersion: 'eventing.knative.dev/v1alpha1', kind: 'KafkaSink', name: 'dead' } }

const raw = (...values: unknown[]) => values.map((value, index) => ({ origin: `file${index + 1}.yaml`, value }))
const problemsOf = (...values: unknown[]): readonly string[] => {
  try {
    planEngine(raw(...values))
    return []
  } catch (error) {
    if (error instanceof ManifestError) return error.problems
    throw error
  }
}

test('planEngine – a kind that it does not know is refused by name', (t) => {
  const [problem, ...others] = problemsOf({
    apiVersion: 'flows.knative.dev/v1',
    kind: 'Sequence',
    metadata: { name: 'steps' },
  })
  t.regex(
    problem!,
    /^file1\.yaml: Sequence steps: the engine does not know this kind; it runs ConfigMap, Broker, Trigger/,
  )
  t.deepEqual(others, [])
})

test('planEngine – a kind with the name of an inherited member is refused too', (t) => {
  t.regex(problemsOf({ kind: 'constructor' })[0]!, /does not know this kind/)
})

test('planEngine – a field that it does not support is refused with its path', (t) => {
  t.deepEqual(problemsOf(broker(), trigger({ delivery: { retry: 1, format: 'json' } })), [
    'file2.yaml: Trigger buyer: spec.delivery.format: the engine does not support this field',
  ])
})

test('planEngine – cesql is refused with what to use instead', (t) => {
  const [problem] = problemsOf(broker(), trigger({ filters: [{ cesql: "type = 'x'" }] }))
  t.regex(problem!, /spec\.filters\.0\.cesql: CloudEvents SQL \(cesql\) is not supported; use exact/)
})

test('planEngine – a filter needs exactly one dialect', (t) => {
  t.regex(
    problemsOf(broker(), trigger({ filters: [{ exact: { type: 'a' }, prefix: { type: 'b' } }] }))[0]!,
    /exactly one dialect/,
  )
  t.regex(problemsOf(broker(), trigger({ filters: [{}] }))[0]!, /exactly one dialect/)
})

test('planEngine – reports all problems of all manifests at once', (t) => {
  const problems = problemsOf(
    { ...broker(), metadata: { name: 'default', namespace: 'shop' } },
    trigger({ broker: 'other', delivery: { backoffDelay: '5s', deadLetterSink: toSink } }),
    trigger({ broker: 'other' }, { name: 'second' }),
    trigger(
      { delivery: { deadLetterSink: toSink } },
      { name: 'third', annotations: { 'kafka.eventing.knative.dev/delivery.order': 'sorted' } },
    ),
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'x' } },
  )
  t.is(problems.length, 6, problems.join('\n'))
  for (const expected of [
    /needs the annotation eventing\.knative\.dev\/broker\.class: Kafka/,
    /backoffDelay: is not an ISO 8601 duration/,
    /Trigger second: there is no Broker shop\/other/,
    /Trigger third: deadLetterSink: there is no KafkaSink shop\/dead/,
    /delivery\.order "sorted"/,
    /Secret x: the engine does not know this kind/,
  ]) {
    t.true(
      problems.some((problem) => expected.test(problem)),
      `${expected} in\n${problems.join('\n')}`,
    )
  }
})

test('planEngine – two manifests of one kind and name are refused', (t) => {
  t.deepEqual(problemsOf(broker(), broker()), ['Broker shop/default is there twice'])
})

test('planEngine – a Broker takes partitions and topic configuration from its ConfigMap', (t) => {
  const config = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'c', namespace: 'shop' },
    data: {
      'default.topic.partitions': '7',
      'default.topic.replication.factor': '3',
      'default.topic.config.retention.ms': '1000',
    },
  }
  const plan = planEngine(raw(config, broker({ config: { apiVersion: 'v1', kind: 'ConfigMap', name: 'c' } })))
  t.deepEqual(plan.topics, [
    { topic: 'knative-broker-shop-default', partitions: 7, replicationFactor: 3, config: { 'retention.ms': '1000' } },
  ])
  t.deepEqual([...plan.ingress], [['/shop/default', 'knative-broker-shop-default']])
})

test('planEngine – a Trigger takes from the Broker what its own delivery does not say', (t) => {
  const delivery = { retry: 5, backoffPolicy: 'linear', backoffDelay: 'PT1S', deadLetterSink: toSink }
  const { consumers } = planEngine(
    raw(sink, broker({ delivery }), trigger({ delivery: { retry: 2, timeout: 'PT3S' } })),
  )
  t.like(consumers[0]!.delivery, {
    policy: { retry: 2, backoffPolicy: 'linear', backoffDelayMs: 1_000, timeoutMs: 3_000 },
    deadLetter: { kind: 'topic', topic: 'dead' },
  })
})

test('planEngine – a Service is looked up at each delivery, else it has the name of the cluster', (t) => {
  let address: string | undefined
  const plan = planEngine(
    raw(broker(), trigger({ subscriber: toService('order', { uri: '/events' }) })),
    ({ name, namespace }) => (name === 'order' && namespace === 'shop' ? address : 'wrong'),
  )
  const { subscriber } = plan.consumers[0]!
  t.is(subscriber.kind === 'http' && subscriber.url(), 'http://order.shop.svc.cluster.local/events')
  address = 'http://127.0.0.1:8080/base'
  t.is(subscriber.kind === 'http' && subscriber.url(), 'http://127.0.0.1:8080/events')
})

test('planEngine – a KafkaSource expects topics that no KafkaSink creates', (t) => {
  const source = (topic: string) => ({
    apiVersion: 'sources.knative.dev/v1',
    kind: 'KafkaSource',
    metadata: { name: `from-${topic}`, namespace: 'shop' },
    spec: { topics: [topic], sink: toService('order') },
  })
  const plan = planEngine(raw(sink, source('dead'), source('elsewhere')))
  t.deepEqual(plan.expectedTopics, ['elsewhere'])
  t.like(plan.consumers[0], {
    startAt: 'earliest',
    ordered: true,
    groupId: 'knative-kafka-source-shop-from-dead',
    replyTopic: undefined,
  })
})

test('planEngine – a PingSource needs five fields and one kind of data', (t) => {
  const ping = (spec: object) => ({
    apiVersion: 'sources.knative.dev/v1',
    kind: 'PingSource',
    metadata: { name: 'tick', namespace: 'shop' },
    spec: { schedule: '* * * * *', sink: toService('order'), ...spec },
  })
  t.is(problemsOf(ping({ schedule: '@every 1s' })).length, 1)
  t.is(problemsOf(ping({ schedule: '61 * * * *' })).length, 1)
  t.is(problemsOf(ping({ data: 'a', dataBase64: 'YQ==' })).length, 1)
  t.is(planEngine(raw(ping({ dataBase64: 'YQ==' }))).pings[0]!.data?.toString(), 'a')
})

test('parseSinks – gives named addresses, then the default with the name filled in', (t) => {
  const resolve = parseSinks('order=http://a:1, default=http://b:2/events/{name}')
  const reference = (name: string) => ({ apiVersion: 'v1', kind: 'Service' as const, name, namespace: 'shop' })
  t.is(resolve(reference('order')), 'http://a:1')
  t.is(resolve(reference('seckill')), 'http://b:2/events/seckill')
  t.is(parseSinks('')(reference('order')), undefined)
  for (const text of ['order', '=http://a', 'order=ftp://a', 'order=a:1'])
    t.throws(() => parseSinks(text), { instanceOf: TypeError }, text)
})

test('planEngine – an EventPolicy is refused, because nobody here would keep it', (t) => {
  const policy = {
    apiVersion: 'eventing.knative.dev/v1alpha1',
    kind: 'EventPolicy',
    metadata: { name: 'publishers', namespace: 'shop' },
    spec: { from: [{ sub: 'system:serviceaccount:shop:order' }] },
  }
  const [problem, ...others] = problemsOf(broker(), policy)
  t.regex(problem!, /^file2\.yaml: EventPolicy publishers: .*cannot keep an EventPolicy.*NetworkPolicy/)
  t.deepEqual(others, [])
})

test('planEngine – the audience of a destination and the annotations of KEDA are known, and change nothing here', (t) => {
  const annotations = {
    'autoscaling.eventing.knative.dev/class': 'keda.autoscaling.knative.dev',
    'autoscaling.eventing.knative.dev/min-scale': '0',
    'autoscaling.eventing.knative.dev/activation-lag-threshold': '1',
  }
  const subscriber = toService('order', { audience: 'stampede/order' })
  const deadLetterSink = { ...toSink, audience: 'dead' }
  const plan = planEngine(
    raw(sink, broker({ delivery: { deadLetterSink } }), trigger({ subscriber }, { annotations })),
    parseSinks('default=http://{name}.{namespace}'),
  )
  const [consumer] = plan.consumers
  t.is(consumer!.subscriber.kind === 'http' && consumer!.subscriber.url(), 'http://order.shop')
  t.like(consumer!.delivery.deadLetter, { kind: 'topic', topic: 'dead' })
})
