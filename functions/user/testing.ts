/** user served for tests: real MySQL and Redis. The access directory is only written here; who reads it has its own tests. */
import { randomBytes, randomUUID } from 'node:crypto'
import mysql, { type RowDataPacket } from 'mysql2/promise'
import { accountRegistered } from '@stampede/eventing/catalogue/identity-events.ts'
import { serve } from '@stampede/shared/function/serve.ts'
import { registeredContactContext } from '@stampede/shared/personal-data/event-context.ts'
import { createKeyRing } from '@stampede/shared/personal-data/key-ring.ts'
import { call as callUrl, request } from '@stampede/shared/testing/call.ts'
import { deliver, ping, startEventSink } from '@stampede/shared/testing/events.ts'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { freshDatabase, startRedis } from '@stampede/shared/testing/services.ts'
import { userFunction } from './index.ts'

export const random = () => randomBytes(6).toString('hex')
export const newKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`
export const address = {
  recipient: 'Ann Lee',
  phone: '+49 170 1234567',
  street: 'Nebenweg 7',
  postalCode: '12345',
  city: 'Musterstadt',
  country: 'DE',
}

export type StageOptions = { environment?: Record<string, string> }

export async function startStage({ environment = {} }: StageOptions = {}) {
  const identity = await createTestIdentity()
  const [database, redis, sink] = await Promise.all([freshDatabase(), startRedis(), startEventSink()])
  const keys = { DATA_KEYS: newKey('k1'), INDEX_KEY: newKey('i1'), ...environment }
  /** A process of the function; there may be several with other keys. */
  const start = (overrides: Record<string, string> = {}) =>
    serve([userFunction], {
      port: 0,
      host: '127.0.0.1',
      environment: {
        ...identity.environment,
        DATABASE_URL: database.url,
        REDIS_URL: redis.url,
        K_SINK: sink.url,
        LOG_LEVEL: 'silent',
        ...keys,
        ...overrides,
      },
    })
  const serving = await start()
  const sql = await mysql.createConnection({ uri: database.url, timezone: 'Z' })
  const host = { url: serving.url, identity }
  const ring = createKeyRing(keys.DATA_KEYS)

  const tenant = async () => {
    const tenantId = `t-${random()}`
    const tokenOf = (userId: string, roles: readonly string[] = []) => identity.token({ tenantId, userId, roles })
    const staff = await tokenOf('keeper', ['administrator'])
    const service = await identity.serviceToken(tenantId)
    const call = (token: string, method: string, path: string, body?: unknown, url = serving.url) =>
      callUrl(`${url}${path}`, method, token, body)
    const registered = (userId: string, email: string, at = new Date().toISOString(), sealedBy = ring) => ({
      definition: accountRegistered,
      id: randomUUID(),
      subject: userId,
      data: {
        tenantId,
        userId,
        contactKind: email.includes('@') ? ('email' as const) : ('phone' as const),
        sealedContact: sealedBy.seal(email, registeredContactContext(tenantId, userId)),
        at,
      },
    })
    /** Somebody who registered, with their own calls. */
    const person = async (email = `${random()}@example.com`) => {
      const userId = `u-${random()}`
      const status = await deliver(host, 'user', registered(userId, email))
      if (status !== 204) throw new Error(`answered ${status}`)
      const token = await tokenOf(userId)
      const me = (method: string, path = '', body?: unknown, url?: string) =>
        call(token, method, `/api/v1/users/me${path}`, body, url)
      /** An answer without a body. */
      const remove = async (path: string) =>
        (await request(`${serving.url}/api/v1/users/me${path}`, 'DELETE', token)).status
      return { userId, email, token, me, remove }
    }
    return {
      tenantId,
      tokenOf,
      call,
      registered,
      person,
      asStaff: (method: string, path: string, body?: unknown) => call(staff, method, path, body),
      asService: (method: string, path: string, body?: unknown) => call(service, method, path, body),
      /** Everything that is stored of the tenant, as text. */
      stored: async () => {
        const found: unknown[] = []
        for (const table of ['user_users', 'user_addresses', 'user_coupon_statistics']) {
          const [rows] = await sql.query<RowDataPacket[]>(`SELECT * FROM ${table} WHERE tenant_id = ?`, [tenantId])
          found.push(...rows)
        }
        return JSON.stringify(found)
      },
      /** What the outbox and the sink have said of the tenant. */
      said: async (type: string, count = 1) => {
        for (let all = 1; ; all++) {
          const events = await sink.waitFor(`io.stampede.${type}.v1`, all)
          const own = events.filter((data) => data['tenantId'] === tenantId)
          if (own.length >= count) return own
        }
      },
      audited: async (action: string) => {
        for (let all = 1; ; all++) {
          const events = await sink.waitFor('io.stampede.audit.recorded.v1', all)
          const own = events.filter((data) => data['tenantId'] === tenantId && data['action'] === action)
          if (own.length > 0) return own
        }
      },
    }
  }
  return {
    host,
    keys,
    ring,
    redisUrl: redis.url,
    databaseUrl: database.url,
    sql,
    sink,
    start,
    tenant,
    deliver: (event: Parameters<typeof deliver>[2]) => deliver(host, 'user', event),
    tick: (task: string, url = serving.url) => ping({ ...host, url }, 'user', task),
    stop: async () => {
      await serving.stop()
      await sql.end()
      await redis.stop()
      await sink.stop()
      await database.drop()
    },
  }
}
export type Stage = Awaited<ReturnType<typeof startStage>>
export type Tenant = Awaited<ReturnType<Stage['tenant']>>
