/**
 * The whole collection in one process for tests: real Redis, MySQL and Kafka. Events are handed from the functions' outboxes to
 * the functions directly; the engine that does it in production has its own tests.
 */
import { randomBytes } from 'node:crypto'
import { serve } from '@stampede/shared/function/serve.ts'
import { createConsumer, createKafka, ensureTopics } from '@stampede/shared/kafka/connect.ts'
import { createPasses, parsePassKeys } from '@stampede/shared/identity/pass.ts'
import type { Body } from '@stampede/shared/testing/call.ts'
import { ping, startEventSink } from '@stampede/shared/testing/events.ts'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { freePort, freshDatabase, serviceAddresses, startRedis } from '@stampede/shared/testing/services.ts'
import { functions } from './index.ts'

export type { Body }
export type Collection = Awaited<ReturnType<typeof startCollection>>

const newKey = () => `k1:${randomBytes(32).toString('base64')}`

/** `environment` is laid over the collection's own. `stop` may be called twice: the second time does nothing. */
export async function startCollection(environment: Record<string, string> = {}) {
  const identity = await createTestIdentity()
  const [database, redis, sink, port] = await Promise.all([freshDatabase(), startRedis(), startEventSink(), freePort()])
  const { kafkaBrokers } = serviceAddresses()
  const topic = `seckill.orders-${randomBytes(6).toString('hex')}`
  const url = `http://127.0.0.1:${port}`
  const passKeys = newKey()
  const serving = await serve(functions, {
    port,
    host: '127.0.0.1',
    environment: {
      ...identity.environment,
      // Tokens of auth are taken beside those of the test.
      AUTH_JWKS_URL: `${url}/.well-known/jwks.json`,
      DATABASE_URL: database.url,
      REDIS_URL: redis.url,
      KAFKA_BROKERS: kafkaBrokers.join(','),
      RELAY_TOPIC: topic,
      RELAY_PARTITIONS: '1',
      K_SINK: sink.url,
      PASS_KEYS: passKeys,
      DATA_KEYS: newKey(),
      INDEX_KEY: newKey(),
      AUDIT_KEY: newKey(),
      // The challenge before a pass has tests of its own.
      CHALLENGE: 'none',
      ORDER_URL: url,
      INVENTORY_URL: url,
      ACTIVITY_URL: url,
      SECKILL_URL: url,
      PERMISSION_URL: url,
      NOTIFICATION_CHANNEL: 'outbox',
      // Tests say themselves what runs when, with `tick`.
      ALARM_LOOK_MS: '0',
      // The cheapest hash of a password that there is.
      PASSWORD_MEMORY_KIB: '8',
      PASSWORD_PASSES: '1',
      LOG_LEVEL: 'silent',
      ...environment,
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
  const kafka = createKafka({ brokers: kafkaBrokers, clientId: 'collection-test' })
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
  let stopped = false
  return {
    host,
    url,
    databaseUrl: database.url,
    redisUrl: redis.url,
    sink,
    identity,
    passes,
    tick: (name: string, task: string) => ping(host, name, task),
    stop: async () => {
      if (stopped) return
      stopped = true
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

/** Looks until it is enough; throws after 30 seconds. */
export async function eventually<T>(look: () => Promise<T>, enough: (value: T) => boolean): Promise<T> {
  const untilMs = performance.now() + 30_000
  for (;;) {
    const value = await look()
    if (enough(value)) return value
    if (performance.now() > untilMs) throw new Error(`still ${JSON.stringify(value)} after 30 s`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** Presses "buy" with a pass. */
export async function press(
  { url, passes }: Collection,
  buyer: { tenantId: string; userId: string; activityId: string },
  headers: Record<string, string> = {},
) {
  const issuedAtMs = Date.now()
  const pass = passes.issue({ ...buyer, device: '', issuedAtMs, expiresAtMs: issuedAtMs + 60_000 })
  const response = await fetch(`${url}/api/v1/seckill/${buyer.activityId}/purchases`, {
    method: 'POST',
    headers: { 'stampede-pass': pass, 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ quantity: 1 }),
  })
  return { userId: buyer.userId, status: response.status, body: (await response.json()) as Body }
}

/** Calls with a token of a tenant. */
export function caller({ url }: Collection, token: string) {
  return async (method: string, path: string, body?: unknown, as = token) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${as}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: response.status, body: (await response.json()) as Body }
  }
}

export type Call = ReturnType<typeof caller>

/** From a draft to a sale that is warmed up and has begun. Throws when a step fails. */
export async function openSale(collection: Collection, call: Call, terms: Body) {
  const startsAtMs = Date.now() + 1_500
  const created = await call('POST', '/api/v1/activities', {
    name: 'Phones',
    startsAt: new Date(startsAtMs).toISOString(),
    endsAt: new Date(startsAtMs + 600_000).toISOString(),
    priceCents: 19_900,
    currency: 'EUR',
    ...terms,
  })
  const activityId = created.body['activityId'] as string
  const scheduled = await call('POST', `/api/v1/activities/${activityId}/schedule`)
  if (scheduled.status !== 200) throw new Error(JSON.stringify([created, scheduled]))
  const activity = async () => (await call('GET', `/api/v1/activities/${activityId}`)).body
  await eventually(activity, ({ state }) => state === 'warmed-up')
  await eventually(
    async () => Date.now(),
    (nowMs) => nowMs > startsAtMs + 200,
  )
  await collection.tick('activity', 'clock')
  await eventually(activity, ({ state }) => state === 'open')
  return activityId
}
