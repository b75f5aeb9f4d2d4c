import { randomBytes } from 'node:crypto'
import test from 'ava'
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
import { deliver, ping, startEventSink } from '@stampede/shared/testing/events.ts'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { freshDatabase, startRedis } from '@stampede/shared/testing/services.ts'
import { startStubService } from '@stampede/shared/testing/stub-service.ts'
import { inventoryFunction } from './index.ts'

const refusedType = 'io.stampede.inventory.allocation-refused.v1'
const allocatedType = 'io.stampede.inventory.allocated.v1'
const warmedUpType = 'io.stampede.inventory.warmed-up.v1'
const lowStockType = 'io.stampede.inventory.low-stock.v1'

const random = () => randomBytes(6).toString('hex')

async function startStage() {
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
    const staff = await identity.token({ tenantId, userId: 'keeper', roles: ['staff'] })
    const service = await identity.serviceToken(tenantId)
    const call = async (method: string, path: string, body?: unknown, token = staff) => {
      const response = await fetch(`${serving.url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      // oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers freely
      return { status: response.status, body: (await response.json()) as Record<string, any> }
    }
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

let stage: Awaited<ReturnType<typeof startStage>>
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage?.stop())

const scheduled = (terms: SaleTerms, id?: string) => ({
  definition: activityScheduled,
  subject: terms.activityId,
  data: terms,
  ...(id === undefined ? {} : { id }),
})
const cancelled = ({ tenantId, activityId }: SaleTerms) => ({
  definition: activityCancelled,
  subject: activityId,
  data: { tenantId, activityId, at: new Date().toISOString() },
})
const settled = ({ tenantId, activityId, variantId, stock }: SaleTerms, sold: number) => ({
  definition: activitySettled,
  subject: activityId,
  data: { tenantId, activityId, variantId, allocated: stock, sold, unsold: stock - sold, at: new Date().toISOString() },
})

test('reserve – 40 callers for 10 units: exactly 10 are reserved, the ledger adds up', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 10)
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, index) =>
      tenant.asService('POST', '/api/v1/reservations', {
        reservationId: `r-${index}`,
        variantId: 'phone',
        quantity: 1,
      }),
    ),
  )
  t.is(answers.filter(({ status }) => status === 200).length, 10)
  t.is(answers.filter(({ status }) => status === 422).length, 30)
  t.like(await tenant.look('phone'), { onHand: 10, reserved: 10, available: 0 })
  const { body } = await tenant.call('GET', '/api/v1/stocks/phone/movements?limit=200')
  const movements = body['movements'] as { onHandChange: number; reservedChange: number }[]
  t.is(
    movements.reduce((sum, movement) => sum + movement.reservedChange, 0),
    10,
  )
  t.is(
    movements.reduce((sum, movement) => sum + movement.onHandChange, 0),
    10,
  )
})

test('reserve – the same id 10 times at once: one reservation; with another quantity: conflict', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 50)
  const body = { reservationId: 'same', variantId: 'phone', quantity: 5 }
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => tenant.asService('POST', '/api/v1/reservations', body)),
  )
  t.deepEqual(answers.map((answer) => answer.body['outcome'] as string).sort(), [
    ...Array.from({ length: 9 }, () => 'already-reserved'),
    'reserved',
  ])
  t.like(await tenant.look('phone'), { reserved: 5 })
  t.is((await tenant.asService('POST', '/api/v1/reservations', { ...body, quantity: 6 })).status, 409)
})

test('confirm and release – each once; the other afterwards is a conflict', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 50)
  for (const id of ['gone', 'back']) {
    await tenant.asService('POST', '/api/v1/reservations', { reservationId: id, variantId: 'phone', quantity: 5 })
  }
  const settle = async (path: string) => {
    const { status, body } = await tenant.asService('POST', `/api/v1/reservations/${path}`)
    return [status, body['outcome'] ?? body['code']]
  }
  t.deepEqual(await settle('gone/confirm'), [200, 'settled'])
  t.deepEqual(await settle('gone/confirm'), [200, 'already-settled'])
  t.deepEqual(await settle('gone/release'), [409, 'conflict'])
  t.deepEqual(await settle('back/release'), [200, 'settled'])
  t.deepEqual(await settle('back/release'), [200, 'already-settled'])
  t.deepEqual(await settle('nowhere/confirm'), [404, 'not-found'])
  t.like(await tenant.look('phone'), { onHand: 45, reserved: 0 })
})

test('adjust – needs the version that was seen; 10 at once: one wins', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 50)
  const { version } = (await tenant.look('phone')) as { version: number }
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      tenant.call('PUT', '/api/v1/stocks/phone', { version, onHand: 60 + index, reason: 'count' }),
    ),
  )
  t.is(answers.filter(({ status }) => status === 200).length, 1)
  t.is(answers.filter(({ status, body }) => status === 409 && body['version'] === version + 1).length, 9)
})

test('adjust – fewer on hand than reserved: refused; unknown variant without version 0: not found', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 50)
  await tenant.asService('POST', '/api/v1/reservations', { reservationId: 'r', variantId: 'phone', quantity: 20 })
  const { version } = (await tenant.look('phone')) as { version: number }
  t.is((await tenant.call('PUT', '/api/v1/stocks/phone', { version, onHand: 19, reason: 'count' })).status, 422)
  t.is((await tenant.call('PUT', '/api/v1/stocks/none', { version: 3, onHand: 19, reason: 'count' })).status, 404)
  t.like(await tenant.look('phone'), { onHand: 50, reserved: 20, version })
})

test('low stock – told once when the stock falls below the threshold, again after it recovered', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 103)
  const reserveOne = (id: string, quantity: number) =>
    tenant.asService('POST', '/api/v1/reservations', { reservationId: id, variantId: 'phone', quantity })
  await reserveOne('r-1', 3)
  await reserveOne('r-2', 1)
  await reserveOne('r-3', 1)
  await stage.said()
  t.deepEqual(
    stage.published(tenant.tenantId, lowStockType).map((event) => [event.data['available'], event.data['threshold']]),
    [[99, 100]],
  )
  await tenant.asService('POST', '/api/v1/reservations/r-1/release')
  await reserveOne('r-4', 10)
  await stage.said()
  t.is(stage.published(tenant.tenantId, lowStockType).length, 2)
})

test('activity.scheduled – twice and with another event id: one allocation, one event', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 150)
  const terms = tenant.terms()
  t.is(await stage.deliver(scheduled(terms, 'first')), 204)
  t.is(await stage.deliver(scheduled(terms, 'first')), 204)
  t.is(await stage.deliver(scheduled(terms, 'second')), 204)
  await stage.said()
  t.deepEqual(
    stage.published(tenant.tenantId, allocatedType).map((event) => event.data),
    [terms],
  )
  t.like(await tenant.look('phone'), { onHand: 150, reserved: 100 })
  t.like((await tenant.asService('GET', `/api/v1/allocations/${terms.activityId}`)).body, {
    state: 'allocated',
    quantity: 100,
    warmedAt: null,
  })
})

test('activity.scheduled – more than there is: refused with both numbers, and again with fewer: allocated', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 50)
  const terms = tenant.terms()
  await stage.deliver(scheduled(terms))
  await stage.said()
  t.like(stage.published(tenant.tenantId, refusedType)[0]?.data, { wanted: 100, available: 50 })
  t.like(await tenant.look('phone'), { reserved: 0 })
  await stage.deliver(scheduled({ ...terms, stock: 40 }))
  await stage.said()
  t.is(stage.published(tenant.tenantId, allocatedType).length, 1)
  t.like(await tenant.look('phone'), { reserved: 40 })
})

test('activity.scheduled – 10 activities at once for a stock of 3: exactly 3 are allocated', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 300)
  await Promise.all(Array.from({ length: 10 }, () => stage.deliver(scheduled(tenant.terms()))))
  await stage.said()
  t.is(stage.published(tenant.tenantId, allocatedType).length, 3)
  t.is(stage.published(tenant.tenantId, refusedType).length, 7)
  t.like(await tenant.look('phone'), { onHand: 300, reserved: 300 })
})

test('activity.cancelled – returns all once; before the schedule: the schedule is ignored', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 100)
  const terms = tenant.terms()
  await stage.deliver(scheduled(terms))
  t.is(await stage.deliver(cancelled(terms)), 204)
  t.is(await stage.deliver(cancelled(terms)), 204)
  t.like(await tenant.look('phone'), { onHand: 100, reserved: 0 })

  const overtaken = tenant.terms()
  await stage.deliver(cancelled(overtaken))
  await stage.deliver(scheduled(overtaken))
  t.like(await tenant.look('phone'), { onHand: 100, reserved: 0 })
  t.like((await tenant.asService('GET', `/api/v1/allocations/${overtaken.activityId}`)).body, { state: 'cancelled' })
})

test('activity.settled – the sale in Redis ends after a while, and is no longer looked after', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 100)
  const terms = tenant.terms(soon())
  await stage.deliver(scheduled(terms))
  const { sale } = bucketKeys({ ...terms, bucket: 1 })
  t.is(await stage.redis.ttl(sale), -1)
  t.is(await stage.deliver(settled(terms, 70)), 204)
  const ttlSeconds = await stage.redis.ttl(sale)
  t.true(ttlSeconds > 600_000 && ttlSeconds <= 604_800, `${ttlSeconds}`)
  t.false((await stage.sales.listSales()).some(({ activityId }) => activityId === terms.activityId))
})

test('activity.settled – sold units leave, unsold go back, once; a cancellation afterwards changes nothing', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 120)
  const terms = tenant.terms()
  t.is(await stage.deliver(settled(terms, 70)), 503, 'the allocation may be on its way')
  await stage.deliver(scheduled(terms))
  t.is(await stage.deliver({ ...settled(terms, 70), data: { ...settled(terms, 70).data, unsold: 31 } }), 422)
  t.is(await stage.deliver(settled(terms, 70)), 204)
  t.is(await stage.deliver(settled(terms, 70)), 204)
  t.is(await stage.deliver(cancelled(terms)), 204)
  t.like(await tenant.look('phone'), { onHand: 50, reserved: 0 })
  t.like((await tenant.asService('GET', `/api/v1/allocations/${terms.activityId}`)).body, {
    state: 'settled',
    sold: 70,
    returned: 30,
  })
})

const soon = () => ({ startsAt: new Date(Date.now() + 60_000).toISOString() })
const running = () => ({ startsAt: new Date(Date.now() - 60_000).toISOString() })

// Serial: a schedule does not overlap itself, so a tick during another one is none.
test.serial(
  'warm-up – right after the allocation when the start is near: exact terms in Redis, told once',
  async (t) => {
    const tenant = await stage.tenant()
    await tenant.stock('phone', 101)
    const terms = tenant.terms({ ...soon(), stock: 101 })
    await stage.deliver(scheduled(terms))
    const [one, other] = await Promise.all([0, 1].map((bucket) => stage.sales.snapshot({ ...terms, bucket })))
    t.is(one!.total + other!.total, 101)
    t.like(one, {
      state: 'open',
      perUserLimit: 1,
      buckets: 2,
      startsAtMs: Date.parse(terms.startsAt),
      endsAtMs: Date.parse(terms.endsAt),
    })
    t.is(await stage.tick(), 204)
    t.deepEqual((await tenant.asService('POST', `/api/v1/allocations/${terms.activityId}/warm-up`)).body, {
      outcome: 'already-warm',
    })
    await stage.said()
    t.like(
      stage.published(tenant.tenantId, warmedUpType).map((event) => event.data),
      [{ activityId: terms.activityId, stock: 101, buckets: 2 }],
    )
    t.is(stage.published(tenant.tenantId, warmedUpType).length, 1)
  },
)

test.serial('warm-up – by the clock: what begins within the horizon, not what begins later', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 200)
  const near = tenant.terms()
  const far = tenant.terms()
  await stage.deliver(scheduled(near))
  await stage.deliver(scheduled(far))
  t.is(await stage.sales.snapshot({ ...near, bucket: 0 }), undefined)
  await stage.sql.query('UPDATE inventory_allocations SET starts_at = ? WHERE activity_id = ?', [
    new Date(Date.now() + 60_000),
    near.activityId,
  ])
  await stage.tick()
  t.truthy(await stage.sales.snapshot({ ...near, bucket: 1 }))
  t.is(await stage.sales.snapshot({ ...far, bucket: 0 }), undefined)
})

test('warm-up – Redis lost the sale before its start and nothing is ordered: created again', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 100)
  const terms = tenant.terms(soon())
  await stage.deliver(scheduled(terms))
  await stage.forget(terms)
  t.deepEqual((await tenant.asService('POST', `/api/v1/allocations/${terms.activityId}/warm-up`)).body, {
    outcome: 'warmed-up',
  })
  t.is((await stage.sales.snapshot({ ...terms, bucket: 0 }))?.left, 50)
})

test('warm-up – Redis lost the sale before its start but there are orders: not created fresh', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 100)
  const terms = tenant.terms(soon())
  await stage.deliver(scheduled(terms))
  await stage.forget(terms)
  stage.ordered.set(terms.activityId, 1)
  t.deepEqual((await tenant.asService('POST', `/api/v1/allocations/${terms.activityId}/warm-up`)).body, {
    outcome: 'needs-rebuild',
  })
  t.is(await stage.sales.snapshot({ ...terms, bucket: 0 }), undefined)
})

test.serial(
  'warm-up – Redis lost a sale whose window began: never created fresh, neither by the clock nor by hand',
  async (t) => {
    const tenant = await stage.tenant()
    await tenant.stock('phone', 100)
    const terms = tenant.terms(running())
    await stage.deliver(scheduled(terms))
    t.truthy(await stage.sales.snapshot({ ...terms, bucket: 0 }))
    await stage.forget(terms)
    await stage.tick()
    t.deepEqual((await tenant.asService('POST', `/api/v1/allocations/${terms.activityId}/warm-up`)).body, {
      outcome: 'needs-rebuild',
    })
    t.is(await stage.sales.snapshot({ ...terms, bucket: 0 }), undefined)
  },
)

test('warm-up – the process died between Redis and MySQL: completed without a second creation', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 100)
  const terms = tenant.terms(running())
  await stage.deliver(scheduled(terms))
  await stage.said()
  // As if it had died before it wrote that the sale is warm; one unit was sold meanwhile.
  await stage.sql.query('UPDATE inventory_allocations SET warmed_at = NULL WHERE activity_id = ?', [terms.activityId])
  await stage.redis.hincrby(bucketKeys({ ...terms, bucket: 0 }).sale, 'left', -1)
  t.deepEqual((await tenant.asService('POST', `/api/v1/allocations/${terms.activityId}/warm-up`)).body, {
    outcome: 'warmed-up',
  })
  t.is((await stage.sales.snapshot({ ...terms, bucket: 0 }))?.left, 49)
})

test('activity.cancelled – closes the sale in Redis; it is not warmed up again', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 100)
  const terms = tenant.terms(soon())
  await stage.deliver(scheduled(terms))
  await stage.deliver(cancelled(terms))
  t.is((await stage.sales.snapshot({ ...terms, bucket: 1 }))?.state, 'closed')
  t.deepEqual((await tenant.asService('POST', `/api/v1/allocations/${terms.activityId}/warm-up`)).body, {
    outcome: 'not-allocated',
  })
})

test('tenants – one sees and changes nothing of another', async (t) => {
  const [one, other] = [await stage.tenant(), await stage.tenant()]
  await one.stock('phone', 100)
  const terms = one.terms()
  await stage.deliver(scheduled(terms))
  await one.asService('POST', '/api/v1/reservations', { reservationId: 'r', variantId: 'phone', quantity: 0 })
  t.is((await other.call('GET', '/api/v1/stocks/phone')).status, 404)
  t.deepEqual((await other.call('GET', '/api/v1/stocks')).body['stocks'], [])
  t.deepEqual((await other.call('GET', '/api/v1/stocks/phone/movements')).body['movements'], [])
  t.is((await other.asService('GET', `/api/v1/allocations/${terms.activityId}`)).status, 404)
  t.is((await other.asService('POST', `/api/v1/allocations/${terms.activityId}/warm-up`)).status, 404)
  t.is((await other.asService('POST', `/api/v1/reservations/r/release`)).status, 404)
  t.is((await other.call('PUT', '/api/v1/stocks/phone', { version: 1, onHand: 0, reason: 'x' })).status, 404)
})

test('lists – keyset pages show everything once', async (t) => {
  const tenant = await stage.tenant()
  for (const variant of ['a', 'b', 'c', 'd', 'e']) await tenant.stock(variant, 500)
  const seen: string[] = []
  for (let cursor = ''; ;) {
    const { body } = await tenant.call('GET', `/api/v1/stocks?limit=2${cursor && `&cursor=${cursor}`}`)
    seen.push(...(body['stocks'] as { variantId: string }[]).map((stock) => stock.variantId))
    if (body['nextCursor'] === null) break
    cursor = body['nextCursor'] as string
  }
  t.deepEqual(seen, ['a', 'b', 'c', 'd', 'e'])
})
