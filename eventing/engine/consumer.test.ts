import test from 'ava'
import kafkajs, { type ConsumerRunConfig, type EachBatchPayload, type Kafka } from 'kafkajs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Deliver } from './deliver.ts'
import { silentLog } from './log.ts'
import { findStartOffsets } from './offsets.ts'
import type { ConsumerPlan } from './plan.ts'
import { collect, connectTestKafka, setUpConsumer, until } from './testing.ts'

const clients = await connectTestKafka()
const { kafka, admin, producer } = clients
test.after.always(clients.close)

/** The client, with something between kafkajs and the handler of batches. */
const intercepted = (around: (payload: EachBatchPayload) => EachBatchPayload): Kafka =>
  Object.create(kafka, {
    consumer: {
      value: (config: Parameters<Kafka['consumer']>[0]) => {
        const consumer = kafka.consumer(config)
        const run = consumer.run.bind(consumer)
        consumer.run = (options?: ConsumerRunConfig) =>
          run({ ...options, eachBatch: (payload) => options!.eachBatch!(around(payload)) })
        return consumer
      },
    },
  }) as Kafka

test('consumer – fetching pauses at the limit and goes on when half of it is settled', async (t) => {
  const { produce, start } = await setUpConsumer(t, clients)
  const first = Array.from({ length: 10 }, (_, index) => `a${index}`)
  await produce(first)
  const { ids, deliver, release } = collect(first)
  // What is fetched is seen by its delivery.
  start(deliver, { maximumHeld: 8, concurrency: 100 })
  await until(() => ids.length === 10)
  await produce(['b0'])
  await sleep(700)
  t.is(ids.length, 10, 'two long polls later nothing more was taken')
  for (const id of first.slice(0, 5)) release(id)
  await sleep(700)
  t.is(ids.length, 10, 'five are more than half of eight')
  release('a5')
  await until(() => ids.includes('b0'))
  for (const id of first) release(id)
  t.is(ids.length, 11)
})

test('consumer – commits only up to the first event that is not settled', async (t) => {
  const { produce, start, committed, topic } = await setUpConsumer(t, clients)
  await produce(['a', 'b', 'c', 'd'])
  const { ids, deliver, release } = collect(['b', 'd'])
  const consumer = start(deliver)
  await until(async () => ids.length === 4 && (await committed()) >= 0)
  await sleep(300)
  t.is(await committed(), 1)
  t.is(consumer.settled(topic, 0), 1n)
  release('d')
  await sleep(300)
  t.is(await committed(), 1)
  release('b')
  await until(async () => (await committed()) === 4)
  t.is(consumer.settled(topic, 0), 4n)
})

test('consumer – stop commits what is settled; the next one begins with what is not', async (t) => {
  const { produce, start, committed } = await setUpConsumer(t, clients)
  await produce(['a', 'b', 'c'])
  const before = collect(['b'])
  const consumer = start(before.deliver, { commitIntervalMs: 600_000 })
  await until(() => before.ids.length === 3)
  await consumer.stop(10_000)
  t.is(await committed(), 1)
  const after = collect()
  start(after.deliver)
  await until(() => after.ids.length === 2)
  t.deepEqual(after.ids, ['b', 'c'])
})

test('consumer – a delivery that throws stays uncommitted', async (t) => {
  const { produce, start, committed } = await setUpConsumer(t, clients)
  await produce(['a', 'b'])
  const { ids, deliver } = collect()
  const errors: string[] = []
  start(
    async (message, signals) => {
      await deliver(message, signals)
      if (message.attributes['id'] === 'b') throw new Error('defect')
      return true
    },
    { log: { ...silentLog, error: (_fields, message) => void errors.push(message) } },
  )
  await until(async () => ids.length === 2 && (await committed()) === 1)
  await sleep(200)
  t.is(await committed(), 1)
  t.deepEqual(errors, ['delivery failed unexpectedly'])
})

test('consumer – a filtered record and one that is no event are passed over, and committed', async (t) => {
  const { produce, start, committed, topic, plan } = await setUpConsumer(t, clients)
  await produce(['a'])
  await producer.send({ topic, messages: [{ value: 'no event', partition: 0 }] })
  await produce(['b', 'c'])
  const { ids, deliver } = collect()
  start(deliver, { plan: { ...plan, filter: ({ id }) => id !== 'b' } })
  await until(async () => (await committed()) === 4)
  t.deepEqual(ids, ['a', 'c'])
})

test('consumer – goes on after a crash that kafkajs does not repair', async (t) => {
  const { produce, start, committed } = await setUpConsumer(t, clients)
  let crashes = 0
  const broken = intercepted((payload) => ({
    ...payload,
    heartbeat: async () => {
      crashes += 1
      if (crashes === 1) throw new kafkajs.KafkaJSNonRetriableError('broken for the test')
      await payload.heartbeat()
    },
  }))
  const errors: object[] = []
  const log = { ...silentLog, error: (fields: object) => void errors.push(fields) }
  const { ids, deliver } = collect()
  const consumer = start(deliver, { kafka: broken, log })
  await consumer.joined
  await produce(['a'])
  await until(() => errors.length > 0)
  t.like(errors[0], { error: 'broken for the test', restart: false })
  t.false(consumer.isJoined)
  await produce(['b'])
  await until(() => ids.includes('b'))
  t.true(consumer.isJoined)
  await until(async () => (await committed()) === 2)
})

test('consumer – a heartbeat that fails for a moment does not bring the records twice', async (t) => {
  const { produce, start, committed } = await setUpConsumer(t, clients)
  let failures = 0
  const shaky = intercepted((payload) => ({
    ...payload,
    heartbeat: async () => {
      failures += 1
      if (failures <= 2) throw Object.assign(new Error('no answer'), { retriable: true })
      await payload.heartbeat()
    },
  }))
  const { ids, deliver } = collect()
  const consumer = start(deliver, { kafka: shaky })
  await consumer.joined
  await produce(['a', 'b'])
  await until(() => failures > 0)
  await produce(['c'])
  await until(async () => (await committed()) === 3)
  t.deepEqual(ids, ['a', 'b', 'c'])
})

test('consumer – what was not settled at a rebalance is delivered again, what was is not', async (t) => {
  const { produce, start, committed } = await setUpConsumer(t, clients, 2)
  await produce(['a0', 'b0'], 0)
  await produce(['a1', 'b1'], 1)
  const one = collect(['b0', 'b1'])
  const first = start(one.deliver)
  await until(async () => one.ids.length === 4 && (await committed(0)) === 1 && (await committed(1)) === 1)
  const two = collect()
  const second = start(two.deliver)
  await second.joined
  // Both have one partition now; the held event of each comes again, to whoever has it.
  const again = () => new Set([...one.ids.slice(4), ...two.ids])
  await until(() => again().size === 2 && two.ids.length > 0)
  t.true(again().isSubsetOf(new Set(['b0', 'b1'])))
  t.is(first.partitions.length, 1)
  t.is(second.partitions.length, 1)
})

test('consumer – when partitions go to another process, no key has two deliveries at once, in order, and nothing comes twice', async (t) => {
  const { produce, start, committed, plan } = await setUpConsumer(t, clients, 2)
  const running = new Map<string, number>()
  const done = new Map<string, number[]>()
  let overlaps = 0
  // The key of a record is its id up to the dash, and each delivery takes its time.
  const deliverer =
    (): Deliver =>
    async ({ attributes }) => {
      const [key = '', number = ''] = attributes['id']!.split('-')
      if ((running.get(key) ?? 0) > 0) overlaps += 1
      running.set(key, (running.get(key) ?? 0) + 1)
      await sleep(150)
      running.set(key, running.get(key)! - 1)
      done.set(key, [...(done.get(key) ?? []), Number(number)])
      return true
    }
  const perKey = 40
  for (const [partition, keys] of [
    ['a', 'b'],
    ['c', 'd'],
  ].entries()) {
    const ids = Array.from({ length: perKey }, (_, number) => keys.map((key) => `${key}-${number}`)).flat()
    await produce(ids, partition, (id) => id.split('-')[0]!)
  }
  const ordered = { plan: { ...plan, ordered: true } }
  // Commits come only from the hand-over itself.
  const first = start(deliverer(), { ...ordered, commitIntervalMs: 600_000 })
  await until(() => (done.get('a')?.length ?? 0) >= 3)
  const second = start(deliverer(), { ...ordered, commitIntervalMs: 600_000 })
  await second.joined
  await until(() => [...done.values()].flat().length >= (4 * perKey) / 2)
  const third = start(deliverer(), ordered)
  await third.joined
  await first.stop(5_000)
  await until(async () => [...done.values()].flat().length >= 4 * perKey)
  await second.stop(5_000)
  await third.stop(5_000)
  t.deepEqual([await committed(0), await committed(1)], [2 * perKey, 2 * perKey])
  t.is(overlaps, 0)
  for (const [key, numbers] of done)
    t.deepEqual(
      numbers,
      Array.from({ length: perKey }, (_, index) => index),
      key,
    )
})

test('consumer – with `latest` the first offsets are fixed when it has joined, before any event', async (t) => {
  const { produce, start, committed, plan } = await setUpConsumer(t, clients, 2)
  await produce(['old', 'old'], 1)
  const latest: ConsumerPlan = { ...plan, startAt: 'latest' }
  const startOffsets = await findStartOffsets(admin, latest)
  // Accepted between the look at the offsets and the start of the group.
  await produce(['between'], 1)
  const { ids, deliver } = collect(['between'])
  const consumer = start(deliver, { plan: latest, startOffsets, commitIntervalMs: 600_000 })
  await consumer.joined
  t.deepEqual([await committed(0), await committed(1)], [0, 2])
  await until(() => ids.length === 1)
  t.deepEqual(ids, ['between'])
})

test('consumer – a group that was here before goes on where it was, whatever first offsets say', async (t) => {
  const { produce, start, committed } = await setUpConsumer(t, clients)
  await produce(['a', 'b'])
  const before = collect()
  const consumer = start(before.deliver)
  await until(async () => (await committed()) === 2)
  await consumer.stop(1_000)
  await produce(['c'])
  const after = collect()
  start(after.deliver)
  await until(() => after.ids.length > 0)
  t.deepEqual(after.ids, ['c'])
})

test('consumer – stopped while it begins: it leaves no member in the group', async (t) => {
  const { start, topic } = await setUpConsumer(t, clients)
  const consumer = start(collect().deliver)
  await consumer.stop(1_000)
  await sleep(1_500)
  const { groups } = await admin.describeGroups([topic])
  t.deepEqual(groups[0]!.members, [])
})

test('consumer – a source makes events of records that are none', async (t) => {
  const { start, topic, plan } = await setUpConsumer(t, clients)
  await producer.send({ topic, messages: [{ value: 'plain', partition: 0 }] })
  const { ids, deliver } = collect()
  start(deliver, { plan: { ...plan, kind: 'source' } })
  await until(() => ids.length === 1)
  t.deepEqual(ids, ['partition:0/offset:0'])
})
