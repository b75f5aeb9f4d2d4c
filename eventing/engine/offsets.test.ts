import { randomBytes } from 'node:crypto'
import test from 'ava'
import { createKafka, createProducer, ensureTopics } from '@stampede/shared/kafka/connect.ts'
import { serviceAddresses } from '@stampede/shared/testing/services.ts'
import { ManifestError } from './load-manifests.ts'
import { findStartOffsets, requireTopics } from './offsets.ts'

const kafka = createKafka({ brokers: serviceAddresses().kafkaBrokers, clientId: 'offsets-test', retries: 5 })
const admin = kafka.admin()
test.before(() => admin.connect())
// Only at the end: a client asks for the metadata of all topics that it has seen, and a deleted one is an error.
const topics: string[] = []
const groups: string[] = []
test.after.always(async () => {
  await admin.deleteTopics({ topics }).catch(() => {})
  await admin.deleteGroups(groups).catch(() => {})
  await admin.disconnect()
})

async function topicOf(records: readonly number[]): Promise<string> {
  const topic = `offsets-test-${randomBytes(6).toString('hex')}`
  await ensureTopics(kafka, [{ topic, partitions: records.length }])
  topics.push(topic)
  groups.push(topic)
  const producer = createProducer(kafka)
  await producer.connect()
  const messages = records.flatMap((count, partition) =>
    Array.from({ length: count }, () => ({ value: 'x', partition })),
  )
  if (messages.length > 0) await producer.send({ topic, messages })
  await producer.disconnect()
  return topic
}
const byPlace = <T extends { topic: string; partition: number }>(found: T[]) =>
  found.toSorted((a, b) => a.topic.localeCompare(b.topic) || a.partition - b.partition)

test('findStartOffsets – a new group begins at the present end of every partition of every topic', async (t) => {
  const mine = [await topicOf([0, 3]), await topicOf([1])]
  const found = byPlace(await findStartOffsets(admin, { groupId: mine[0]!, topics: mine }))
  t.deepEqual(found, [
    ...byPlace([
      { topic: mine[0]!, partition: 0, offset: '0' },
      { topic: mine[0]!, partition: 1, offset: '3' },
      { topic: mine[1]!, partition: 0, offset: '1' },
    ]),
  ])
})

test('findStartOffsets – partitions that the group knows are left out, also those it knows from the beginning', async (t) => {
  const topic = await topicOf([2, 2, 2])
  const known = [
    { partition: 0, offset: '0' },
    { partition: 2, offset: '1' },
  ]
  const groupId = `${topic}-all`
  groups.push(groupId)
  // Each takes kafkajs 5 seconds.
  await Promise.all([
    admin.setOffsets({ groupId: topic, topic, partitions: known }),
    admin.setOffsets({ groupId, topic, partitions: [...known, { partition: 1, offset: '2' }] }),
  ])
  t.deepEqual(await findStartOffsets(admin, { groupId: topic, topics: [topic] }), [
    { topic, partition: 1, offset: '2' },
  ])
  t.deepEqual(await findStartOffsets(admin, { groupId, topics: [topic] }), [])
})

test('findStartOffsets – a refusal that passes is waited out, another one is not', async (t) => {
  const topic = await topicOf([1])
  let refusals = 0
  const refusing = (retriable: boolean) =>
    ({
      fetchTopicOffsets: (name: string) => admin.fetchTopicOffsets(name),
      fetchOffsets: async (query: Parameters<typeof admin.fetchOffsets>[0]) => {
        refusals += 1
        if (refusals <= 2) throw Object.assign(new Error('not yet'), { retriable })
        return admin.fetchOffsets(query)
      },
    }) as typeof admin
  const query = { groupId: topic, topics: [topic] }
  t.deepEqual(await findStartOffsets(refusing(true), query), [{ topic, partition: 0, offset: '1' }])
  // A Kafka that has just begun may refuse by itself, too.
  t.true(refusals >= 3)
  refusals = 0
  await t.throwsAsync(findStartOffsets(refusing(false), query), { message: 'not yet' })
  t.is(refusals, 1)
})

test('requireTopics – names every topic that is missing and what to do', async (t) => {
  const topic = await topicOf([0])
  await t.notThrowsAsync(requireTopics(admin, [topic]))
  const error = await t.throwsAsync<ManifestError>(requireTopics(admin, [`${topic}-a`, topic, `${topic}-b`]), {
    instanceOf: ManifestError,
  })
  t.deepEqual(error?.problems, [
    `Kafka topic ${topic}-a does not exist; create it, or give a KafkaSink of this topic numPartitions`,
    `Kafka topic ${topic}-b does not exist; create it, or give a KafkaSink of this topic numPartitions`,
  ])
})
