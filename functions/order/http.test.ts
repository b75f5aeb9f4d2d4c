/** The function as it is served: its routes and events over HTTP, its outbox to a sink. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { serve, type Serving } from '@stampede/shared/function/serve.ts'
import { request } from '@stampede/shared/testing/call.ts'
import { createTestIdentity, type TestIdentity } from '@stampede/shared/testing/identity.ts'
import { serviceAddresses } from '@stampede/shared/testing/services.ts'
import type { SaleTerms } from '@stampede/eventing/catalogue/events.ts'
import { orderFunction } from './index.ts'
import { nextOrderNumber, openTestDatabase, purchaseOf, saleOf, type TestDatabase } from './testing.ts'
import { ownAlarms } from '@stampede/shared/testing/alarms.ts'

/** What the answers of this function hold, as far as tests look inside. */
type Answer = Record<string, unknown> & {
  orders: { orderNumber: string }[]
  next: string | null
  history: unknown[]
  rejections: unknown[]
}
type Told = { type: string; data: Record<string, unknown> }

let db: TestDatabase
let identity: TestIdentity
let serving: Serving
const told: Told[] = []
const sink = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    told.push({ type: String(request.headers['ce-type']), data: JSON.parse(Buffer.concat(chunks).toString()) })
    response.writeHead(202).end()
  })
})

test.before(async () => {
  db = await openTestDatabase()
  identity = await createTestIdentity()
  await new Promise<void>((resolve) => sink.listen(0, '127.0.0.1', resolve))
  serving = await serve([orderFunction], {
    port: 0,
    host: '127.0.0.1',
    environment: {
      ...identity.environment,
      DATABASE_URL: db.url,
      REDIS_URL: serviceAddresses().redisUrl,
      K_SINK: `http://127.0.0.1:${(sink.address() as AddressInfo).port}/`,
      LOG_LEVEL: 'silent',
    },
  })
})
test.after.always(async () => {
  await serving.stop()
  sink.close()
  await db.close()
})

async function call(method: string, path: string, token: string, body?: unknown) {
  const response = await request(`${serving.url}${path}`, method, token, body)
  return { status: response.status, body: (await response.json()) as Answer }
}

async function deliver(type: string, data: unknown, id: string = nextOrderNumber()) {
  const response = await fetch(`${serving.url}/`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'ce-specversion': '1.0',
      'ce-type': `io.stampede.${type}.v1`,
      'ce-source': '/functions/test',
      'ce-id': id,
      authorization: `Bearer ${await identity.serviceToken('platform')}`,
    },
    body: JSON.stringify(data),
  })
  return { status: response.status, retryAfter: response.headers.get('retry-after'), text: await response.text() }
}

const accepted = ({ tenantId, activityId }: SaleTerms, ...purchases: ReturnType<typeof purchaseOf>[]) =>
  deliver('purchase.accepted', { tenantId, activityId, bucket: 0, purchases })

async function runningSale(changes: Partial<SaleTerms> = {}) {
  const sale = saleOf({ tenantId: 'acme', stock: 1_000, ...changes })
  const { status } = await deliver('inventory.allocated', sale)
  if (status !== 204) throw new Error(`the terms were answered with ${status}`)
  return sale
}

async function eventually<T>(find: () => T | undefined): Promise<T> {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    const found = find()
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('did not happen within 10 s')
}

test('order over HTTP – from accepted purchase to paid order, with its events', async (t) => {
  const sale = await runningSale()
  const purchase = purchaseOf('user-flow')
  t.is((await accepted(sale, purchase)).status, 204)
  const token = await identity.token({ userId: 'user-flow' })
  const path = `/api/v1/orders/${purchase.orderNumber}`
  t.like((await call('GET', path, token)).body, {
    state: 'pending-payment',
    amountCents: 1_999,
    activityId: sale.activityId,
    history: [],
  })

  const payment = {
    tenantId: 'acme',
    orderNumber: purchase.orderNumber,
    paymentId: 'pay-flow',
    amountCents: 1_999,
    currency: 'EUR',
    paidAt: '2030-01-01T00:00:00.000Z',
  }
  t.is((await deliver('payment.succeeded', payment)).status, 204)
  const paid = await call('GET', path, token)
  t.like(paid.body, { state: 'paid', paidAt: '2030-01-01T00:00:00.000Z' })
  t.like(paid.body.history[0], { from: 'pending-payment', to: 'paid', by: 'payment' })
  t.is((await call('POST', `${path}/cancel`, token)).status, 409)

  const isOf = ({ data }: Told) =>
    data['orderNumber'] === purchase.orderNumber || JSON.stringify(data['orders'] ?? '').includes(purchase.orderNumber)
  await eventually(() => told.find((event) => event.type === 'io.stampede.order.paid.v1' && isOf(event)))
  t.deepEqual(
    told.filter(isOf).map(({ type }) => type),
    ['io.stampede.order.created.v1', 'io.stampede.order.paid.v1'],
  )
})

test('order over HTTP – cancelling twice answers the same, and gives back once', async (t) => {
  const sale = await runningSale()
  const purchase = purchaseOf('user-cancel')
  await accepted(sale, purchase)
  const token = await identity.token({ userId: 'user-cancel' })
  const path = `/api/v1/orders/${purchase.orderNumber}/cancel`
  const answers = [await call('POST', path, token), await call('POST', path, token)]
  t.deepEqual(
    answers.map(({ status, body }) => [status, body['state'], body['cancelReason']]),
    [
      [200, 'cancelled', 'buyer'],
      [200, 'cancelled', 'buyer'],
    ],
  )
  t.is((await db.allocation(sale))['sold'], 0)
})

test('orders over HTTP – own orders only: another buyer and another tenant find nothing', async (t) => {
  const sale = await runningSale()
  const purchase = purchaseOf('user-own')
  await accepted(sale, purchase)
  const path = `/api/v1/orders/${purchase.orderNumber}`
  for (const person of [{ userId: 'somebody' }, { userId: 'user-own', tenantId: 'other' }]) {
    const token = await identity.token(person)
    t.is((await call('GET', path, token)).status, 404)
    t.is((await call('POST', `${path}/cancel`, token)).status, 404)
    t.deepEqual((await call('GET', '/api/v1/orders', token)).body, { orders: [], next: null })
  }
  t.is((await call('GET', path, await identity.token({ userId: 'user-own' }))).status, 200)
})

test('orders over HTTP – pages follow each other without gap or repeat, newest first, while orders arrive', async (t) => {
  const sale = await runningSale({ perUserLimit: 100 })
  const purchases = Array.from({ length: 7 }, () => purchaseOf('user-pages'))
  await accepted(sale, ...purchases)
  const token = await identity.token({ userId: 'user-pages' })
  const seen: string[] = []
  let cursor: string | null = null
  for (let page = 0; page < 5; page += 1) {
    const { body } = await call('GET', `/api/v1/orders?limit=3${cursor ? `&cursor=${cursor}` : ''}`, token)
    seen.push(...body.orders.map(({ orderNumber }) => orderNumber))
    cursor = body.next
    if (cursor === null) break
    if (page === 0) await accepted(sale, purchaseOf('user-pages'))
  }
  t.deepEqual(seen, purchases.map(({ orderNumber }) => orderNumber).toReversed())
  const wrong = await call('GET', '/api/v1/orders?cursor=nonsense', token)
  t.deepEqual([wrong.status, wrong.body['code']], [400, 'invalid-request'])
})

test('order totals, pages and lookups – for services, of their tenant', async (t) => {
  const sale = await runningSale({ stock: 4, perUserLimit: 5 })
  const purchases = [purchaseOf('c'), purchaseOf('a', 2), purchaseOf('b'), purchaseOf('a')]
  await accepted(sale, ...purchases)
  await call('POST', `/api/v1/orders/${purchases[0]!.orderNumber}/cancel`, await identity.token({ userId: 'c' }))
  const service = await identity.serviceToken('acme')
  const foreign = await identity.serviceToken('other')
  const totals = `/api/v1/order-totals/${sale.activityId}`
  t.deepEqual((await call('GET', totals, service)).body, {
    activityId: sale.activityId,
    allocated: 4,
    sold: 3,
    states: { 'pending-payment': { orders: 2, units: 3 }, cancelled: { orders: 1, units: 1 } },
    rejected: { 'allocation-exhausted': 1 },
  })
  t.deepEqual((await call('GET', totals, foreign)).body, {
    activityId: sale.activityId,
    allocated: null,
    sold: 0,
    states: {},
    rejected: {},
  })

  const pages = `/api/v1/order-pages/${sale.activityId}`
  const first = (await call('GET', `${pages}?limit=2`, service)).body
  const second = (await call('GET', `${pages}?limit=2&after=${String(first.next)}`, service)).body
  const line = (index: number, state: string) => ({ ...purchases[index], state })
  t.deepEqual(
    [...first.orders, ...second.orders],
    [line(1, 'pending-payment'), line(2, 'pending-payment'), line(0, 'cancelled')],
  )
  t.is(second.next, null)
  t.deepEqual((await call('GET', pages, foreign)).body, { orders: [], next: null })
  t.is((await call('GET', `${pages}?after=${nextOrderNumber()}`, service)).status, 400)

  const lookups = `/api/v1/order-lookups/${sale.activityId}`
  const wanted = { orderNumbers: [...purchases.map(({ orderNumber }) => orderNumber), nextOrderNumber()] }
  const found = (await call('POST', lookups, service, wanted)).body
  t.is(found.orders.length, 3)
  t.deepEqual(found.rejections, [{ ...purchases[3], reason: 'allocation-exhausted' }])
  t.deepEqual((await call('POST', lookups, foreign, wanted)).body, { orders: [], rejections: [] })
})

test('deliveries – a message twice is 204 both times; an unknown activity comes again; a stolen number is poison', async (t) => {
  const sale = await runningSale()
  const purchase = purchaseOf('user-twice')
  t.deepEqual([(await accepted(sale, purchase)).status, (await accepted(sale, purchase)).status], [204, 204])
  t.is((await db.orders(sale)).length, 1)
  const unknown = await accepted(saleOf({ tenantId: 'acme' }), purchaseOf())
  t.deepEqual([unknown.status, unknown.retryAfter], [503, '2'])
  t.is((await accepted(saleOf({ tenantId: 'acme' }), purchaseOf('u', 1, orderNumbers(() => 1_000)()))).status, 204)
  t.is((await accepted(sale, { ...purchaseOf('thief'), orderNumber: purchase.orderNumber })).status, 422)
  t.is(
    (
      await accepted(await runningSale({ tenantId: 'foreign' }), {
        ...purchaseOf('thief'),
        orderNumber: purchase.orderNumber,
      })
    ).status,
    422,
  )
  t.is(
    (
      await deliver('purchase.accepted', {
        tenantId: 'acme',
        activityId: "x' OR 1=1",
        bucket: 0,
        purchases: [purchase],
      })
    ).status,
    400,
  )
})

test('schedule – the clock cancels what is overdue', async (t) => {
  const sale = await runningSale({ paymentTimeoutSeconds: 1 })
  await accepted(sale, purchaseOf('user-late'))
  await db.rows('UPDATE order_orders SET pay_by = created_at - INTERVAL 1 SECOND WHERE activity_id = ?', [
    sale.activityId,
  ])
  const response = await fetch(`${serving.url}/`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'ce-specversion': '1.0',
      'ce-type': 'dev.knative.sources.ping',
      'ce-source': '/apis/v1/namespaces/stampede/pingsources/order-cancel-overdue',
      'ce-id': nextOrderNumber(),
      authorization: `Bearer ${await identity.serviceToken('platform')}`,
    },
    body: JSON.stringify({ function: 'order', task: 'cancel-overdue' }),
  })
  t.is(response.status, 204)
  t.is((await db.orders(sale))[0]?.['state'], 'cancelled')
  t.is((await db.allocation(sale))['sold'], 0)
})

// Serial: of orders that are stored together the first to be overdue has the alarm.
test.serial(
  'schedule – an order sets the alarm for the end of its time before it is stored, one for many',
  async (t) => {
    // So far that no other test has it.
    const paymentTimeoutSeconds = 500_000 + Math.floor(Math.random() * 100_000)
    const sale = await runningSale({ paymentTimeoutSeconds })
    await accepted(sale, purchaseOf('user-1'), purchaseOf('user-2'))
    const [order] = await db.orders(sale)
    const payByMs = (order!['pay_by'] as Date).getTime()
    const own = await ownAlarms('order/cancel-overdue', (atMs) => atMs >= payByMs && atMs - payByMs < 15_000)
    t.is(own.length, 1)
    t.is(own[0]! % 15_000, 0)
  },
)
