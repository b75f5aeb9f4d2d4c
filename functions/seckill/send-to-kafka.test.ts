/** The relay to a real Kafka: in pieces that it takes, as the events that the catalogue promises. */
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import type { Kafka, KafkaMessage } from 'kafkajs'
import { purchaseAccepted } from '@stampede/eventing/catalogue/events.ts'
import { decodeKafka } from '@stampede/shared/kafka/cloud-event.ts'
import { createConsumer, createKafka } from '@stampede/shared/kafka/connect.ts'
import { serviceAddresses } from '@stampede/shared/testing/services.ts'
import { startRelay } from './relay-loop.ts'
import { numbersOf, options, startOutboxes } from './relay.fixture.ts'
import { newRelayState, relayOnce, type RelayEffects } from './relay.ts'
import { createKafkaSender } from './send-to-kafka.ts'
import { randomId } from './testing.ts'

const { kafkaBrokers } = serviceAddresses()
const { store, saleWith, outboxLength, loopOptions, stop } = await startOutboxes()
test.after.always(stop)

test('relay – a backlog of large entries met with small ones in mind goes to real Kafka in pieces that it takes', async (t) => {
  const { bucket, accepted } = await saleWith(300, 64)
  const topic = randomId('relay')
  const kafka = createKafka({ brokers: kafkaBrokers, clientId: 'test' })
  const sender = createKafkaSender(kafka, { topic, partitions: 1, replicationFactor: 1 })
  const state = { ...newRelayState(), purchasesPerEntry: 1 }
  const sizes: number[] = []
  const effects: RelayEffects = {
    store,
    leaving: () => {},
    send: async (messages) => {
      sizes.push(numbersOf(messages).length)
      await sender.send(messages)
    },
  }
  const { purchases } = await relayOnce(bucket, state, effects, { ...options, batchPurchases: 1_000 })
  t.is(purchases, accepted.length)
  t.true(purchases > 10_000)
  t.true(
    sizes.every((size) => size <= 4_000),
    sizes.join(),
  )
  t.is(await outboxLength(bucket), 0)
  await sender.stop()
  const admin = kafka.admin()
  await admin.connect()
  await admin.deleteTopics({ topics: [topic] })
  await admin.disconnect()
})

test('relay – to real Kafka: binary CloudEvents with the partition key, every purchase is in one record', async (t) => {
  const { bucket, accepted } = await saleWith(20, 20)
  const topic = randomId('relay')
  const kafka = createKafka({ brokers: kafkaBrokers, clientId: 'test' })
  const sender = createKafkaSender(kafka, { topic, partitions: 3, replicationFactor: 1 })
  const relay = startRelay({ ...loopOptions(sender.send, 'one'), batchPurchases: 1_000 })
  relay.wake(bucket)
  while ((await outboxLength(bucket)) !== 0) await sleep(20)
  await relay.drain(5_000)
  await sender.stop()

  const written: string[] = []
  for (const record of await recordsOf(kafka, topic)) {
    const { attributes, data } = decodeKafka(record)!
    t.is(attributes['type'], 'io.stampede.purchase.accepted.v1')
    t.is(attributes['source'], '/functions/seckill')
    t.is(attributes['subject'], bucket.activityId)
    t.is(attributes['partitionkey'], record.key?.toString())
    const { purchases } = purchaseAccepted.data.parse(JSON.parse(data!.toString()))
    written.push(...purchases.map(({ orderNumber }) => orderNumber))
  }
  t.deepEqual(written.sort(), accepted.sort())
  const admin = kafka.admin()
  await admin.connect()
  await admin.deleteTopics({ topics: [topic] })
  await admin.disconnect()
})

/** What the topic holds, once for each place in it: a consumer that lost its membership is given the same places again. */
async function recordsOf(kafka: Kafka, topic: string): Promise<KafkaMessage[]> {
  const admin = kafka.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()
  const count = ends.reduce((sum, { low, high }) => sum + Number(high) - Number(low), 0)
  const records = new Map<string, KafkaMessage>()
  const consumer = createConsumer(kafka, { groupId: topic })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const done = Promise.withResolvers<void>()
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      records.set(`${partition}:${message.offset}`, message)
      if (records.size === count) done.resolve()
    },
  })
  await done.promise
  await consumer.disconnect()
  return [...records.values()]
}
