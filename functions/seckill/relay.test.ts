/** The relay on real Redis and Kafka: nothing is lost when a process dies at any point, and what is sent is what was accepted. */
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import type { Kafka, KafkaMessage } from 'kafkajs'
import { Registry } from 'prom-client'
import { purchaseAccepted } from '@stampede/eventing/catalogue/events.ts'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { decodeKafka } from '@stampede/shared/kafka/cloud-event.ts'
import { createConsumer, createKafka } from '@stampede/shared/kafka/connect.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { serviceAddresses, startRedis } from '@stampede/shared/testing/services.ts'
import { createCounters } from './counters.ts'
import { startRelay, type RelayLoopOptions } from './relay-loop.ts'
import {
  newRelayState,
  relayOnce,
  toMessages,
  type RelayEffects,
  type RelayMessage,
  type RelayOptions,
} from './relay.ts'
import { createKafkaSender } from './send-to-kafka.ts'
import { randomId } from './testing.ts'

const { kafkaBrokers } = serviceAddresses()
// An own Redis: any other process that relays would take these purchases away.
const server = await startRedis()
const redis = connectRedis(server.url)
const store = createSaleStore(redis)
const nextNumber = orderNumbers()
test.after.always(async () => {
  redis.disconnect()
  await server.stop()
})

const leaving = () => undefined
const options: RelayOptions = { consumer: 'one', shards: 4, batchPurchases: 100, claimIdleMs: 5_000 }

async function saleWith(calls: number, purchasesEach: number) {
  const bucket = { tenantId: randomId('tenant'), activityId: randomId('activity'), bucket: 0 }
  await store.warmUp({
    ...bucket,
    stock: 100_000,
    perUserLimit: 1,
    buckets: 1,
    startsAtMs: 0,
    endsAtMs: Date.now() + 600_000,
  })
  const accepted: string[] = []
  for (let call = 0; call < calls; call++) {
    const purchases = Array.from({ length: purchasesEach }, (_, index) => ({
      userId: `user-${call}-${index}`,
      quantity: 1,
      orderNumber: nextNumber(),
    }))
    const { verdicts } = await store.purchase(bucket, purchases)
    for (const verdict of verdicts) if (verdict.outcome === 'accepted') accepted.push(verdict.orderNumber)
  }
  return { bucket, accepted }
}

const numbersOf = (messages: readonly RelayMessage[]) =>
  messages.flatMap(({ data }) => data.purchases.map(({ orderNumber }) => orderNumber))
const outboxLength = async (bucket: Parameters<typeof store.snapshot>[0]) =>
  (await store.snapshot(bucket))?.outboxLength

/** Steps until nothing is left. */
async function relayAll(
  bucket: Parameters<typeof relayOnce>[0],
  effects: RelayEffects,
  own: Partial<RelayOptions> = {},
  claim = false,
) {
  const state = newRelayState()
  while ((await relayOnce(bucket, state, effects, { ...options, ...own }, claim)).entries > 0);
}

test('relay – sends every accepted purchase once when nothing fails, and empties the outbox', async (t) => {
  const { bucket, accepted } = await saleWith(30, 7)
  const sent: RelayMessage[] = []
  await relayAll(bucket, { store, leaving, send: async (messages) => void sent.push(...messages) })
  t.is(accepted.length, 210)
  t.deepEqual(numbersOf(sent).sort(), accepted.sort())
  t.is(await outboxLength(bucket), 0)
  for (const { data } of sent) t.notThrows(() => purchaseAccepted.data.parse(data))
})

test('relay – Kafka fails: nothing is acknowledged, the same purchases are sent again under the same event ids', async (t) => {
  const { bucket, accepted } = await saleWith(3, 5)
  const state = newRelayState()
  const attempts: RelayMessage[][] = []
  let failures = 2
  const effects: RelayEffects = {
    store,
    leaving,
    send: async (messages) => {
      attempts.push([...messages])
      if (failures-- > 0) throw new Error('no broker')
    },
  }
  const big = { ...options, batchPurchases: 1_000 }
  await t.throwsAsync(relayOnce(bucket, state, effects, big))
  await t.throwsAsync(relayOnce(bucket, state, effects, big))
  t.is(await outboxLength(bucket), 3)
  await relayOnce(bucket, state, effects, big)
  t.is(attempts.length, 3)
  t.deepEqual(
    attempts[2]!.map(({ id }) => id),
    attempts[0]!.map(({ id }) => id),
  )
  t.deepEqual(numbersOf(attempts[2]!).sort(), accepted.sort())
  t.is(await outboxLength(bucket), 0)
})

test('relay – what leaves Redis is remembered before Kafka has it', async (t) => {
  const { bucket, accepted } = await saleWith(3, 5)
  const remembered: string[] = []
  const state = newRelayState()
  await t.throwsAsync(
    relayOnce(
      bucket,
      state,
      {
        store,
        leaving: (ref, purchases) => {
          t.deepEqual(ref, bucket)
          remembered.push(...purchases.map(({ orderNumber }) => orderNumber))
        },
        send: () => Promise.reject(new Error('no broker')),
      },
      { ...options, batchPurchases: 1_000 },
    ),
  )
  t.deepEqual(remembered.sort(), accepted.sort())
})

test('relay – dies between reading and sending: another process claims the entries after the idle time', async (t) => {
  const { bucket, accepted } = await saleWith(4, 5)
  await store.readOutbox(bucket, 'dead', 100)
  const sent: RelayMessage[] = []
  const effects: RelayEffects = { store, leaving, send: async (messages) => void sent.push(...messages) }
  await relayAll(bucket, effects, { consumer: 'two' }, true)
  t.is(sent.length, 0, 'not before they were idle for the time')
  await sleep(60)
  await relayAll(bucket, effects, { consumer: 'two', claimIdleMs: 50 }, true)
  t.deepEqual(numbersOf(sent).sort(), accepted.sort())
  t.is(await outboxLength(bucket), 0)
})

test('relay – dies between the acknowledgement of Kafka and the deletion: sent twice, never lost', async (t) => {
  const { bucket, accepted } = await saleWith(4, 5)
  const sent: RelayMessage[] = []
  const dying: RelayEffects = {
    store: { ...store, acknowledgeOutbox: () => Promise.reject(new Error('the process died here')) },
    leaving,
    send: async (messages) => void sent.push(...messages),
  }
  await t.throwsAsync(relayOnce(bucket, newRelayState(), dying, options))
  const first = numbersOf(sent)
  t.true(first.length > 0)
  await sleep(60)
  await relayAll(
    bucket,
    { store, leaving, send: async (messages) => void sent.push(...messages) },
    { consumer: 'two', claimIdleMs: 50 },
    true,
  )
  const all = numbersOf(sent)
  t.deepEqual([...new Set(all)].sort(), accepted.sort())
  t.is(all.length, accepted.length + first.length)
  t.is(await outboxLength(bucket), 0)
})

test('relay – Redis fails after Kafka: only the deletion is repeated', async (t) => {
  const { bucket, accepted } = await saleWith(2, 5)
  const sent: RelayMessage[] = []
  let failures = 1
  const effects: RelayEffects = {
    store: {
      ...store,
      acknowledgeOutbox: async (ref, ids) => {
        if (failures-- > 0) throw new Error('no answer')
        await store.acknowledgeOutbox(ref, ids)
      },
    },
    leaving,
    send: async (messages) => void sent.push(...messages),
  }
  const state = newRelayState()
  const big = { ...options, batchPurchases: 1_000 }
  await t.throwsAsync(relayOnce(bucket, state, effects, big))
  await relayOnce(bucket, state, effects, big)
  t.deepEqual(numbersOf(sent).sort(), accepted.sort())
  t.is(await outboxLength(bucket), 0)
})

test('messages – grouped by shard of the buyers in order, at most 1,000 purchases each, ids by content', (t) => {
  const bucket = { tenantId: 't', activityId: 'a', bucket: 0 }
  const purchases = Array.from({ length: 5_000 }, (_, index) => ({
    userId: `u${index}`,
    quantity: 1,
    orderNumber: nextNumber(),
  }))
  const entries = [{ id: '1-0', acceptedAtMs: 1, purchases }]
  const messages = toMessages(bucket, entries, 2)
  t.deepEqual(numbersOf(messages).sort(), purchases.map(({ orderNumber }) => orderNumber).sort())
  t.deepEqual([...new Set(messages.map(({ partitionKey }) => partitionKey))].sort(), ['t:a:0', 't:a:1'])
  for (const { data } of messages) {
    t.true(data.purchases.length <= 1_000)
    const numbers = data.purchases.map(({ orderNumber }) => orderNumber)
    t.deepEqual(numbers, [...numbers].sort())
  }
  t.is(new Set(messages.map(({ id }) => id)).size, messages.length)
  t.deepEqual(toMessages(bucket, entries, 2), messages)
})

const silent = { warn: () => {}, error: () => {} }
const loopOptions = (send: RelayLoopOptions['send'], consumer: string): RelayLoopOptions => ({
  ...options,
  consumer,
  // No sweep: the tests share this Redis.
  store: { ...store, listSales: async () => [] },
  leaving,
  send,
  log: silent,
  counters: createCounters(new Registry()),
  lingerMs: 1,
  sweepMs: 60_000,
})

test('relay loop – back-off while Kafka fails, then everything arrives', async (t) => {
  const { bucket, accepted } = await saleWith(10, 10)
  const sent: RelayMessage[] = []
  let failures = 3
  const relay = startRelay(
    loopOptions(async (messages) => {
      if (failures-- > 0) throw new Error('no broker')
      sent.push(...messages)
    }, 'one'),
  )
  relay.wake(bucket)
  while ((await outboxLength(bucket)) !== 0) await sleep(20)
  t.true(await relay.drain(5_000))
  t.deepEqual(numbersOf(sent).sort(), accepted.sort())
})

test('relay loop – draining sends what is there; what it cannot send stays for others', async (t) => {
  const { bucket, accepted } = await saleWith(5, 10)
  const sent: RelayMessage[] = []
  const relay = startRelay(loopOptions(async (messages) => void sent.push(...messages), 'one'))
  relay.wake(bucket)
  t.true(await relay.drain(5_000))
  t.deepEqual(numbersOf(sent).sort(), accepted.sort())

  const other = await saleWith(5, 10)
  const broken = startRelay(loopOptions(() => Promise.reject(new Error('no broker')), 'two'))
  broken.wake(other.bucket)
  t.false(await broken.drain(300))
  t.is(await outboxLength(other.bucket), 5)
})

test('relay loop – the sweep finds what a dead process left, and claims what it had read', async (t) => {
  const own = await startRedis()
  const connection = connectRedis(own.url)
  t.teardown(async () => {
    connection.disconnect()
    await own.stop()
  })
  const ownStore = createSaleStore(connection)
  const bucket = { tenantId: randomId('tenant'), activityId: randomId('activity'), bucket: 1 }
  await ownStore.warmUp({
    ...bucket,
    stock: 10,
    perUserLimit: 1,
    buckets: 2,
    startsAtMs: 0,
    endsAtMs: Date.now() + 600_000,
  })
  const purchase = (userId: string) => ownStore.purchase(bucket, [{ userId, quantity: 1, orderNumber: nextNumber() }])
  await purchase('ann')
  await ownStore.readOutbox(bucket, 'dead', 100)
  await purchase('bob')
  const users: string[] = []
  const relay = startRelay({
    ...loopOptions(async (messages) => {
      for (const { data } of messages) users.push(...data.purchases.map(({ userId }) => userId))
    }, 'one'),
    store: ownStore,
    sweepMs: 20,
    claimIdleMs: 50,
  })
  while ((await ownStore.snapshot(bucket))?.outboxLength !== 0) await sleep(20)
  t.true(await relay.drain(5_000))
  t.deepEqual(users.sort(), ['ann', 'bob'])
})

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
