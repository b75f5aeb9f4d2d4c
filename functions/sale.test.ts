/**
 * A whole life: every function in one process on real Redis, MySQL and Kafka, from the draft to the returned stock. Events are
 * handed from the functions' outboxes to the functions directly; the engine that does it in production has its own tests.
 */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { paymentSucceeded } from '@stampede/eventing/catalogue/events.ts'
import { serve } from '@stampede/shared/function/serve.ts'
import { createConsumer, createKafka, ensureTopics } from '@stampede/shared/kafka/connect.ts'
import { createPasses, parsePassKeys } from '@stampede/shared/identity/pass.ts'
import { deliver, ping, startEventSink } from '@stampede/shared/testing/events.ts'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { freePort, freshDatabase, serviceAddresses, startRedis } from '@stampede/shared/testing/services.ts'
import { functions } from './index.ts'

// oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers freely
type Body = Record<string, any>

async function startCollection() {
  const identity = await createTestIdentity()
  const [database, redis, sink, port] = await Promise.all([freshDatabase(), startRedis(), startEventSink(), freePort()])
  const { kafkaBrokers } = serviceAddresses()
  const topic = `seckill.orders-${randomBytes(6).toString('hex')}`
  const url = `http://127.0.0.1:${port}`
  const passKeys = `k1:${randomBytes(32).toString('base64')}`
  const serving = await serve(functions, {
    port,
    host: '127.0.0.1',
    environment: {
      ...identity.environment,
      DATABASE_URL: database.url,
      REDIS_URL: redis.url,
      KAFKA_BROKERS: kafkaBrokers.join(','),
      RELAY_TOPIC: topic,
      RELAY_PARTITIONS: '1',
      K_SINK: sink.url,
      PASS_KEYS: passKeys,
      ORDER_URL: url,
      INVENTORY_URL: url,
      ACTIVITY_URL: url,
      SECKILL_URL: url,
      LOG_LEVEL: 'silent',
    },
  })
  const host = { url, identity }
  // Broker: 400 says that nobody subscribed.
  sink.onEvent(async (_event, headers, body) => {
    const { host: _host, connection: _connection, 'content-length': _length, ...forwarded } = headers
    const response = await fetch(`${url}/`, {
      method: 'POST',
      headers: { ...(forwarded as Record<string, string>), authorization: `Bearer ${await identity.serviceToken()}` },
      body: new Uint8Array(body),
    })
    await response.body?.cancel()
    if (response.status !== 204 && response.status !== 400) throw new Error(`answered ${response.status}`)
  })
  // KafkaSource.
  const kafka = createKafka({ brokers: kafkaBrokers, clientId: 'sale-test' })
  await ensureTopics(kafka, [{ topic, partitions: 1, replicationFactor: 1 }])
  const consumer = createConsumer(kafka, { groupId: topic })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message }) => {
      const headers: Record<string, string> = {}
      for (const [name, value] of Object.entries(message.headers ?? {})) {
        headers[name.replace(/^ce_/, 'ce-')] = String(value)
      }
      const response = await fetch(`${url}/events/order`, {
        method: 'POST',
        headers: { ...headers, authorization: `Bearer ${await identity.serviceToken()}` },
        body: new Uint8Array(message.value ?? Buffer.alloc(0)),
      })
      await response.body?.cancel()
      if (response.status >= 500) throw new Error(`order answered ${response.status}`)
    },
  })
  const passes = createPasses({ keys: parsePassKeys(passKeys), now: Date.now })
  return {
    host,
    url,
    sink,
    identity,
    passes,
    tick: (name: string, task: string) => ping(host, name, task),
    stop: async () => {
      await consumer.disconnect()
      await serving.stop()
      const admin = kafka.admin()
      await admin.connect()
      await admin.deleteTopics({ topics: [topic] }).catch(() => {})
      await admin.disconnect()
      await sink.stop()
      await redis.stop()
      await database.drop()
    },
  }
}

let collection: Awaited<ReturnType<typeof startCollection>>
test.before(async () => {
  collection = await startCollection()
})
test.after.always(() => collection?.stop())

async function eventually<T>(look: () => Promise<T>, enough: (value: T) => boolean): Promise<T> {
  const untilMs = performance.now() + 30_000
  for (;;) {
    const value = await look()
    if (enough(value)) return value
    if (performance.now() > untilMs) throw new Error(`still ${JSON.stringify(value)} after 30 s`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

test('collection – draft, schedule, warm-up, sale, orders, payment, cancellation, settlement, stock returned', async (t) => {
  const tenantId = `t-${randomBytes(6).toString('hex')}`
  const staff = await collection.identity.token({ tenantId, userId: 'chief', roles: ['staff'] })
  const call = async (method: string, path: string, body?: unknown, token = staff) => {
    const response = await fetch(`${collection.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: response.status, body: (await response.json()) as Body }
  }
  t.is((await call('PUT', '/api/v1/stocks/phone', { version: 0, onHand: 50, reason: 'counted' })).status, 200)

  const startsAtMs = Date.now() + 3_000
  const { activityId } = (
    await call('POST', '/api/v1/activities', {
      name: 'Phones',
      variantId: 'phone',
      stock: 30,
      buckets: 2,
      startsAt: new Date(startsAtMs).toISOString(),
      endsAt: new Date(startsAtMs + 600_000).toISOString(),
      priceCents: 19_900,
      currency: 'EUR',
    })
  ).body
  const activity = async () => (await call('GET', `/api/v1/activities/${activityId}`)).body
  const command = (name: string) => call('POST', `/api/v1/activities/${activityId}/${name}`)
  t.is((await command('schedule')).status, 200)
  await eventually(activity, ({ state }) => state === 'warmed-up')
  const check = await eventually(
    async () => (await command('pre-check')).body,
    ({ ok }) => ok === true,
  )
  t.is(check['items'].length, 6)

  await eventually(
    async () => Date.now(),
    (nowMs) => nowMs > startsAtMs + 200,
  )
  await collection.tick('activity', 'clock')
  t.is((await activity())['state'], 'open')

  const press = async (userId: string) => {
    const pass = collection.passes.issue({ tenantId, userId, activityId, device: '', expiresAtMs: Date.now() + 60_000 })
    const response = await fetch(`${collection.url}/api/v1/seckill/${activityId}/purchases`, {
      method: 'POST',
      headers: { 'stampede-pass': pass, 'content-type': 'application/json' },
      body: JSON.stringify({ quantity: 1 }),
    })
    return { userId, status: response.status, body: (await response.json()) as Body }
  }
  const answers = await Promise.all(Array.from({ length: 25 }, (_, index) => press(`user-${index}`)))
  t.deepEqual(
    answers.map(({ status }) => status),
    Array.from({ length: 25 }, () => 202),
  )

  const live = () => call('GET', `/api/v1/seckill/${activityId}/live`)
  await eventually(
    async () => (await live()).body,
    ({ confirmed }) => confirmed === 25,
  )
  t.is((await command('close')).status, 200)
  t.is((await press('late')).status, 410)
  t.is((await command('settle')).status, 422, 'orders wait for payment')

  // Two buyers change their minds, the others pay.
  for (const { userId, body } of answers.slice(0, 2)) {
    const token = await collection.identity.token({ tenantId, userId })
    t.is((await call('POST', `/api/v1/orders/${body['orderNumber']}/cancel`, undefined, token)).status, 200)
  }
  for (const { body } of answers.slice(2)) {
    const orderNumber = body['orderNumber'] as string
    const paidAt = new Date().toISOString()
    const data = { tenantId, orderNumber, paymentId: `p-${orderNumber}`, amountCents: 19_900, currency: 'EUR', paidAt }
    t.is(await deliver(collection.host, 'order', { definition: paymentSucceeded, subject: orderNumber, data }), 204)
  }
  await eventually(
    async () => (await live()).body,
    ({ sold }) => sold === 23,
  )

  const run = (await call('POST', '/api/v1/reconciliation-runs', { activityId })).body
  t.like(run, { outcome: 'compared', open: 0 })
  await collection.tick('activity', 'clock')
  t.like(await activity(), { state: 'settled', sold: 23, unsold: 7 })
  await eventually(
    async () => (await call('GET', '/api/v1/stocks/phone')).body,
    ({ reserved }) => reserved === 0,
  )
  t.like((await call('GET', '/api/v1/stocks/phone')).body, { onHand: 27, reserved: 0 })

  const report = (await call('GET', `/api/v1/activities/${activityId}/report`)).body
  t.like(report, {
    units: { allocated: 30, sold: 23, unsold: 7, oversold: 0 },
    funnel: { accepted: 25, stored: 25, paid: 23, cancelled: 2, pending: 0 },
    revenueCents: 23 * 19_900,
  })
  t.is(report['soldOverTime'].points.at(-1).cumulative, 25)
})
