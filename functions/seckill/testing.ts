/** What the tests of this function share: identities, a warmed-up sale, the function on a free port. */
import { randomBytes } from 'node:crypto'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { createPasses, parsePassKeys, type PassClaims } from '@stampede/shared/identity/pass.ts'
import { createServiceTokens } from '@stampede/shared/identity/service-token.ts'
import { serve, type Serving } from '@stampede/shared/function/serve.ts'
import { createKafka } from '@stampede/shared/kafka/connect.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import type { SaleDefinition, SaleStore } from '@stampede/shared/sale/types.ts'
import { serviceAddresses } from '@stampede/shared/testing/services.ts'
import { seckillFunction } from './index.ts'

export const randomId = (prefix: string): string => `${prefix}-${randomBytes(6).toString('hex')}`

const issuer = 'https://issuer.test'
const audience = 'stampede'
const serviceSecret = 'a secret of the services that is long enough'
const passKeys = `k1:${Buffer.alloc(32, 7).toString('base64')}`
const { privateKey, publicKey } = await generateKeyPair('EdDSA')
const stranger = await generateKeyPair('EdDSA')
const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'EdDSA' }] }
export const passes = createPasses({ keys: parsePassKeys(passKeys), now: Date.now })
export const forgedPasses = createPasses({ keys: [{ id: 'k1', secret: Buffer.alloc(32, 8) }], now: Date.now })

export type TokenOptions = {
  roles?: string[]
  expiresAt?: number
  forged?: boolean
  sessionId?: string
  issuedAtMs?: number
}
export const accessToken = (tenantId: string, userId: string, options: TokenOptions = {}): Promise<string> =>
  new SignJWT({ tenant: tenantId, roles: options.roles ?? [], sid: options.sessionId })
    .setProtectedHeader({ alg: 'EdDSA', kid: 'k' })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject(userId)
    .setIssuedAt(Math.floor((options.issuedAtMs ?? Date.now()) / 1_000))
    .setExpirationTime(options.expiresAt ?? Math.floor(Date.now() / 1_000) + 600)
    .sign(options.forged ? stranger.privateKey : privateKey)
export const serviceToken = createServiceTokens({ secret: serviceSecret, service: 'order' })

export const passFor = (claims: Pick<PassClaims, 'tenantId' | 'userId' | 'activityId'> & Partial<PassClaims>): string =>
  passes.issue({ device: '', issuedAtMs: Date.now(), expiresAtMs: Date.now() + 600_000, ...claims })

export type Stage = {
  url: string
  store: SaleStore
  tenantId: string
  topic: string
  serving: Serving
  /** Warms a sale up that is open from now on. */
  sale(definition?: Partial<SaleDefinition>): Promise<SaleDefinition>
  /** Presses "buy" with a pass. */
  press(activityId: string, userId: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  post(path: string, headers: Record<string, string>, body?: string | Uint8Array): Promise<Answer>
  get(path: string, headers?: Record<string, string>): Promise<Answer>
  event(type: string, data: unknown): Promise<number>
  stop(): Promise<void>
}

export type Answer = { status: number; headers: Headers; body: Record<string, unknown> }

async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text()
  const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>)
  return { status: response.status, headers: response.headers, body }
}

/** The function on real Redis and Kafka, with a tenant and a topic of its own. */
export async function startStage(environment: Record<string, string> = {}): Promise<Stage> {
  const { redisUrl, kafkaBrokers } = serviceAddresses()
  const url = environment['REDIS_URL'] ?? redisUrl
  const redis = connectRedis(url)
  const store = createSaleStore(redis)
  const tenantId = randomId('tenant')
  const topic = randomId('seckill.orders')
  const serving = await serve([seckillFunction], {
    port: 0,
    host: '127.0.0.1',
    environment: {
      REDIS_URL: url,
      KAFKA_BROKERS: kafkaBrokers.join(','),
      AUTH_JWKS: JSON.stringify(jwks),
      AUTH_ISSUER: issuer,
      AUTH_AUDIENCE: audience,
      SERVICE_SECRET: serviceSecret,
      PASS_KEYS: passKeys,
      // Alarms of other tests in the same Redis are theirs.
      K_SINK: 'http://127.0.0.1:9',
      ALARM_LOOK_MS: '0',
      ACCESS_CONTROL: 'built-in',
      LOG_LEVEL: 'silent',
      // The challenge has tests of its own.
      CHALLENGE: 'none',
      RELAY_TOPIC: topic,
      RELAY_PARTITIONS: '2',
      // Other tests use the same Redis: a sweep would take their sales' purchases away from them.
      RELAY_SWEEP_MS: '60000',
      ...environment,
    },
  })
  const warmedUp: SaleDefinition[] = []
  const post: Stage['post'] = async (path, headers, body) =>
    answerOf(
      await fetch(serving.url + path, {
        method: 'POST',
        headers,
        ...(body === undefined ? {} : { body: body as never }),
      }),
    )
  return {
    url: serving.url,
    store,
    tenantId,
    topic,
    serving,
    async sale(definition = {}) {
      const sale: SaleDefinition = {
        tenantId,
        activityId: randomId('activity'),
        stock: 10,
        perUserLimit: 1,
        buckets: 1,
        startsAtMs: Date.now() - 60_000,
        endsAtMs: Date.now() + 600_000,
        ...definition,
      }
      await store.warmUp(sale)
      warmedUp.push(sale)
      return sale
    },
    post,
    press: (activityId, userId, body = {}, headers = {}) =>
      post(
        `/api/v1/seckill/${activityId}/purchases`,
        { 'content-type': 'application/json', 'stampede-pass': passFor({ tenantId, userId, activityId }), ...headers },
        typeof body === 'string' ? body : JSON.stringify(body),
      ),
    get: async (path, headers = {}) => answerOf(await fetch(serving.url + path, { headers })),
    async event(type, data) {
      const response = await fetch(serving.url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          authorization: `Bearer ${await serviceToken('platform')}`,
          'ce-specversion': '1.0',
          'ce-id': randomId('event'),
          'ce-source': '/functions/test',
          'ce-type': type,
        },
        body: JSON.stringify(data),
      })
      await response.arrayBuffer()
      return response.status
    },
    async stop() {
      await serving.stop()
      for (const sale of warmedUp) await store.expire(sale, 1).catch(() => {})
      await deleteTopic(topic)
      redis.disconnect()
    },
  }
}

/** It exists when the relay has sent something. */
export async function deleteTopic(topic: string): Promise<void> {
  const admin = createKafka({ brokers: serviceAddresses().kafkaBrokers, clientId: 'test' }).admin()
  await admin.connect()
  try {
    if ((await admin.listTopics()).includes(topic)) await admin.deleteTopics({ topics: [topic] })
  } finally {
    await admin.disconnect()
  }
}
