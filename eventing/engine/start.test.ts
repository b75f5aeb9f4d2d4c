import { randomBytes } from 'node:crypto'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import type { Message } from 'kafkajs'
import { Registry } from 'prom-client'
import type { CloudEvent } from '@stampede/shared/events/cloud-event.ts'
import { createPublisher } from '@stampede/shared/events/publish.ts'
import { eventToKafka } from '@stampede/shared/kafka/cloud-event.ts'
import { createKafka, createProducer, ensureTopics } from '@stampede/shared/kafka/connect.ts'
import { serviceAddresses } from '@stampede/shared/testing/services.ts'
import { ManifestError } from './load-manifests.ts'
import { startEngine, type EngineOptions } from './start.ts'

const { kafkaBrokers: brokers } = serviceAddresses()
const kafka = createKafka({ brokers, clientId: 'engine-test' })

type Arrival = { headers: IncomingHttpHeaders; body: string }
type Answer = (arrival: Arrival, index: number) => Promise<number> | number

/** A namespace of its own with a subscriber; `wait` resolves when so many deliveries came. */
async function setUp(t: ExecutionContext, answer: Answer = () => 204) {
  const namespace = `t${randomBytes(6).toString('hex')}`
  const topic = `${namespace}.orders`
  const arrivals: Arrival[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
    const arrived = async () => {
      const arrival = { headers: request.headers, body }
      arrivals.push(arrival)
      for (const { count, resolve } of waiting) if (arrivals.length >= count) resolve()
      const status = await answer(arrival, arrivals.length - 1)
      response.on('error', () => {})
      response.writeHead(status).end()
    }
    request.on('end', () => void arrived())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const subscriberUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  t.teardown(async () => {
    server.close()
    server.closeAllConnections()
    const admin = kafka.admin()
    await admin.connect()
    const mine = (await admin.listTopics()).filter((name) => name.includes(namespace))
    await admin.deleteTopics({ topics: mine }).catch(() => {})
    await admin.disconnect()
  })
  const start = async (manifests: object[], options: Partial<EngineOptions> = {}) => {
    const engine = await startEngine({ manifests, brokers, ...options })
    t.teardown(() => engine.stop())
    return engine
  }
  const wait = (count: number) =>
    new Promise<void>((resolve) => (arrivals.length >= count ? resolve() : waiting.push({ count, resolve })))
  return { namespace, topic, subscriberUrl, arrivals, start, wait }
}

const brokerIn = (namespace: string) => ({
  apiVersion: 'eventing.knative.dev/v1',
  kind: 'Broker',
  metadata: { name: 'default', namespace, annotations: { 'eventing.knative.dev/broker.class': 'Kafka' } },
})
const triggerIn = (namespace: string, uri: string) => ({
  apiVersion: 'eventing.knative.dev/v1',
  kind: 'Trigger',
  metadata: { name: 'all', namespace },
  spec: {
    broker: 'default',
    subscriber: { uri },
    delivery: { retry: 3, backoffPolicy: 'linear', backoffDelay: 'PT0.05S' },
  },
})
const sourceIn = (namespace: string, topic: string, uri: string) => ({
  apiVersion: 'sources.knative.dev/v1',
  kind: 'KafkaSource',
  metadata: { name: 'orders', namespace },
  spec: { topics: [topic], consumerGroup: `${namespace}-orders`, sink: { uri } },
})
const event = (id: string, more: Partial<CloudEvent> = {}): CloudEvent => ({
  specversion: '1.0',
  id,
  source: '/test',
  type: 'a.b',
  data: { id },
  ...more,
})

async function produce(topic: string, messages: Message[]): Promise<void> {
  await ensureTopics(kafka, [{ topic, partitions: 2 }])
  const producer = createProducer(kafka)
  await producer.connect()
  await producer.send({ topic, messages })
  await producer.disconnect()
}

test('Trigger – an event is not missed that is accepted the moment the engine has started', async (t) => {
  const { namespace, subscriberUrl, arrivals, start, wait } = await setUp(t)
  const engine = await start([brokerIn(namespace), triggerIn(namespace, subscriberUrl)])
  await createPublisher({ sink: engine.ingressUrl })(event('first'))
  await wait(1)
  t.is(arrivals[0]!.headers['ce-id'], 'first')
})

test('Trigger – events that came while no engine ran are delivered by the next one', async (t) => {
  const { namespace, subscriberUrl, arrivals, start, wait } = await setUp(t)
  const manifests = [brokerIn(namespace), triggerIn(namespace, subscriberUrl)]
  const first = await start(manifests)
  // Not one event: the group has nothing but the offsets that were fixed at its first sight.
  await first.stop()
  await produce(`knative-broker-${namespace}-default`, [eventToKafka(event('meanwhile'))])
  await start(manifests)
  await wait(1)
  t.is(arrivals[0]!.headers['ce-id'], 'meanwhile')
})

test('Trigger – what was delivered is not delivered again after a graceful stop', async (t) => {
  const { namespace, subscriberUrl, arrivals, start, wait } = await setUp(t)
  const manifests = [brokerIn(namespace), triggerIn(namespace, subscriberUrl)]
  const first = await start(manifests)
  for (const id of ['a', 'b', 'c']) await createPublisher({ sink: first.ingressUrl })(event(id))
  await wait(3)
  await first.stop()
  const second = await start(manifests)
  await createPublisher({ sink: second.ingressUrl })(event('last'))
  await wait(4)
  t.deepEqual(arrivals.map(({ headers }) => String(headers['ce-id'])).toSorted(), ['a', 'b', 'c', 'last'])
})

test('stop – a delivery under way is finished and its offset committed', async (t) => {
  const { promise: release, resolve } = Promise.withResolvers<void>()
  const { namespace, subscriberUrl, arrivals, start, wait } = await setUp(t, async ({ headers }) => {
    if (headers['ce-id'] === 'slow') await release
    return 204
  })
  const manifests = [brokerIn(namespace), triggerIn(namespace, subscriberUrl)]
  const first = await start(manifests)
  await createPublisher({ sink: first.ingressUrl })(event('slow'))
  await wait(1)
  const stopped = first.stop()
  setTimeout(resolve, 100)
  await stopped
  const second = await start(manifests)
  await createPublisher({ sink: second.ingressUrl })(event('last'))
  await wait(2)
  t.deepEqual(
    arrivals.map(({ headers }) => headers['ce-id']),
    ['slow', 'last'],
  )
})

test('stop – says at once that it is not ready, and takes events until nobody sends any', async (t) => {
  const { namespace, subscriberUrl, arrivals, start, wait } = await setUp(t)
  const manifests = [brokerIn(namespace), triggerIn(namespace, subscriberUrl)]
  const first = await start(manifests, { limits: { drainDelayMs: 1_000 } })
  const stopped = first.stop()
  t.is((await fetch(`${first.url}/health/readiness`)).status, 503)
  const alive = await fetch(`${first.url}/health/liveness`)
  t.deepEqual([alive.status, alive.headers.get('connection')], [200, 'close'])
  await createPublisher({ sink: first.ingressUrl })(event('late'))
  await stopped
  await t.throwsAsync(fetch(`${first.url}/health/liveness`))
  await start(manifests)
  await wait(1)
  t.is(arrivals[0]!.headers['ce-id'], 'late')
})

test('engines – several that begin at once with a new Trigger miss nothing that any of them accepts', async (t) => {
  const { namespace, subscriberUrl, arrivals, start, wait } = await setUp(t)
  const manifests = [brokerIn(namespace), triggerIn(namespace, subscriberUrl)]
  const ids = Array.from({ length: 40 }, (_, index) => `e${index}`)
  // Each publishes from its first moment on, while the others still join and the partitions go round.
  await Promise.all(
    [0, 1, 2].map(async (number) => {
      const engine = await start(manifests)
      const publish = createPublisher({ sink: engine.ingressUrl })
      for (const id of ids) await publish(event(`${number}-${id}`, { partitionkey: id }))
    }),
  )
  const distinct = () => new Set(arrivals.map(({ headers }) => headers['ce-id']))
  for (let count = 120; distinct().size < 120; count += 1) await wait(count)
  t.is(distinct().size, 120)
})

test('KafkaSource – delivers what was in the topic before it, CloudEvents as they are and other records wrapped', async (t) => {
  const { namespace, topic, subscriberUrl, arrivals, start, wait } = await setUp(t)
  await produce(topic, [
    eventToKafka(event('from-kafka', { partitionkey: 'k', subject: 's' })),
    { key: 'k', value: '{"plain":true}', headers: { 'content-type': 'application/json' } },
    {
      key: null,
      value: JSON.stringify(event('structured')),
      headers: { 'content-type': 'application/cloudevents+json' },
    },
  ])
  await start([sourceIn(namespace, topic, subscriberUrl)])
  await wait(3)
  const byType = (type: string) => arrivals.filter(({ headers }) => headers['ce-type'] === type)
  t.deepEqual(
    byType('a.b')
      .map(({ headers }) => String(headers['ce-id']))
      .toSorted(),
    ['from-kafka', 'structured'],
  )
  const [wrapped] = byType('dev.knative.kafka.event')
  t.is(wrapped!.body, '{"plain":true}')
  t.is(wrapped!.headers['ce-source'], `/apis/v1/namespaces/${namespace}/kafkasources/orders#${topic}`)
  t.regex(String(wrapped!.headers['ce-id']), /^partition:\d\/offset:\d$/)
  t.is(wrapped!.headers['ce-key'], 'k')
})

test('KafkaSource – a topic that nobody creates is refused at start', async (t) => {
  const { namespace, topic, subscriberUrl, start } = await setUp(t)
  const error = await t.throwsAsync(start([sourceIn(namespace, topic, subscriberUrl)]), { instanceOf: ManifestError })
  t.regex(error.message, new RegExp(`Kafka topic ${topic} does not exist`))
})

test('KafkaSink – creates its topic, and its ingress path writes to it', async (t) => {
  const { namespace, topic, subscriberUrl, arrivals, start, wait } = await setUp(t)
  const sink = {
    apiVersion: 'eventing.knative.dev/v1alpha1',
    kind: 'KafkaSink',
    metadata: { name: 'orders', namespace },
    spec: { topic, numPartitions: 3, replicationFactor: 3 },
  }
  const engine = await start([sink, sourceIn(namespace, topic, subscriberUrl)])
  await createPublisher({ sink: `${engine.url}/${namespace}/orders` })(event('by-sink'))
  await wait(1)
  t.is(arrivals[0]!.headers['ce-id'], 'by-sink')
})

test('deliveries – carry the token and the trace of the event', async (t) => {
  const { namespace, subscriberUrl, arrivals, start, wait } = await setUp(t)
  const engine = await start([brokerIn(namespace), triggerIn(namespace, subscriberUrl)], {
    token: async (url) => `token for ${new URL(url).pathname}`,
  })
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  await createPublisher({ sink: engine.ingressUrl })(event('a', { traceparent }))
  await wait(1)
  t.is(arrivals[0]!.headers['authorization'], 'Bearer token for /')
  t.is(arrivals[0]!.headers['traceparent'], traceparent)
})

test('lag – counts what is not settled, and the metrics tell what happened', async (t) => {
  const { promise: release, resolve } = Promise.withResolvers<void>()
  const { namespace, subscriberUrl, start, wait } = await setUp(t, async (_arrival, index) => {
    await release
    return index === 0 ? 503 : 204
  })
  const metrics = new Registry()
  const engine = await start([brokerIn(namespace), triggerIn(namespace, subscriberUrl)], { metrics })
  for (const id of ['a', 'b', 'c']) await createPublisher({ sink: engine.ingressUrl })(event(id))
  await wait(3)
  t.deepEqual(await engine.lag(), [{ consumer: `trigger/${namespace}/all`, lag: 3, inFlight: 3 }])
  resolve()
  await wait(4)
  for (;;) {
    const [found] = (await (await fetch(`${engine.url}/lag`)).json()) as { lag: number }[]
    if (found!.lag === 0) break
    await new Promise((next) => setTimeout(next, 100))
  }
  const text = await (await fetch(`${engine.url}/metrics`)).text()
  t.regex(text, new RegExp(`stampede_eventing_delivered_total\\{consumer="trigger/${namespace}/all"\\} 3`))
  t.regex(text, new RegExp(`stampede_eventing_retried_total\\{consumer="trigger/${namespace}/all"\\} 1`))
  t.is((await fetch(`${engine.url}/health/readiness`)).status, 200)
})
