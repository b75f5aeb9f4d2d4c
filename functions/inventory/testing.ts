/** inventory served for tests: real MySQL and Redis; order is its HTTP contract. */
import { randomBytes } from 'node:crypto'
import mysql, { type RowDataPacket } from 'mysql2/promise'
import {
  activityCancelled,
  activityScheduled,
  activitySettled,
  type SaleTerms,
} from '@stampede/eventing/catalogue/events.ts'
import { serve } from '@stampede/shared/function/serve.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { bucketKeys } from '@stampede/shared/sale/keys.ts'
import { call as callUrl } from '@stampede/shared/testing/call.ts'
import { deliver, ping, startEventSink } from '@stampede/shared/testing/events.ts'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { freshDatabase, startRedis } from '@stampede/shared/testing/services.ts'
import { startStubService } from '@stampede/shared/testing/stub-service.ts'
import { inventoryFunction } from './index.ts'

export const refusedType = 'io.stampede.inventory.allocation-refused.v1'
export const allocatedType = 'io.stampede.inventory.allocated.v1'
export const warmedUpType = 'io.stampede.inventory.warmed-up.v1'
export const lowStockType = 'io.stampede.inventory.low-stock.v1'

export const random = () => randomBytes(6).toString('hex')

export async function startStage() {
  const identity = await createTestIdentity()
  const database = await freshDatabase()
  const sink = await startEventSink()
  /** What order says was sold, by activity. */
  const ordered = new Map<string, number>()
  const order = await startStubService(({ path }) => ({
    body: { sold: ordered.get(path.split('/').at(-1) ?? '') ?? 0 },
  }))
  // An own Redis: a relay of another test must not take the messages.
  const ownRedis = await startRedis()
  const redisUrl = ownRedis.url
  const serving = await serve([inventoryFunction], {
    port: 0,
    host: '127.0.0.1',
    environment: {
      ...identity.environment,
      DATABASE_URL: database.url,
      REDIS_URL: redisUrl,
      K_SINK: sink.url,
      ORDER_URL: order.url,
      LOG_LEVEL: 'silent',
    },
  })
  const redis = connectRedis(redisUrl)
  const sql = await mysql.createConnection({ uri: database.url, timezone: 'Z' })
  const host = { url: serving.url, identity }

  /** One tenant of its own with its tokens. */
  const tenant = async () => {
    const tenantId = `t-${random()}`
    const staff = await identity.token({ tenantId, userId: 'keeper', roles: ['administrator'] })
    const service = await identity.serviceToken(tenantId)
    const call = (method: string, path: string, body?: unknown, token = staff) =>
      callUrl(`${serving.url}${path}`, method, token, body)
    return {
      tenantId,
      call,
      asService: (method: string, path: string, body?: unknown) => call(method, path, body, service),
      stock: async (variantId: string, onHand: number) => {
        const { status, body } = await call('PUT', `/api/v1/stocks/${variantId}`, {
          version: 0,
          onHand,
          reason: 'counted',
        })
        if (status !== 200) throw new Error(JSON.stringify(body))
      },
      look: async (variantId: string) => (await call('GET', `/api/v1/stocks/${variantId}`)).body,
      terms: (overrides: Partial<SaleTerms> = {}): SaleTerms => ({
        tenantId,
        activityId: `a-${random()}`,
        name: 'Phones',
        variantId: 'phone',
        stock: 100,
        perUserLimit: 1,
        buckets: 2,
        startsAt: new Date(Date.now() + 3_600_000).toISOString(),
        endsAt: new Date(Date.now() + 7_200_000).toISOString(),
        priceCents: 100,
        currency: 'EUR',
        paymentTimeoutSeconds: 900,
        ...overrides,
      }),
    }
  }
  return {
    host,
    sink,
    ordered,
    redis,
    sales: createSaleStore(redis),
    sql,
    tenant,
    deliver: (event: Parameters<typeof deliver>[2]) => deliver(host, 'inventory', event),
    tick: () => ping(host, 'inventory', 'warm-up'),
    published: (tenantId: string, type: string) =>
      sink.events.filter((event) => event.type === type && event.data['tenantId'] === tenantId),
    /** Until the outbox is empty everything that was to be said has been said. */
    said: async () => {
      for (;;) {
        const [[row]] = await sql.query<RowDataPacket[]>('SELECT COUNT(*) AS waiting FROM inventory_outbox')
        if (Number(row?.['waiting']) === 0) return
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    },
    forget: async (terms: SaleTerms) => {
      for (let bucket = 0; bucket < terms.buckets; bucket++) {
        for (const key of Object.values(bucketKeys({ ...terms, bucket }))) await redis.del(key)
      }
    },
    stop: async () => {
      await serving.stop()
      redis.disconnect()
      await ownRedis.stop()
      await sql.end()
      await order.stop()
      await sink.stop()
      await database.drop()
    },
  }
}

export const scheduled = (terms: SaleTerms, id?: string) => ({
  definition: activityScheduled,
  subject: terms.activityId,
  data: terms,
  ...(id === undefined ? {} : { id }),
})
export const cancelled = ({ tenantId, activityId }: SaleTerms) => ({
  definition: activityCancelled,
  subject: activityId,
  data: { tenantId, activityId, at: new Date().toISOString() },
})
export const settled = ({ tenantId, activityId, variantId, stock }: SaleTerms, sold: number) => ({
  definition: activitySettled,
  subject: activityId,
  data: { tenantId, activityId, variantId, allocated: stock, sold, unsold: stock - sold, at: new Date().toISOString() },
})
