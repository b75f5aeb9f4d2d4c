/** A consumer on a topic and a group of its own, on the real Kafka. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { Registry } from 'prom-client'
import { eventToKafka } from '@stampede/shared/kafka/cloud-event.ts'
import { createKafka, createProducer, ensureTopics } from '@stampede/shared/kafka/connect.ts'
import { serviceAddresses } from '@stampede/shared/testing/services.ts'
import { fetchCommitted } from './offsets.ts'
import { EventConsumer, type EventConsumerOptions } from './consumer.ts'
import type { Deliver } from './deliver.ts'
import { silentLog } from './log.ts'
import { createMetrics } from './metrics.ts'
import type { ConsumerPlan } from './plan.ts'

export type TestKafka = Awaited<ReturnType<typeof connectTestKafka>>

/** Clients for the tests of a file. `close` deletes the topics and groups that were made. */
export async function connectTestKafka() {
  const kafka = createKafka({ brokers: serviceAddresses().kafkaBrokers, clientId: 'engine-test', retries: 5 })
  const admin = kafka.admin()
  const producer = createProducer(kafka)
  await Promise.all([admin.connect(), producer.connect()])
  const topics: string[] = []
  const close = async () => {
    // Only at the end: a client asks for the metadata of all topics that it has seen, and a deleted one is an error.
    await admin.deleteTopics({ topics }).catch(() => {})
    await admin.deleteGroups(topics).catch(() => {})
    await Promise.all([admin.disconnect(), producer.disconnect()])
  }
  return { kafka, admin, producer, topics, close }
}

/** A topic and a group of its own. */
export async function setUpConsumer(
  t: ExecutionContext,
  { kafka, admin, producer, topics }: TestKafka,
  partitions = 1,
) {
  const topic = `engine-test-${randomBytes(6).toString('hex')}`
  await ensureTopics(kafka, [{ topic, partitions }])
  topics.push(topic)
  const plan: ConsumerPlan = {
    name: topic,
    kind: 'trigger',
    groupId: topic,
    topics: [topic],
    startAt: 'earliest',
    filter: () => true,
    ordered: false,
    subscriber: { kind: 'http', name: 'nobody', url: () => '' },
    delivery: { policy: {} as never, deadLetter: undefined },
    replyTopic: undefined,
    wrapSource: '',
    scaling: {},
  }
  const produce = (ids: readonly string[], partition = 0, keyOf: (id: string) => string | null = () => null) =>
    producer.send({
      topic,
      messages: ids.map((id) => ({
        ...eventToKafka({ specversion: '1.0', id, source: '/test', type: 'a.b' }),
        partition,
        key: keyOf(id),
      })),
    })
  const create = (deliver: Deliver, more: Partial<EventConsumerOptions> = {}) =>
    new EventConsumer({
      kafka,
      plan,
      deliver,
      log: silentLog,
      metrics: createMetrics(new Registry()).consumer('x'),
      startOffsets: [],
      concurrency: 16,
      maximumHeld: 1_000,
      commitIntervalMs: 50,
      sessionTimeoutMs: 6_000,
      fetchCommitted: () => fetchCommitted(admin, plan),
      ...more,
    })
  const start = (deliver: Deliver, more: Partial<EventConsumerOptions> = {}) => {
    const consumer = create(deliver, more)
    t.teardown(() => consumer.stop(0))
    consumer.startInBackground()
    return consumer
  }
  const committed = async (partition = 0) => {
    const all = await fetchCommitted(admin, { groupId: topic, topics: [topic] })
    return Number(all.find((one) => one.partition === partition)!.offset)
  }
  // A Kafka that has just begun must know who looks after this group, else the consumer fails at first.
  await committed()
  return { topic, plan, produce, create, start, committed }
}

/** Ends by the limit of the test when it never becomes true. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(20)
}

/** Collects ids; `hold` keeps deliveries of these open until they are released or the assignment ends. */
export function collect(held: readonly string[] = []) {
  const ids: string[] = []
  const gates = new Map(held.map((id) => [id, Promise.withResolvers<boolean>()]))
  const deliver: Deliver = async ({ attributes }, { pauses }) => {
    const id = attributes['id']!
    ids.push(id)
    const gate = gates.get(id)
    if (!gate) return true
    const ended = new Promise<boolean>((resolve) => pauses.addEventListener('abort', () => resolve(false)))
    return Promise.race([gate.promise, ended])
  }
  return { ids, deliver, release: (id: string) => gates.get(id)!.resolve(true) }
}
