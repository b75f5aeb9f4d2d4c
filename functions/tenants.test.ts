/** Nobody reaches the things of another tenant, through no route of the collection (SEC1). */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import mysql, { type RowDataPacket } from 'mysql2/promise'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { askAsOwner, askAsStrangers, type TenantProbe } from '@stampede/shared/testing/tenant-walk.ts'
import { accessProbes, createAccessThings } from './access-probes.fixture.ts'
import { functions } from './index.ts'
import { createPeople, peopleProbes } from './people-probes.fixture.ts'
import { createSignInThings, signInProbes } from './sign-in-probes.fixture.ts'
import { caller, eventually, openSale, press, startCollection, type Collection } from './testing.ts'

let collection: Collection
test.before(async () => {
  collection = await startCollection()
})
test.after.always(() => collection?.stop())

/** One of everything, in a tenant of its own; with the ids of another tenant's things where ids can be chosen. */
async function createThings(ids: { activityId?: string; draftId?: string } = {}) {
  const tenantId = `t-${randomBytes(6).toString('hex')}`
  const userId = 'chief'
  const { identity } = collection
  const call = caller(collection, await identity.token({ tenantId, userId, roles: ['administrator'] }))
  const service = await identity.serviceToken(tenantId)
  const stocked = await call('PUT', '/api/v1/stocks/phone', { version: 0, onHand: 50, reason: 'counted' })
  const reserved = await call(
    'POST',
    '/api/v1/reservations',
    { reservationId: 'basket-1', variantId: 'phone', quantity: 2 },
    service,
  )
  await call('POST', '/api/v1/reservations', { reservationId: 'basket-2', variantId: 'phone', quantity: 3 }, service)
  const draft = await call('POST', '/api/v1/activities', {
    ...(ids.draftId === undefined ? {} : { activityId: ids.draftId }),
    name: 'Phones again',
    variantId: 'phone',
    stock: 5,
    buckets: 1,
    startsAt: new Date(Date.now() + 3_600_000).toISOString(),
    endsAt: new Date(Date.now() + 7_200_000).toISOString(),
    priceCents: 19_900,
    currency: 'EUR',
  })
  const activityId = await openSale(collection, call, {
    ...(ids.activityId === undefined ? {} : { activityId: ids.activityId }),
    variantId: 'phone',
    stock: 20,
    buckets: 2,
    perUserLimit: 3,
  })
  const bought = [
    await press(collection, { tenantId, userId, activityId }),
    await press(collection, { tenantId, userId: 'other-buyer', activityId }),
  ]
  await eventually(
    async () => (await call('GET', `/api/v1/seckill/${activityId}/live`)).body,
    ({ confirmed }) => confirmed === 2,
  )
  const run = await call('POST', '/api/v1/reconciliation-runs', { activityId })
  const access = await createAccessThings(identity, call, tenantId)
  const signIn = await createSignInThings(collection, call, tenantId)
  const people = await createPeople(identity, call, tenantId)
  return {
    tenantId,
    userId,
    activityId,
    draftId: draft.body['activityId'] as string,
    orderNumber: bought[0]!.body['orderNumber'] as string,
    runId: run.body['runId'] as string,
    stockVersion: (await call('GET', '/api/v1/stocks/phone')).body['version'] as number,
    statuses: [
      ...[stocked, reserved, draft, ...bought, run].map(({ status }) => status),
      ...access,
      ...signIn.statuses,
      ...people.statuses,
    ],
    signIn,
    people,
  }
}

type Things = Awaited<ReturnType<typeof createThings>>

/** A request for each of the things, for every route there is. */
function probesFor(things: Things): Record<string, TenantProbe[] | string> {
  const { tenantId, userId, activityId, draftId, orderNumber, runId, stockVersion } = things
  const draft = `/api/v1/activities/${draftId}`
  const activity = `/api/v1/activities/${activityId}`
  const sale = `/api/v1/seckill/${activityId}`
  const times = { issuedAtMs: Date.now(), expiresAtMs: Date.now() + 60_000 }
  const ownPass = collection.passes.issue({ tenantId, userId, activityId, device: '', ...times })
  return {
    ...accessProbes(things),
    ...signInProbes(things.signIn),
    ...peopleProbes(userId, things.people),
    'GET /api/v1/activities': [
      { path: '/api/v1/activities', stranger: { status: 200, body: { activities: [], nextCursor: null } } },
      { path: '/api/v1/activities?state=open', stranger: { status: 200, body: { activities: [], nextCursor: null } } },
    ],
    'POST /api/v1/activities': [
      {
        path: '/api/v1/activities',
        body: {
          activityId,
          name: 'Mine',
          variantId: 'phone',
          stock: 1,
          startsAt: new Date(Date.now() + 3_600_000).toISOString(),
          endsAt: new Date(Date.now() + 7_200_000).toISOString(),
          priceCents: 1,
          currency: 'EUR',
        },
        stranger: { status: 201 },
      },
    ],
    'GET /api/v1/activities/:activityId': [{ path: activity }],
    'GET /api/v1/activities/:activityId/history': [{ path: `${activity}/history` }],
    'PATCH /api/v1/activities/:activityId': [{ path: draft, body: { version: 1, name: 'Mine' } }],
    'POST /api/v1/activities/:activityId/schedule': [{ path: `${draft}/schedule` }],
    'POST /api/v1/activities/:activityId/pre-check': [{ path: `${activity}/pre-check` }],
    'POST /api/v1/activities/:activityId/warm-up': [{ path: `${activity}/warm-up` }],
    'POST /api/v1/activities/:activityId/open': [{ path: `${activity}/open` }],
    'POST /api/v1/activities/:activityId/pause': [{ path: `${activity}/pause` }],
    'POST /api/v1/activities/:activityId/resume': [{ path: `${activity}/resume` }],
    'POST /api/v1/activities/:activityId/close': [{ path: `${activity}/close` }],
    'POST /api/v1/activities/:activityId/settle': [{ path: `${activity}/settle` }],
    'POST /api/v1/activities/:activityId/cancel': [{ path: `${draft}/cancel` }],
    'GET /api/v1/activities/:activityId/report': [
      { path: `${activity}/report` },
      { path: `${activity}/report?format=csv` },
      { path: `${activity}/report?format=html` },
    ],
    'GET /api/v1/activity-states/:activityId': [{ path: `/api/v1/activity-states/${activityId}` }],
    'GET /activities/:activityId/live': 'the same empty page for every id; it asks the live route',

    'GET /api/v1/stocks': [
      { path: '/api/v1/stocks', stranger: { status: 200, body: { stocks: [], nextCursor: null } } },
    ],
    'GET /api/v1/stocks/:variantId': [{ path: '/api/v1/stocks/phone' }],
    'PUT /api/v1/stocks/:variantId': [
      { path: '/api/v1/stocks/phone', body: { version: stockVersion, onHand: 40, reason: 'mine' } },
      {
        path: '/api/v1/stocks/phone',
        body: { version: 0, onHand: 7, reason: 'own' },
        stranger: {
          status: 200,
          body: { variantId: 'phone', onHand: 7, reserved: 0, available: 7, lowStockThreshold: 100, version: 1 },
        },
      },
    ],
    'GET /api/v1/stocks/:variantId/movements': [
      {
        path: '/api/v1/stocks/phone/movements',
        stranger: { status: 200, body: { movements: [], nextCursor: null } },
      },
    ],
    'POST /api/v1/reservations': [
      {
        path: '/api/v1/reservations',
        body: { reservationId: 'basket-1', variantId: 'phone', quantity: 2 },
        // Nothing is available in the stranger's tenant, and the reservation is not known there.
        stranger: { status: 422 },
      },
    ],
    'POST /api/v1/reservations/:reservationId/confirm': [{ path: '/api/v1/reservations/basket-1/confirm' }],
    'POST /api/v1/reservations/:reservationId/release': [{ path: '/api/v1/reservations/basket-2/release' }],
    'GET /api/v1/allocations/:activityId': [{ path: `/api/v1/allocations/${activityId}` }],
    'POST /api/v1/allocations/:activityId/warm-up': [{ path: `/api/v1/allocations/${activityId}/warm-up` }],

    'GET /api/v1/orders': [{ path: '/api/v1/orders', stranger: { status: 200, body: { orders: [], next: null } } }],
    'GET /api/v1/orders/:orderNumber': [{ path: `/api/v1/orders/${orderNumber}` }],
    'POST /api/v1/orders/:orderNumber/cancel': [{ path: `/api/v1/orders/${orderNumber}/cancel` }],
    'GET /api/v1/order-totals/:activityId': [
      {
        path: `/api/v1/order-totals/${activityId}`,
        stranger: { status: 200, body: { activityId, allocated: null, sold: 0, states: {}, rejected: {} } },
      },
    ],
    'GET /api/v1/order-pages/:activityId': [
      { path: `/api/v1/order-pages/${activityId}`, stranger: { status: 200, body: { orders: [], next: null } } },
    ],
    'POST /api/v1/order-lookups/:activityId': [
      {
        path: `/api/v1/order-lookups/${activityId}`,
        body: { orderNumbers: [orderNumber] },
        stranger: { status: 200, body: { orders: [], rejections: [] } },
      },
    ],

    'GET /api/v1/reconciliation-runs': [
      { path: '/api/v1/reconciliation-runs', stranger: { status: 200, body: { runs: [], nextCursor: null } } },
      {
        path: `/api/v1/reconciliation-runs?activityId=${activityId}`,
        stranger: { status: 200, body: { runs: [], nextCursor: null } },
      },
    ],
    'GET /api/v1/reconciliation-runs/:runId': [{ path: `/api/v1/reconciliation-runs/${runId}` }],
    'POST /api/v1/reconciliation-runs': [{ path: '/api/v1/reconciliation-runs', body: { activityId } }],

    'POST /api/v1/seckill/:activityId/purchases': [{ path: `${sale}/purchases`, body: { quantity: 1 } }],
    'POST /api/flash-sale/order/create': [
      { path: '/api/flash-sale/order/create', body: { userId, activityId, quantity: 1 } },
    ],
    'GET /api/v1/seckill/:activityId/result': [{ path: `${sale}/result` }, { path: `${sale}/result?waitSeconds=1` }],
    'GET /api/v1/seckill/:activityId/challenge': [{ path: `${sale}/challenge` }],
    'POST /api/v1/seckill/:activityId/pass': [
      { path: `${sale}/pass` },
      // A pass is no token: it gives nobody another one.
      { path: `${sale}/pass`, headers: { 'stampede-pass': ownPass } },
    ],
    'GET /api/v1/seckill/:activityId/live': [{ path: `${sale}/live` }, { path: `${sale}/live?tenantId=${tenantId}` }],
  }
}

/** Everything that is the tenant's: its rows in all tables, the events that told of it, its sale in Redis. */
async function everythingOf({ tenantId, activityId }: Things) {
  const rows: Record<string, unknown[]> = {}
  const sql = await mysql.createConnection({ uri: collection.databaseUrl, timezone: 'Z' })
  try {
    const [tables] = await sql.query<RowDataPacket[]>(
      `SELECT table_name AS name FROM information_schema.columns
       WHERE table_schema = DATABASE() AND column_name = 'tenant_id' ORDER BY table_name`,
    )
    for (const { name } of tables) {
      const [found] = await sql.query<RowDataPacket[]>('SELECT * FROM ?? WHERE tenant_id = ?', [name, tenantId])
      rows[name as string] = found.map((row) => JSON.stringify(row)).sort()
    }
  } finally {
    await sql.end()
  }
  const redis = connectRedis(collection.redisUrl)
  const hashes: Record<string, unknown> = {}
  try {
    for (const key of (await redis.keys(`*${tenantId}:${activityId}*`)).sort())
      hashes[key] = (await redis.type(key)) === 'hash' ? await redis.hgetall(key) : 'exists'
  } finally {
    redis.disconnect()
  }
  const events = collection.sink.events.filter(({ data }) => data['tenantId'] === tenantId).map(({ id }) => id)
  return { rows, hashes, events }
}

const outboxesAreEmpty = async () => {
  const sql = await mysql.createConnection({ uri: collection.databaseUrl })
  try {
    // Every outbox there is; other tables have no partition key.
    const [tables] = await sql.query<RowDataPacket[]>(
      "SELECT table_name AS name FROM information_schema.columns WHERE table_schema = DATABASE() AND column_name = 'partition_key'",
    )
    const counts = tables.map(({ name }) => `(SELECT COUNT(*) FROM ${String(name)})`)
    const [[row]] = await sql.query<RowDataPacket[]>(`SELECT ${counts.join(' + ')} AS waiting`)
    return Number(row!['waiting']) === 0
  } finally {
    await sql.end()
  }
}

const optionsFor = (things: Things) => ({
  url: collection.url,
  definitions: functions,
  identity: collection.identity,
  owner: things,
  probes: probesFor(things),
})

test.serial(
  'tenants – every route keeps the things of a tenant from all others, and nothing of them changes',
  async (t) => {
    const things = await createThings()
    const twin = await createThings(things)
    t.deepEqual(
      things.statuses,
      [200, 200, 201, 202, 202, 200, 201, 201, 200, 202, 201, 201, 200, 201, 200, 200, 200, 200, 200],
    )
    t.like(twin, { statuses: things.statuses, activityId: things.activityId, draftId: things.draftId })
    await eventually(outboxesAreEmpty, Boolean)
    const before = await everythingOf(things)
    const filled = Object.values(before.rows).filter((rows) => rows.length > 0)
    t.true(filled.length >= 10 && Object.keys(before.hashes).length >= 2 && before.events.length >= 5)

    const { asked, findings } = await askAsStrangers(optionsFor(things))
    t.deepEqual(findings, [])
    t.true(asked > 40)
    await eventually(outboxesAreEmpty, Boolean)
    t.deepEqual(await everythingOf(things), before)

    // The tenant with the same ids does everything with its own things: a statement that forgets the tenant changes both.
    t.deepEqual(await askAsOwner(optionsFor(twin)), [])
    await eventually(outboxesAreEmpty, Boolean)
    t.deepEqual(await everythingOf(things), before)
  },
)

test.serial('tenants – a route without a probe is found', async (t) => {
  const { findings } = await askAsStrangers({
    url: collection.url,
    definitions: functions,
    identity: collection.identity,
    owner: { tenantId: 'acme', userId: 'user-1' },
    probes: {},
  })
  t.deepEqual(
    findings.map(({ probe }) => probe),
    functions.flatMap(({ routes }) => routes.map(({ method, path }) => `${method} ${path}`)),
  )
})
