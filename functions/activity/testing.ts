/** activity served for tests: real MySQL and Redis; the other functions are their HTTP contract. */
import { randomBytes } from 'node:crypto'
import mysql, { type RowDataPacket } from 'mysql2/promise'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { serve } from '@stampede/shared/function/serve.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { call as callUrl, request, type Body } from '@stampede/shared/testing/call.ts'
import { deliver, ping, startEventSink } from '@stampede/shared/testing/events.ts'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { freshDatabase, startRedis } from '@stampede/shared/testing/services.ts'
import { startStubService, type StubAnswer } from '@stampede/shared/testing/stub-service.ts'
import { activityFunction } from './index.ts'

export type Stage = Awaited<ReturnType<typeof startStage>>
export type Tenant = Awaited<ReturnType<Stage['tenant']>>
export type { Body }

/** What the other functions know of one activity. */
export type Elsewhere = {
  totals: {
    allocated: number | null
    sold: number
    states: Record<string, { orders: number; units: number }>
    rejected: Record<string, number>
  }
  orders: { orderNumber: string; userId: string; quantity: number; state: string }[]
  allocation: { state: string; quantity: number; warmUpBegunAt: string | null; warmedAt: string | null } | undefined
  live: Body | undefined
  warmUp: string
}

export async function startStage(environment: Record<string, string> = {}) {
  const identity = await createTestIdentity()
  const database = await freshDatabase()
  const sink = await startEventSink()
  const known = new Map<string, Elsewhere>()
  const elsewhere = (activityId: string): Elsewhere => {
    let facts = known.get(activityId)
    if (!facts) {
      facts = {
        totals: { allocated: null, sold: 0, states: {}, rejected: {} },
        orders: [],
        allocation: undefined,
        live: undefined,
        warmUp: 'warmed-up',
      }
      known.set(activityId, facts)
    }
    return facts
  }
  let seckillStatus = 200
  const others = await startStubService(({ path, query }): StubAnswer => {
    const [, , , resource = '', activityId = '', last] = path.split('/')
    if (path === '/health/readiness') return { status: seckillStatus, body: {} }
    const facts = elsewhere(activityId)
    switch (`${resource} ${last ?? ''}`) {
      case 'order-totals ':
        return { body: { activityId, ...facts.totals } }
      case 'order-pages ': {
        const from = facts.orders.findIndex((order) => order.orderNumber === query.get('after')) + 1
        const orders = facts.orders.slice(from, from + 3)
        return { body: { orders, next: from + 3 < facts.orders.length ? orders.at(-1)?.orderNumber : null } }
      }
      case 'allocations ':
        return facts.allocation && { body: facts.allocation }
      case 'allocations warm-up':
        return { body: { outcome: facts.warmUp } }
      case 'seckill live':
        return facts.live && { body: facts.live }
      default:
        return undefined
    }
  })
  // An own Redis: a relay of another test must not take the messages.
  const ownRedis = await startRedis()
  const redisUrl = ownRedis.url
  const serving = await serve([activityFunction], {
    port: 0,
    host: '127.0.0.1',
    environment: {
      ...identity.environment,
      DATABASE_URL: database.url,
      REDIS_URL: redisUrl,
      K_SINK: sink.url,
      ORDER_URL: others.url,
      INVENTORY_URL: others.url,
      SECKILL_URL: others.url,
      LOG_LEVEL: 'silent',
      ...environment,
    },
  })
  const redis = connectRedis(redisUrl)
  const sales = createSaleStore(redis)
  const sql = await mysql.createConnection({ uri: database.url, timezone: 'Z' })
  const host = { url: serving.url, identity }
  let ticking: Promise<unknown> = Promise.resolve()

  const told = async (tenantId: string) => {
    for (;;) {
      const [[row]] = await sql.query<RowDataPacket[]>('SELECT COUNT(*) AS waiting FROM activity_outbox')
      if (Number(row?.['waiting']) === 0) break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    return sink.events.filter((event) => event.data['tenantId'] === tenantId)
  }

  const tenant = async () => {
    const tenantId = `t-${randomBytes(6).toString('hex')}`
    const token = await identity.token({ tenantId, userId: 'chief', roles: ['administrator'] })
    const fetchAs = (method: string, path: string, body?: unknown) =>
      request(`${serving.url}${path}`, method, token, body)
    const call = (method: string, path: string, body?: unknown) => callUrl(`${serving.url}${path}`, method, token, body)
    return {
      tenantId,
      fetchAs,
      call,
      command: (activityId: string, command: string) => call('POST', `/api/v1/activities/${activityId}/${command}`),
      get: async (activityId: string) => (await call('GET', `/api/v1/activities/${activityId}`)).body,
      create: async (overrides: Body = {}): Promise<Body> => {
        const { status, body } = await call('POST', '/api/v1/activities', {
          name: 'Phones',
          variantId: 'phone',
          stock: 20,
          buckets: 2,
          startsAt: new Date(Date.now() + 3_600_000).toISOString(),
          endsAt: new Date(Date.now() + 7_200_000).toISOString(),
          priceCents: 19_900,
          currency: 'EUR',
          ...overrides,
        })
        if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`)
        return body
      },
    }
  }

  return {
    host,
    sink,
    elsewhere,
    redis,
    sales,
    sql,
    tenant,
    seckillAnswers: (status: number) => {
      seckillStatus = status
    },
    deliver: (event: Parameters<typeof deliver>[2]) => deliver(host, 'activity', event),
    /** One tick that begins after the call: the host skips a tick while another runs. */
    tick: () => {
      ticking = ticking.then(() => ping(host, 'activity', 'clock'))
      return ticking
    },
    /** Puts an activity into a state past all rules. */
    force: (activityId: string, state: string, times: { startsAt?: Date; endsAt?: Date } = {}) =>
      sql.query(
        'UPDATE activity_activities SET state = ?, starts_at = COALESCE(?, starts_at), ends_at = COALESCE(?, ends_at) WHERE activity_id = ?',
        [state, times.startsAt ?? null, times.endsAt ?? null, activityId],
      ),
    warm: (activity: Body, tenantId: string) =>
      sales.warmUp({
        tenantId,
        activityId: activity['activityId'] as string,
        stock: activity['stock'] as number,
        perUserLimit: activity['perUserLimit'] as number,
        buckets: activity['buckets'] as number,
        startsAtMs: Date.parse(activity['startsAt'] as string),
        endsAtMs: Date.parse(activity['endsAt'] as string),
      }),
    /** What it told other functions than audit, as soon as it has told everything. */
    published: async (tenantId: string) => (await told(tenantId)).filter(({ type }) => type !== recordedType),
    /** The actions that it told audit, by whom and what about. */
    audited: async (tenantId: string) =>
      (await told(tenantId)).filter(({ type }) => type === recordedType).map(({ data }) => data),
    stop: async () => {
      await serving.stop()
      redis.disconnect()
      await ownRedis.stop()
      await sql.end()
      await others.stop()
      await sink.stop()
      await database.drop()
    },
  }
}

const nextOrderNumber = orderNumbers()
export const now = () => new Date().toISOString()
export const inMs = (ms: number) => new Date(Date.now() + ms)
const recordedType = 'io.stampede.audit.recorded.v1'

export const typesOf = (events: { type: string }[]) =>
  events.map((event) => event.type.split('.').slice(2, -1).join('.'))

/** An open activity of 20 units in 2 buckets whose sale is in Redis, and of which the others know. */
export async function runningActivity(stage: Stage) {
  const tenant = await stage.tenant()
  const activity = await tenant.create({ startsAt: inMs(-60_000), endsAt: inMs(60_000) })
  const activityId = activity['activityId'] as string
  await stage.warm(activity, tenant.tenantId)
  await stage.force(activityId, 'open')
  const facts = stage.elsewhere(activityId)
  facts.totals.allocated = 20
  facts.allocation = { state: 'allocated', quantity: 20, warmUpBegunAt: now(), warmedAt: now() }
  const ref = (bucket: number) => ({ tenantId: tenant.tenantId, activityId, bucket })
  const states = () => Promise.all([0, 1].map(async (bucket) => (await stage.sales.snapshot(ref(bucket)))?.state))
  return { tenant, activity, activityId, facts, states, ref }
}

/** Buys one unit; the message stays in the outbox. */
export async function buy(
  stage: Stage,
  ref: { tenantId: string; activityId: string; bucket: number },
  userId: string,
): Promise<string> {
  const orderNumber = nextOrderNumber()
  await stage.sales.purchase(ref, [{ userId, quantity: 1, orderNumber }])
  return orderNumber
}
