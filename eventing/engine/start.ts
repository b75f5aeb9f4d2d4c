/**
 * The local eventing engine: runs Broker, Trigger, KafkaSink, KafkaSource and PingSource manifests on a real Kafka with the
 * semantics of Knative's Kafka broker. `eventing/README.md` lists what is the same and what differs.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from 'prom-client'
import type { EventMessage } from '@stampede/shared/events/cloud-event.ts'
import { encodeKafka } from '@stampede/shared/kafka/cloud-event.ts'
import { createKafka, createProducer, ensureTopics } from '@stampede/shared/kafka/connect.ts'
import { createBatchProducer } from './batch-producer.ts'
import { waitForBrokers } from './brokers.ts'
import { EventConsumer } from './consumer.ts'
import { createDeliver } from './deliver.ts'
import { createIngress, defaultIngressLimits, type IngressLimits } from './ingress.ts'
import { createLagReader, type ConsumerLag } from './lag.ts'
import { readManifests, type RawManifest } from './load-manifests.ts'
import { silentLog, type EngineLog } from './log.ts'
import { createMetrics } from './metrics.ts'
import { fetchCommitted, findStartOffsets, requireTopics } from './offsets.ts'
import { PingLeader } from './ping-leader.ts'
import { planEngine, type Resolve, type Target } from './plan.ts'
import { defaultRetryPolicy } from './retry-policy.ts'
import { createSender, type TokenProvider } from './sender.ts'

export type EngineOptions = {
  /** A folder of YAML files, or the objects themselves. */
  manifests: string | readonly object[]
  brokers: readonly string[]
  /** Default 0: a free port. */
  port?: number
  /** Default 127.0.0.1. */
  host?: string
  /** The address of a Service; asked at each delivery. Undefined: the cluster's DNS name. */
  resolve?: Resolve
  /** Bearer token for deliveries. */
  token?: TokenProvider
  log?: EngineLog
  metrics?: Registry
  limits?: Partial<EngineLimits>
}

export type EngineLimits = IngressLimits & {
  /** Deliveries at once for each partition of each consumer. */
  deliveriesPerPartition: number
  /** Records of a partition held in memory. */
  recordsHeldPerPartition: number
  commitIntervalMs: number
  /** Time for running deliveries when stopping. */
  stopGraceMs: number
  /** How long events are still taken when stopping, until those who publish have learned of it. */
  drainDelayMs: number
  /** How long topics that are to be made wait for all brokers. */
  brokersTimeoutMs: number
  /** After a crash, a group goes on after this time. */
  sessionTimeoutMs: number
}

const defaultLimits: EngineLimits = {
  ...defaultIngressLimits,
  deliveriesPerPartition: 16,
  recordsHeldPerPartition: 1_000,
  commitIntervalMs: 500,
  stopGraceMs: 10_000,
  drainDelayMs: 0,
  brokersTimeoutMs: 30_000,
  sessionTimeoutMs: 6_000,
}

export type Engine = {
  /** For example `http://127.0.0.1:8081`; a broker is at `/<namespace>/<name>`. */
  url: string
  /** The ingress of the only or first Broker: what functions get as `K_SINK`. */
  ingressUrl: string
  /** Resolves when every consumer has its partitions. */
  joined(): Promise<void>
  /** Records that each consumer has not settled yet. */
  lag(): Promise<ConsumerLag[]>
  /** Finishes deliveries that run, commits, leaves the groups. */
  stop(): Promise<void>
}

/**
 * Resolves when the ingress accepts events and none that is accepted from then on can be missed by a Trigger.
 * @throws ManifestError with every problem of the manifests.
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { log = silentLog, metrics: registry = new Registry() } = options
  const limits = { ...defaultLimits, ...options.limits }
  const raw: RawManifest[] =
    typeof options.manifests === 'string'
      ? await readManifests(options.manifests)
      : options.manifests.map((value, index) => ({ origin: `manifest ${index + 1}`, value }))
  const plan = planEngine(raw, options.resolve)
  const metrics = createMetrics(registry)

  const kafka = createKafka({ brokers: options.brokers, clientId: 'stampede-eventing', log })
  const admin = kafka.admin()
  const kafkaProducer = createProducer(kafka)
  await Promise.all([admin.connect(), kafkaProducer.connect()])
  const producer = createBatchProducer(kafkaProducer)
  const produce = (topic: string, message: EventMessage) => producer.send(topic, encodeKafka(message))
  const sender = createSender({ token: options.token })
  const stopping = new AbortController()

  const newDeliver = (
    name: string,
    subscriber: Target,
    rest: { delivery: Parameters<typeof createDeliver>[0]['delivery']; replyTopic: string | undefined },
  ) => createDeliver({ name, subscriber, ...rest, sender, produce, log, metrics: metrics.consumer(name) })

  try {
    await waitForBrokers(admin, plan.topics, options.brokers.length, { timeoutMs: limits.brokersTimeoutMs, log })
    await ensureTopics(kafka, plan.topics)
    await requireTopics(admin, plan.expectedTopics)
    const consumers = await Promise.all(
      plan.consumers.map(async (consumerPlan) => {
        const startOffsets = consumerPlan.startAt === 'latest' ? await findStartOffsets(admin, consumerPlan) : []
        const consumer = new EventConsumer({
          kafka,
          plan: consumerPlan,
          deliver: newDeliver(consumerPlan.name, consumerPlan.subscriber, consumerPlan),
          log,
          metrics: metrics.consumer(consumerPlan.name),
          startOffsets,
          concurrency: limits.deliveriesPerPartition,
          maximumHeld: limits.recordsHeldPerPartition,
          commitIntervalMs: limits.commitIntervalMs,
          sessionTimeoutMs: limits.sessionTimeoutMs,
          fetchCommitted: () => fetchCommitted(admin, consumerPlan),
        })
        return { consumer, isNew: startOffsets.length > 0 }
      }),
    )
    // A group that has no offsets yet would begin at the end: it must have fixed them before the first event is accepted. The
    // others may take their time: after a crash a group forms again only when Kafka has given up its old member.
    for (const { consumer, isNew } of consumers) if (!isNew) consumer.startInBackground()
    await Promise.all(consumers.filter(({ isNew }) => isNew).map(({ consumer }) => consumer.start()))
    await Promise.all(consumers.filter(({ isNew }) => isNew).map(({ consumer }) => consumer.joined))

    const all = consumers.map(({ consumer }) => consumer)
    const lag = createLagReader(admin, all, metrics.lag)
    const server = createIngress({
      paths: plan.ingress,
      produce,
      pendingBytes: () => producer.pendingBytes,
      pages: createPages({
        registry,
        lag,
        isReady: () => !stopping.signal.aborted && all.every((consumer) => consumer.isJoined),
      }),
      isStopping: () => stopping.signal.aborted,
      onAnswer: (status) => metrics.ingress.inc({ status: String(status) }),
      log,
      limits,
    })
    const url = await listen(server, options.port ?? 0, options.host ?? '127.0.0.1')
    const pingPolicy = { ...defaultRetryPolicy, retry: 5, backoffDelayMs: 100 }
    const pings =
      plan.pingGroup === undefined
        ? undefined
        : new PingLeader({
            kafka,
            admin,
            group: plan.pingGroup,
            pings: plan.pings.map((ping) => ({
              plan: ping,
              deliver: newDeliver(ping.name, ping.sink, {
                delivery: { policy: pingPolicy, deadLetter: undefined },
                replyTopic: undefined,
              }),
            })),
            log,
            sessionTimeoutMs: limits.sessionTimeoutMs,
          })
    pings?.start()
    log.info(
      { url, consumers: all.length, pings: plan.pings.length, topics: plan.topics.length },
      'eventing engine runs',
    )

    const stop = async () => {
      stopping.abort()
      // Groups are left at once, so that other engines go on; events are taken until nobody sends any here.
      await Promise.all([
        ...all.map((consumer) => consumer.stop(limits.stopGraceMs)),
        pings?.stop(limits.stopGraceMs),
        sleep(limits.drainDelayMs),
      ])
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeIdleConnections()
      await producer.flush()
      server.closeIdleConnections()
      const force = setTimeout(() => server.closeAllConnections(), 1_000)
      await closed
      clearTimeout(force)
      sender.close()
      await Promise.all([kafkaProducer.disconnect(), admin.disconnect()])
    }
    let stopped: Promise<void> | undefined
    return {
      url,
      ingressUrl: url + ([...plan.ingress.keys()][0] ?? ''),
      joined: async () => void (await Promise.all(all.map((consumer) => consumer.joined))),
      lag,
      stop: () => (stopped ??= stop()),
    }
  } catch (error) {
    sender.close()
    await Promise.allSettled([kafkaProducer.disconnect(), admin.disconnect()])
    throw error
  }
}

async function listen(server: Server, port: number, host: string): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  return `http://${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`
}

type Pages = { registry: Registry; lag: () => Promise<ConsumerLag[]>; isReady: () => boolean }

/** `/health/liveness`, `/health/readiness`, `/metrics`, `/lag`. */
function createPages({ registry, lag, isReady }: Pages) {
  const send = (response: ServerResponse, status: number, contentType: string, body: string) =>
    response
      .writeHead(status, { 'content-type': contentType, 'content-length': String(Buffer.byteLength(body)) })
      .end(body)
  const later = (response: ServerResponse, work: Promise<string>, contentType: string) =>
    void work.then(
      (body) => send(response, 200, contentType, body),
      () => send(response, 503, 'text/plain', 'Kafka does not answer\n'),
    )
  return (request: IncomingMessage, response: ServerResponse): boolean => {
    if (request.method !== 'GET') return false
    switch (request.url) {
      case '/health/liveness':
        send(response, 200, 'text/plain', 'ok\n')
        return true
      case '/health/readiness':
        if (isReady()) send(response, 200, 'text/plain', 'ok\n')
        else send(response, 503, 'text/plain', 'not every consumer has its partitions\n')
        return true
      case '/metrics':
        later(
          response,
          lag().then(() => registry.metrics()),
          registry.contentType,
        )
        return true
      case '/lag':
        later(
          response,
          lag().then((lags) => JSON.stringify(lags)),
          'application/json',
        )
        return true
      default:
        return false
    }
  }
}
