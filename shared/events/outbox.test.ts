import test, { type ExecutionContext } from 'ava'
import type { RowDataPacket } from 'mysql2/promise'
import { Registry } from 'prom-client'
import { z } from 'zod'
import { defineEvent } from '@stampede/eventing/catalogue/definition.ts'
import { connectDatabase, type Database } from '../database/connect.ts'
import { rawPool } from '../database/raw.ts'
import { Problem } from '../http/problem.ts'
import { freshDatabase } from '../testing/services.ts'
import { createOutbox, startOutboxRelay, type OutboxRelayOptions } from './outbox.ts'
import type { StampedeCloudEvent } from './publish.ts'

const happened = defineEvent({
  type: 'io.stampede.test.happened.v1',
  source: '/functions/test',
  summary: 'Something happened in a test.',
  subject: 'key',
  data: z.object({ key: z.string(), number: z.int() }),
  partitionKey: (data) => data.key,
})
const event = (key: string, number: number) => ({ definition: happened, data: { key, number }, subject: key })
const outbox = createOutbox('test_outbox')
const silent = { info: () => {}, warn: () => {}, error: () => {} }
type Data = { key: string; number: number }
const dataOf = (published: StampedeCloudEvent) => published.data as Data

async function setUp(t: ExecutionContext) {
  const fresh = await freshDatabase()
  const database = connectDatabase(fresh.url)
  await rawPool(database).query(`CREATE TABLE test_outbox (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    partition_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    type VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    event MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
    created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    failed_at DATETIME(3) NULL,
    failure VARCHAR(1000) CHARACTER SET utf8mb4 NULL)`)
  const relays: { stop(): Promise<unknown> }[] = []
  t.teardown(async () => {
    await Promise.all(relays.map((relay) => relay.stop()))
    await database.close()
    await fresh.drop()
  })
  const relay = (publish: OutboxRelayOptions['publish'], options: Partial<OutboxRelayOptions> = {}) => {
    const started = startOutboxRelay({
      database,
      table: 'test_outbox',
      publish,
      log: silent,
      metrics: new Registry(),
      draining: new AbortController().signal,
      ...options,
    })
    relays.push(started)
    return started
  }
  const add = (...events: ReturnType<typeof event>[]) => database.transaction((tx) => outbox.add(tx, events))
  return { database, relay, add }
}

const rowsOf = async (database: Database) => {
  const [rows] = await rawPool(database).query<RowDataPacket[]>('SELECT * FROM test_outbox ORDER BY id')
  return rows
}

test('outbox – a committed event is published as a CloudEvent and deleted', async (t) => {
  const { database, relay, add } = await setUp(t)
  const published: StampedeCloudEvent[] = []
  const running = relay(async (one) => void published.push(one))
  await add(event('a', 1))
  running.wake()
  await running.drained()
  t.is(published.length, 1)
  t.like(published[0], {
    specversion: '1.0',
    type: happened.type,
    source: '/functions/test',
    subject: 'a',
    partitionkey: 'a',
    data: { key: 'a', number: 1 },
  })
  t.deepEqual(await rowsOf(database), [])
})

test('outbox – events of a transaction that is rolled back are never published', async (t) => {
  const { database, relay, add } = await setUp(t)
  const published: StampedeCloudEvent[] = []
  await t.throwsAsync(
    database.transaction(async (tx) => {
      await outbox.add(tx, [event('a', 1)])
      throw new Error('no')
    }),
  )
  await add(event('a', 2))
  await relay(async (one) => void published.push(one)).drained()
  t.deepEqual(published.map(dataOf), [{ key: 'a', number: 2 }])
})

test('outbox – data that does not fit the schema is refused before it is written', async (t) => {
  const { database } = await setUp(t)
  await t.throwsAsync(
    database.transaction((tx) =>
      outbox.add(tx, [{ definition: happened, data: { key: 'a', number: 'one' }, subject: 'a' }]),
    ),
  )
  t.deepEqual(await rowsOf(database), [])
})

test('outbox – bind gives one statement for many events', async (t) => {
  const { database } = await setUp(t)
  await rawPool(database).query(outbox.bind([event('a', 1), event("b'\\ü😀", 2)]))
  const rows = await rowsOf(database)
  t.deepEqual(
    rows.map((row) => row['partition_key']),
    ['a', "b'\\ü😀"],
  )
  t.throws(() => outbox.bind([]), { instanceOf: RangeError })
})

test('outbox – events of a key are published in order while the broker fails now and then', async (t) => {
  const { relay, add } = await setUp(t)
  const published = new Map<string, number[]>()
  let calls = 0
  const running = relay(
    async (one) => {
      calls += 1
      if (calls % 7 === 0) throw new Problem('dependency-unavailable', 'try again')
      await new Promise((resolve) => setTimeout(resolve, calls % 3))
      const { key, number } = dataOf(one)
      published.set(key, [...(published.get(key) ?? []), number])
    },
    { batchSize: 10 },
  )
  for (let number = 0; number < 40; number += 1) await add(...['a', 'b', 'c'].map((key) => event(key, number)))
  await running.drained()
  const expected = Array.from({ length: 40 }, (_, number) => number)
  for (const key of ['a', 'b', 'c']) t.deepEqual(published.get(key), expected)
})

test('outbox – relays of several pods keep the order of a key and publish everything once', async (t) => {
  const { relay, add } = await setUp(t)
  const published: number[] = []
  const publish = async (one: StampedeCloudEvent) => {
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 3))
    published.push(dataOf(one).number)
  }
  const relays = Array.from({ length: 3 }, () => relay(publish, { batchSize: 3 }))
  for (let number = 0; number < 60; number += 1) {
    await add(event('a', number))
    relays[number % 3]?.wake()
  }
  await relays[0]?.drained()
  t.deepEqual(
    published,
    Array.from({ length: 60 }, (_, number) => number),
  )
})

test('outbox – the pauses between attempts are what is said at the moment', async (t) => {
  const { relay, add } = await setUp(t)
  let attempts = 0
  // With the usual pauses so many failures take minutes.
  const running = relay(
    async () => {
      attempts += 1
      if (attempts <= 60) throw new Error('not yet')
    },
    { retries: () => ({ firstPauseMs: 1, longestPauseMs: 1, failingKeys: 100 }) },
  )
  await add(event('a', 1))
  running.wake()
  await running.drained()
  t.is(attempts, 61)
})

test('outbox – a key whose event fails does not hold up the others', async (t) => {
  const { database, relay, add } = await setUp(t)
  const published: StampedeCloudEvent[] = []
  let broken = true
  const running = relay(async (one) => {
    if (broken && dataOf(one).key === 'bad') throw new Error('no')
    published.push(one)
  })
  await add(event('bad', 1), event('bad', 2), event('good', 1), event('good', 2))
  running.wake()
  while ((await rowsOf(database)).length > 2) await new Promise((resolve) => setTimeout(resolve, 10))
  t.deepEqual(published.map(dataOf), [event('good', 1).data, event('good', 2).data])
  broken = false
  await running.drained()
  t.deepEqual(published.slice(2).map(dataOf), [event('bad', 1).data, event('bad', 2).data])
})

test('outbox – an event that the broker refuses for good is set aside, counted, and blocks nothing', async (t) => {
  const { database, relay, add } = await setUp(t)
  const published: StampedeCloudEvent[] = []
  const metrics = new Registry()
  const running = relay(
    async (one) => {
      if (dataOf(one).number === 1) throw new Problem('unprocessable', 'wrong schema')
      published.push(one)
    },
    { metrics },
  )
  await add(event('a', 1), event('a', 2))
  await running.drained()
  t.deepEqual(published.map(dataOf), [event('a', 2).data])
  const [left, ...others] = await rowsOf(database)
  t.is(others.length, 0)
  t.is(left?.['failure'], 'wrong schema')
  t.true(left?.['failed_at'] instanceof Date)
  t.regex(await metrics.metrics(), /stampede_outbox_failed_total\{table="test_outbox"\} 1/)
})

test('outbox – rows that nobody announced are found', async (t) => {
  const { relay, add } = await setUp(t)
  const found = Promise.withResolvers<StampedeCloudEvent>()
  const running = relay(async (one) => found.resolve(one), { sweepMs: 20 })
  await running.drained()
  await add(event('a', 1))
  t.deepEqual(dataOf(await found.promise), { key: 'a', number: 1 })
})

test('outbox – the relay recovers when the database drops its connections', async (t) => {
  const { database, relay, add } = await setUp(t)
  const published: StampedeCloudEvent[] = []
  const running = relay(async (one) => void published.push(one), { sweepMs: 20 })
  await running.drained()
  const [sessions] = await rawPool(database).query<RowDataPacket[]>(
    'SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()',
  )
  t.true(sessions.length > 0)
  for (const session of sessions)
    await rawPool(database)
      .query(`KILL ${Number(session['id'])}`)
      .catch(() => {})
  await add(event('a', 1))
  await running.drained()
  t.deepEqual(published.map(dataOf), [{ key: 'a', number: 1 }])
})

test('outbox – stop publishes what was committed before it', async (t) => {
  const { database, relay, add } = await setUp(t)
  const published: StampedeCloudEvent[] = []
  const draining = new AbortController()
  const running = relay(async (one) => void published.push(one), { sweepMs: 60_000, draining: draining.signal })
  await running.drained()
  draining.abort()
  await add(event('a', 1), event('a', 2))
  await running.stop()
  t.is(published.length, 2)
  t.deepEqual(await rowsOf(database), [])
})
