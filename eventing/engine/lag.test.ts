import test from 'ava'
import type { EventConsumer } from './consumer.ts'
import { createLagReader } from './lag.ts'
import { findStartOffsets } from './offsets.ts'
import type { ConsumerPlan } from './plan.ts'
import { collect, connectTestKafka, setUpConsumer, until } from './testing.ts'

const clients = await connectTestKafka()
const { admin } = clients
test.after.always(clients.close)

const readerOf = (consumers: EventConsumer[]) => {
  const gauge = new Map<string, number>()
  const read = createLagReader(admin, consumers, { set: ({ consumer }, value) => void gauge.set(consumer, value) })
  return { gauge, read }
}

test('lag – counts from the committed offset before anything was settled, and from what is settled after', async (t) => {
  const { produce, start, topic } = await setUpConsumer(t, clients)
  await produce(['a', 'b', 'c'])
  const { ids, deliver, release } = collect(['a', 'b', 'c'])
  const consumer = start(deliver)
  await until(() => ids.length === 3)
  const { gauge, read } = readerOf([consumer])
  t.deepEqual(await read(), [{ consumer: topic, lag: 3, inFlight: 3 }])
  t.is(gauge.get(topic), 3)
  release('a')
  release('c')
  await until(() => consumer.settled(topic, 0) === 1n)
  t.like((await readerOf([consumer]).read())[0], { lag: 2, inFlight: 1 })
})

test('lag – an answer is kept for a moment, a failed one is not', async (t) => {
  const { start, topic } = await setUpConsumer(t, clients)
  const consumer = start(collect().deliver)
  await consumer.joined
  let asked = 0
  const counting = {
    fetchOffsets: (query: Parameters<typeof admin.fetchOffsets>[0]) => admin.fetchOffsets(query),
    fetchTopicOffsets: async (name: string) => {
      asked += 1
      if (asked === 1) throw new Error('Kafka is away')
      return admin.fetchTopicOffsets(name)
    },
  } as typeof admin
  const read = createLagReader(counting, [consumer], { set() {} })
  await t.throwsAsync(read(), { message: 'Kafka is away' })
  const [one, two] = [read(), read()]
  t.is(one, two)
  t.deepEqual(await one, [{ consumer: topic, lag: 0, inFlight: 0 }])
  t.is(asked, 2)
})

test('lag – with `latest`, records from before the group are none of it, also before offsets are committed', async (t) => {
  const { produce, create, plan, topic } = await setUpConsumer(t, clients)
  await produce(['old', 'old'])
  const latest: ConsumerPlan = { ...plan, startAt: 'latest' }
  const startOffsets = await findStartOffsets(admin, latest)
  const consumer = create(collect().deliver, { plan: latest, startOffsets })
  t.is(await consumer.firstOffset(admin, topic, 0), 2n)
})
