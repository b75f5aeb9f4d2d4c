import { randomBytes } from 'node:crypto'
import test from 'ava'
import { encodeKafka } from '@stampede/shared/kafka/cloud-event.ts'
import { createKafka, createProducer, ensureTopics } from '@stampede/shared/kafka/connect.ts'
import { serviceAddresses } from '@stampede/shared/testing/services.ts'
import { readLetters } from './read-letters.ts'
import { originOf, sendAgain } from './send-again.ts'

const kafka = createKafka({ brokers: serviceAddresses().kafkaBrokers, clientId: 'dead-letters-test' })

const letter = (id: string, type: string, more: Record<string, string> = {}) =>
  encodeKafka({
    attributes: {
      specversion: '1.0',
      id,
      type,
      source: '/functions/order',
      datacontenttype: 'application/json',
      knativeerrordest: 'http://seckill',
      knativeerrorcode: '422',
      knativeerrordata: 'no, never',
      ...more,
    },
    data: Buffer.from(`{"of":"${id}"}`),
  })

test('dead letters – are read to the end, and go back to where they came from without what delivery wrote', async (t) => {
  const run = randomBytes(6).toString('hex')
  const topics = { dead: `test-dead-${run}`, broker: `test-broker-${run}`, source: `test-source-${run}` }
  await ensureTopics(
    kafka,
    Object.values(topics).map((topic) => ({ topic, partitions: 2 })),
  )
  t.teardown(async () => {
    const admin = kafka.admin()
    await admin.connect()
    await admin.deleteTopics({ topics: Object.values(topics) })
    await admin.disconnect()
  })
  t.deepEqual(await readLetters(kafka, { topic: topics.dead, limit: 10 }), { letters: [], omitted: 0 })

  const producer = createProducer(kafka)
  await producer.connect()
  await producer.send({
    topic: topics.dead,
    messages: [
      { ...letter('one', 'a.v1', { partitionkey: 'activity-1' }), timestamp: '1700000000001' },
      { ...letter('two', 'purchase.v1'), key: 'shard', timestamp: '1700000000002' },
      { key: null, value: Buffer.from('no event'), timestamp: '1700000000003' },
    ],
  })
  await producer.disconnect()

  const { letters } = await readLetters(kafka, { topic: topics.dead, limit: 10 })
  t.deepEqual(
    letters.map(({ message }) => [message.attributes['id'], message.attributes['knativeerrorcode']]),
    [
      ['one', '422'],
      ['two', '422'],
    ],
  )
  const origins = { broker: topics.broker, sources: { 'purchase.v1': topics.source } }
  t.deepEqual(
    letters.map((one) => originOf(one, origins)),
    [topics.broker, topics.source],
  )
  t.is(await sendAgain(kafka, letters, origins), 2)

  const [again] = (await readLetters(kafka, { topic: topics.broker, limit: 10 })).letters
  t.deepEqual(again?.message.attributes, {
    specversion: '1.0',
    id: 'one',
    type: 'a.v1',
    source: '/functions/order',
    datacontenttype: 'application/json',
    partitionkey: 'activity-1',
  })
  t.is(String(again?.key), 'activity-1')
  t.is(String(again?.message.data), '{"of":"one"}')
  const [purchase] = (await readLetters(kafka, { topic: topics.source, limit: 10 })).letters
  t.is(String(purchase?.key), 'shard')
})

test('dead letters – only the newest when there are too many', async (t) => {
  const topic = `test-dead-${randomBytes(6).toString('hex')}`
  await ensureTopics(kafka, [{ topic, partitions: 1 }])
  t.teardown(async () => {
    const admin = kafka.admin()
    await admin.connect()
    await admin.deleteTopics({ topics: [topic] })
    await admin.disconnect()
  })
  const producer = createProducer(kafka)
  await producer.connect()
  await producer.send({ topic, messages: ['1', '2', '3', '4'].map((id) => letter(id, 'a.v1')) })
  await producer.disconnect()
  const { letters, omitted } = await readLetters(kafka, { topic, limit: 3 })
  t.deepEqual([letters.map(({ message }) => message.attributes['id']), omitted], [['2', '3', '4'], 1])
})
