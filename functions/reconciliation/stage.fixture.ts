/** The function whole, as two pods on a real Redis and a real database, with sales to compare and what it tells about them. */
import { randomBytes } from 'node:crypto'
import mysql, { type RowDataPacket } from 'mysql2/promise'
import { inventoryAllocated, type SaleTerms } from '@stampede/eventing/catalogue/events.ts'
import { serve } from '@stampede/shared/function/serve.ts'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { bucketKeys } from '@stampede/shared/sale/keys.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { call as callUrl } from '@stampede/shared/testing/call.ts'
import { deliver, ping, startEventSink } from '@stampede/shared/testing/events.ts'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { freshDatabase, startRedis } from '@stampede/shared/testing/services.ts'
import { reconciliationFunction } from './index.ts'
import { startOtherFunctions } from './other-functions.fixture.ts'

export const completedType = 'io.stampede.reconciliation.completed.v1'

export async function startStage() {
  const identity = await createTestIdentity()
  const database = await freshDatabase()
  const sink = await startEventSink()
  const others = await startOtherFunctions()
  const { orders, rejections, wanted, warmUps } = others
  // An own Redis: a relay of another test must not take the messages.
  const ownRedis = await startRedis()
  const redisUrl = ownRedis.url
  const start = () =>
    serve([reconciliationFunction], {
      port: 0,
      host: '127.0.0.1',
      environment: {
        ...identity.environment,
        DATABASE_URL: database.url,
        REDIS_URL: redisUrl,
        K_SINK: sink.url,
        ORDER_URL: others.url,
        INVENTORY_URL: others.url,
        ACTIVITY_URL: others.url,
        RECONCILIATION_SETTLE_MS: '20',
        RECONCILIATION_FULL_EVERY: '2',
        LOG_LEVEL: 'silent',
      },
    })
  // Two pods.
  const [one, other] = [await start(), await start()]
  const redis = connectRedis(redisUrl)
  const store = createSaleStore(redis)
  const sql = await mysql.createConnection({ uri: database.url, timezone: 'Z' })
  const pods = [one, other].map(({ url }) => ({ url, identity }))
  const oldNumber = orderNumbers(() => Date.now() - 120_000)
  const youngNumber = orderNumbers()

  const sale = async (overrides: Partial<SaleTerms> = {}) => {
    const tenantId = `t-${randomBytes(6).toString('hex')}`
    const terms: SaleTerms = {
      tenantId,
      activityId: `a-${randomBytes(6).toString('hex')}`,
      name: 'Phones',
      variantId: 'phone',
      stock: 10,
      perUserLimit: 1,
      buckets: 1,
      startsAt: new Date(Date.now() - 60_000).toISOString(),
      endsAt: new Date(Date.now() + 3_600_000).toISOString(),
      priceCents: 1,
      currency: 'EUR',
      paymentTimeoutSeconds: 900,
      ...overrides,
    }
    const { activityId } = terms
    const ref = { tenantId, activityId, bucket: 0 }
    orders.set(activityId, [])
    warmUps.set(activityId, new Date(Date.now() - 600_000).toISOString())
    await store.warmUp({ ...terms, startsAtMs: Date.parse(terms.startsAt), endsAtMs: Date.parse(terms.endsAt) })
    await deliver(pods[0]!, 'reconciliation', { definition: inventoryAllocated, subject: activityId, data: terms })
    const token = await identity.token({ tenantId, userId: 'chief', roles: ['administrator'] })
    const call = (method: string, path: string, body?: unknown, pod = 0) =>
      callUrl(`${pods[pod]!.url}${path}`, method, token, body)
    return {
      terms,
      ref,
      call,
      run: (pod = 0) => call('POST', '/api/v1/reconciliation-runs', { activityId }, pod),
      runs: async () =>
        (await call('GET', `/api/v1/reconciliation-runs?activityId=${activityId}`)).body['runs'] as Record<
          string,
          unknown
        >[],
      order: (userId: string, state = 'pending-payment', orderNumber = oldNumber()) => {
        orders.get(activityId)!.push({ orderNumber, userId, quantity: 1, state })
        return orderNumber
      },
      reject: (orderNumber: string) => rejections.set(activityId, [...(rejections.get(activityId) ?? []), orderNumber]),
      buy: async (userId: string, orderNumber = oldNumber()) => {
        await store.purchase(ref, [{ userId, quantity: 1, orderNumber }])
        const entries = await store.readOutbox(ref, 'test', 10)
        await store.acknowledgeOutbox(
          ref,
          entries.map((entry) => entry.id),
        )
        return orderNumber
      },
      lose: async () => {
        for (const key of Object.values(bucketKeys(ref))) await redis.del(key)
      },
      told: () =>
        sink.events
          .filter((event) => event.type === completedType && event.data['activityId'] === activityId)
          .map((event) => event.data),
    }
  }
  return {
    pods,
    store,
    redis,
    sink,
    sql,
    database,
    sale,
    wanted,
    warmUps,
    youngNumber,
    orderDown: others.orderDown,
    /** Until the outbox is empty everything that was to be said has been said. */
    said: async () => {
      for (;;) {
        const [[row]] = await sql.query<RowDataPacket[]>('SELECT COUNT(*) AS waiting FROM reconciliation_outbox')
        if (Number(row?.['waiting']) === 0) return
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    },
    tick: (pod = 0) => ping(pods[pod]!, 'reconciliation', 'compare'),
    stop: async () => {
      await Promise.all([one.stop(), other.stop()])
      redis.disconnect()
      await ownRedis.stop()
      await sql.end()
      await others.stop()
      await sink.stop()
      await database.drop()
    },
  }
}

export type Stage = Awaited<ReturnType<typeof startStage>>
