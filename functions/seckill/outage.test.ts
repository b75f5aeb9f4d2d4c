/** Redis restarts, stalls or is away: nothing that was accepted is lost, nobody is told what is not known. */
import { readdir, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { startRedis } from '@stampede/shared/testing/services.ts'
import { decodeKafka } from '@stampede/shared/kafka/cloud-event.ts'
import { createConsumer, createKafka } from '@stampede/shared/kafka/connect.ts'
import { serviceAddresses } from '@stampede/shared/testing/services.ts'
import { passFor, startStage } from './testing.ts'

test('redis killed in the middle of a sale – every 202 is in Redis afterwards, and the sale goes on', async (t) => {
  const redis = await startRedis({ appendonly: true })
  const stage = await startStage({ REDIS_URL: redis.url, RECOVERY_GRACE_MS: '300', RELAY_SWEEP_MS: '100' })
  try {
    const sale = await stage.sale({ stock: 100_000, buckets: 2 })
    const accepted = new Map<string, string>()
    const statuses = new Set<number>()
    let user = 0
    const ending = new AbortController()
    const buyer = async () => {
      while (!ending.signal.aborted) {
        const userId = `user-${user++}`
        const answer = await stage.press(sale.activityId, userId)
        statuses.add(answer.status)
        if (answer.status === 202) accepted.set(userId, String(answer.body['orderNumber']))
        else if (answer.status !== 503) t.fail(`${answer.status} ${String(answer.body['code'])}`)
        if (answer.status !== 202) await sleep(5)
      }
    }
    const buyers = Promise.all(Array.from({ length: 20 }, buyer))
    while (accepted.size < 300) await sleep(5)
    await redis.kill('SIGKILL')
    const before = accepted.size
    await forgetTail(redis.directory)
    await sleep(100)
    await redis.restart()
    while (accepted.size < before + 200) await sleep(20)
    ending.abort()
    await buyers
    t.true(statuses.has(503))

    let sold = 0
    for (const bucket of [0, 1]) {
      const ref = { ...sale, bucket }
      const users = [...accepted.keys()]
      const entries = await stage.store.buyers(ref, users)
      const snapshot = (await stage.store.snapshot(ref))!
      t.true(snapshot.whole)
      sold += snapshot.sold
      for (const [index, userId] of users.entries()) {
        if (entries[index]!.some(({ orderNumber }) => orderNumber === accepted.get(userId))) accepted.delete(userId)
      }
    }
    t.is(accepted.size, 0)
    t.true(sold >= before + 200)
  } finally {
    await stage.stop()
    await redis.stop()
  }
})

test('redis stalls – 503 that says to ask for the result; the late acceptance is kept and relayed', async (t) => {
  const redis = await startRedis()
  const stage = await startStage({ REDIS_URL: redis.url, DECISION_TIMEOUT_MS: '300' })
  try {
    const sale = await stage.sale({ perUserLimit: 2 })
    t.is((await stage.press(sale.activityId, 'ann')).status, 202)
    process.kill(redis.pid, 'SIGSTOP')
    const answer = await stage.press(sale.activityId, 'bob')
    t.deepEqual([answer.status, answer.body['code'], answer.body['undecided']], [503, 'dependency-unavailable', true])
    t.is(answer.headers.get('retry-after'), '1')
    process.kill(redis.pid, 'SIGCONT')
    const pass = { 'stampede-pass': passFor({ ...sale, userId: 'bob' }) }
    const look = async () => (await stage.get(`/api/v1/seckill/${sale.activityId}/result`, pass)).body['state']
    while ((await look()) !== 'accepted') await sleep(20)
    while ((await stage.store.snapshot({ ...sale, bucket: 0 }))!.outboxLength > 0) await sleep(20)
    t.pass()
  } finally {
    await stage.stop()
    await redis.stop()
  }
})

test('redis away – 503 for purchases and results, not ready; served again when it is back', async (t) => {
  const redis = await startRedis({ appendonly: true })
  const stage = await startStage({ REDIS_URL: redis.url, DECISION_TIMEOUT_MS: '500', RECOVERY_GRACE_MS: '200' })
  try {
    const sale = await stage.sale({ perUserLimit: 5 })
    t.is((await stage.press(sale.activityId, 'ann')).status, 202)
    await sleep(1_200) // the AOF is written every second
    await redis.kill('SIGKILL')
    t.is((await stage.press(sale.activityId, 'ann')).status, 503)
    t.is((await stage.press('never-seen', 'ann')).status, 503)
    await redis.restart()
    let status = 503
    while (status === 503) {
      status = (await stage.press(sale.activityId, 'ann')).status
      if (status === 503) await sleep(50)
    }
    t.is(status, 202)
  } finally {
    await stage.stop()
    await redis.stop()
  }
})

test('durability kafka – 202 only after Kafka has the purchase; 503 when it does not answer in time', async (t) => {
  const redis = await startRedis()
  const stage = await startStage({ REDIS_URL: redis.url, DURABILITY: 'kafka', DURABILITY_TIMEOUT_MS: '20000' })
  const broken = await startStage({
    REDIS_URL: redis.url,
    DURABILITY: 'kafka',
    DURABILITY_TIMEOUT_MS: '400',
    KAFKA_BROKERS: '127.0.0.1:1',
    DRAIN_RELAY_MS: '100',
  })
  try {
    const sale = await stage.sale({ stock: 100 })
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, user) => stage.press(sale.activityId, `user-${user}`)),
    )
    t.true(answers.every(({ status }) => status === 202))
    const arrived = await recordsOf(stage.topic)
    for (const { body } of answers) t.true(arrived.has(String(body['orderNumber'])))

    const other = await broken.sale()
    const answer = await broken.press(other.activityId, 'ann')
    t.deepEqual([answer.status, answer.body['code'], answer.body['undecided']], [503, 'dependency-unavailable', true])
    t.is((await broken.press(other.activityId, 'ann')).body['code'], 'duplicate')
  } finally {
    await stage.stop()
    await broken.stop()
    await redis.stop()
  }
})

test('durability kafka – another process’s relay delivered: answered all the same', async (t) => {
  const redis = await startRedis()
  const stage = await startStage({
    REDIS_URL: redis.url,
    DURABILITY: 'kafka',
    KAFKA_BROKERS: '127.0.0.1:1',
    DRAIN_RELAY_MS: '100',
  })
  try {
    const sale = await stage.sale()
    // What a relay of another process does: reads, sends, acknowledges.
    const answering = stage.press(sale.activityId, 'ann')
    const bucket = { ...sale, bucket: 0 }
    let taken: { id: string }[] = []
    while (taken.length === 0) {
      taken = await stage.store.claimOutbox(bucket, 'another', 0, 10)
      if (taken.length === 0) taken = await stage.store.readOutbox(bucket, 'another', 10)
    }
    await stage.store.acknowledgeOutbox(
      bucket,
      taken.map(({ id }) => id),
    )
    t.is((await answering).status, 202)
  } finally {
    await stage.stop()
    await redis.stop()
  }
})

/** What a machine that loses power does to the log, and SIGKILL alone does not: its last third was never on the disk. */
async function forgetTail(directory: string): Promise<void> {
  const folder = join(directory, 'appendonlydir')
  const name = (await readdir(folder)).find((file) => file.endsWith('.incr.aof'))!
  const { size } = await stat(join(folder, name))
  await truncate(join(folder, name), Math.floor((size * 2) / 3))
}

/** Order numbers in the topic, read to its end. */
async function recordsOf(topic: string): Promise<Set<string>> {
  const kafka = createKafka({ brokers: serviceAddresses().kafkaBrokers, clientId: 'test' })
  const admin = kafka.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets(topic)
  let expected = ends.reduce((sum, { high }) => sum + Number(high), 0)
  const found = new Set<string>()
  const consumer = createConsumer(kafka, { groupId: topic })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const done = Promise.withResolvers<void>()
  await consumer.run({
    eachMessage: async ({ message }) => {
      const { purchases } = JSON.parse(decodeKafka(message)!.data!.toString()) as {
        purchases: { orderNumber: string }[]
      }
      for (const { orderNumber } of purchases) found.add(orderNumber)
      expected -= 1
      if (expected === 0) done.resolve()
    },
  })
  await done.promise
  await consumer.disconnect()
  await admin.deleteTopics({ topics: [topic] })
  await admin.disconnect()
  return found
}
