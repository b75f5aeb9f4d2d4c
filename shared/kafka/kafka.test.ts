import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import type { KafkaMessage } from 'kafkajs'
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js'
import type { EventMessage } from '../events/cloud-event.ts'
import { serviceAddresses } from '../testing/services.ts'
import { decodeKafka, encodeKafka } from './cloud-event.ts'
import { createConsumer, createKafka, createProducer } from './connect.ts'
import { ensureTopics, TopicMismatchError } from './topics.ts'

const kafka = createKafka({ brokers: serviceAddresses().kafkaBrokers, clientId: 'kafka-test' })

function newTopic(t: ExecutionContext): string {
  const topic = `test-${randomBytes(6).toString('hex')}`
  t.teardown(async () => {
    const admin = kafka.admin()
    await admin.connect()
    await admin.deleteTopics({ topics: [topic] }).catch(() => {})
    await admin.disconnect()
  })
  return topic
}

async function partitionsOf(topic: string): Promise<number> {
  const admin = kafka.admin()
  await admin.connect()
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  await admin.disconnect()
  return topics[0]!.partitions.length
}

test('ensureTopics – creates what is missing, with no more copies than there are brokers', async (t) => {
  const topic = newTopic(t)
  await ensureTopics(kafka, [{ topic, partitions: 3, replicationFactor: 3 }])
  t.is(await partitionsOf(topic), 3)
})

test('ensureTopics – leaves what is there, also when many ask at once', async (t) => {
  const topic = newTopic(t)
  await Promise.all([1, 2, 3].map(() => ensureTopics(kafka, [{ topic, partitions: 3 }])))
  await ensureTopics(kafka, [{ topic, partitions: 2 }])
  t.is(await partitionsOf(topic), 3)
})

test('ensureTopics – refuses a topic with fewer partitions, because keys would move', async (t) => {
  const topic = newTopic(t)
  await ensureTopics(kafka, [{ topic, partitions: 2 }])
  const error = await t.throwsAsync(ensureTopics(kafka, [{ topic, partitions: 4 }]), { instanceOf: TopicMismatchError })
  t.regex(error.message, new RegExp(`${topic} has 2 partitions, 4 are wanted`))
})

test('ensureTopics – a new topic is written at once: every partition takes its record at the first attempt', async (t) => {
  // A repeat would hide a partition that is not served yet, and write to the others twice.
  const producer = createProducer(
    createKafka({ brokers: serviceAddresses().kafkaBrokers, clientId: 'kafka-test', retries: 0 }),
  )
  await producer.connect()
  t.teardown(() => producer.disconnect())
  for (let round = 0; round < 3; round++) {
    const topic = newTopic(t)
    await ensureTopics(kafka, [{ topic, partitions: 64 }])
    const messages = Array.from({ length: 64 }, (_, partition) => ({ partition, value: 'x' }))
    const written = await producer.send({ topic, acks: -1, messages })
    t.deepEqual(new Set(written.map(({ baseOffset }) => baseOffset)), new Set(['0']))
  }
})

test('Kafka binding – an event comes back from a real topic, its key is the partition key', async (t) => {
  const topic = newTopic(t)
  await ensureTopics(kafka, [{ topic, partitions: 1 }])
  const events: EventMessage[] = [
    {
      attributes: {
        specversion: '1.0',
        id: '1',
        source: '/x',
        type: 'a',
        subject: 'Füße 手机',
        partitionkey: 'k1',
        datacontenttype: 'application/json',
      },
      data: Buffer.from('{"a":"ü"}'),
    },
    { attributes: { specversion: '1.0', id: '2', source: '/x', type: 'a' }, data: undefined },
  ]
  const producer = createProducer(kafka)
  await producer.connect()
  await producer.send({ topic, messages: [...events.map(encodeKafka), { key: null, value: 'no event' }] })
  await producer.disconnect()

  const consumer = createConsumer(kafka, { groupId: topic })
  t.teardown(() => consumer.disconnect())
  const records: KafkaMessage[] = []
  const { promise: all, resolve } = Promise.withResolvers<void>()
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message }) => {
      records.push(message)
      if (records.length === 3) resolve()
    },
  })
  await all
  t.deepEqual(
    records.map((record) => decodeKafka(record)),
    [...events, undefined],
  )
  t.deepEqual(
    records.map(({ key }) => key?.toString()),
    ['k1', undefined, undefined],
  )
})

test.serial('clients – one that has nothing to do does nothing', async (t) => {
  const { checkPendingRequests } = RequestQueue.prototype
  let looks = 0
  RequestQueue.prototype.checkPendingRequests = function () {
    looks += 1
    return checkPendingRequests.call(this)
  }
  t.teardown(() => (RequestQueue.prototype.checkPendingRequests = checkPendingRequests))
  const idle = createProducer(createKafka({ brokers: serviceAddresses().kafkaBrokers, clientId: 'idle' }))
  await idle.connect()
  const before = looks
  await sleep(500)
  await idle.disconnect()
  t.true(looks - before < 20, `${looks - before} looks at an empty queue`)
})
