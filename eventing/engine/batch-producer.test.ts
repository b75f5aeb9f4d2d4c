import test from 'ava'
import type { ProducerBatch } from 'kafkajs'
import { createBatchProducer } from './batch-producer.ts'

/** A producer whose requests end when the test says so. */
function controlled() {
  const requests: { topics: Record<string, string[]>; end: (error?: Error) => void }[] = []
  const producer = {
    sendBatch: (batch: ProducerBatch) => {
      const { promise, resolve, reject } = Promise.withResolvers<[]>()
      const topics = Object.fromEntries(
        (batch.topicMessages ?? []).map(({ topic, messages }) => [topic, messages.map(({ value }) => String(value))]),
      )
      requests.push({ topics, end: (error) => (error ? reject(error) : resolve([])) })
      return promise
    },
  }
  return { producer, requests }
}
const settle = async (rounds = 5) => {
  for (let round = 0; round < rounds; round += 1) await new Promise((resolve) => setImmediate(resolve))
}
const record = (value: string) => ({ key: null, value: Buffer.from(value), headers: {} })

test('batch producer – what comes together goes in one request and is acknowledged together', async (t) => {
  const { producer, requests } = controlled()
  const batches = createBatchProducer(producer, { lingerMs: 1 })
  const done: string[] = []
  const sends = ['a', 'b'].map((value) => batches.send('one', record(value)).then(() => done.push(value)))
  sends.push(batches.send('two', record('c')).then(() => done.push('c')))
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.deepEqual(
    requests.map(({ topics }) => topics),
    [{ one: ['a', 'b'], two: ['c'] }],
  )
  await settle()
  t.deepEqual(done, [], 'nothing is acknowledged before Kafka did')
  t.true(batches.pendingBytes > 0)
  requests[0]!.end()
  await Promise.all(sends)
  t.is(batches.pendingBytes, 0)
})

test('batch producer – a full request does not wait', async (t) => {
  const { producer, requests } = controlled()
  const batches = createBatchProducer(producer, { lingerMs: 60_000, maximumRecords: 2 })
  const sends = ['a', 'b', 'c'].map((value) => batches.send('one', record(value)))
  await settle()
  t.deepEqual(requests[0]!.topics, { one: ['a', 'b'] })
  for (const { end } of requests) end()
  const flushed = batches.flush()
  await settle()
  for (const { end } of requests) end()
  await flushed
  await Promise.all(sends)
  t.is(requests.length, 2)
})

test('batch producer – a request stays below the limit of bytes', async (t) => {
  const { producer, requests } = controlled()
  const batches = createBatchProducer(producer, { lingerMs: 1, maximumBytes: 1_000 })
  const sends = ['x', 'y', 'z'].map((value) => batches.send('one', record(value.repeat(400))))
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.deepEqual(
    requests.map(({ topics }) => topics['one']!.length),
    [2, 1],
  )
  for (const { end } of requests) end()
  await Promise.all(sends)
})

test('batch producer – a failed request rejects its records and no others', async (t) => {
  const { producer, requests } = controlled()
  const batches = createBatchProducer(producer, { lingerMs: 1, maximumRecords: 1 })
  const first = batches.send('one', record('a'))
  const second = batches.send('one', record('b'))
  await settle()
  requests[0]!.end(new Error('no leader'))
  requests[1]!.end()
  await t.throwsAsync(first, { message: 'no leader' })
  await t.notThrowsAsync(second)
  t.is(batches.pendingBytes, 0)
})

test('batch producer – no more requests at once than allowed, and what waited goes on', async (t) => {
  const { producer, requests } = controlled()
  const batches = createBatchProducer(producer, { lingerMs: 1, maximumRecords: 1, maximumInFlight: 2 })
  const sends = ['a', 'b', 'c', 'd'].map((value) => batches.send('one', record(value)))
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.is(requests.length, 2)
  requests[0]!.end()
  await settle()
  t.is(requests.length, 3)
  for (let index = 1; index < 4; index += 1) {
    requests[index]!.end()
    await settle()
  }
  await Promise.all(sends)
})
