import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { orderPaid } from '@stampede/eventing/catalogue/events.ts'
import { Problem } from '../http/problem.ts'
import { createPublisher, toCloudEvent } from './publish.ts'

const paid = {
  tenantId: 'shop',
  activityId: 'act',
  orderNumber: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
  userId: 'u1',
  quantity: 1,
  amountCents: 100,
  currency: 'EUR',
  paymentId: 'p1',
  paidAt: '2026-01-02T03:04:05.678Z',
} as const

async function sink(t: ExecutionContext, status: number, headers: Record<string, string> = {}) {
  const requests: { headers: IncomingHttpHeaders; body: string }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
    request.on('end', () => {
      requests.push({ headers: request.headers, body })
      if (status > 0) response.writeHead(status, headers).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/shop/default`, requests }
}

test('toCloudEvent – fills in what the definition says', (t) => {
  const event = toCloudEvent({
    definition: orderPaid,
    data: paid,
    subject: paid.orderNumber,
    id: 'fact-1',
    time: '2026-01-02T03:04:05.678Z',
  })
  t.deepEqual(event, {
    specversion: '1.0',
    id: 'fact-1',
    source: '/functions/order',
    type: 'io.stampede.order.paid.v1',
    subject: paid.orderNumber,
    time: '2026-01-02T03:04:05.678Z',
    datacontenttype: 'application/json',
    partitionkey: paid.orderNumber,
    data: paid,
  })
})

test('toCloudEvent – another partition key wins, and ids differ', (t) => {
  const make = () => toCloudEvent({ definition: orderPaid, data: paid, subject: 'x', partitionKey: 'mine' })
  t.is(make().partitionkey, 'mine')
  t.not(make().id, make().id)
})

test('toCloudEvent – data that does not fit is a defect of the producer', (t) => {
  const data = { ...paid, quantity: 0, currency: 'euro' }
  const error = t.throws(() => toCloudEvent({ definition: orderPaid, data, subject: 'x' }), { instanceOf: TypeError })
  t.regex(error.message, /io\.stampede\.order\.paid\.v1/)
  t.regex(error.message, /quantity/)
  t.regex(error.message, /currency/)
})

test('publisher – posts in binary mode with its token', async (t) => {
  const { url, requests } = await sink(t, 202)
  await createPublisher({ sink: url, token: async () => 'secret' })(
    toCloudEvent({ definition: orderPaid, data: paid, subject: 'x', id: 'fact-1' }),
  )
  t.is(requests[0]!.headers['ce-id'], 'fact-1')
  t.is(requests[0]!.headers['content-type'], 'application/json')
  t.is(requests[0]!.headers['authorization'], 'Bearer secret')
  t.deepEqual(JSON.parse(requests[0]!.body), paid)
})

for (const [status, code, final] of [
  [400, 400, true],
  [413, 413, true],
  [415, 422, true],
  [422, 422, true],
  [404, 503, false],
  [429, 503, false],
  [500, 503, false],
] as const) {
  test(`publisher – an answer ${status} is ${final ? 'final' : 'worth another try'}`, async (t) => {
    const { url } = await sink(t, status, { 'retry-after': '7' })
    const publish = createPublisher({ sink: url })
    const error = await t.throwsAsync(publish({ specversion: '1.0', id: '1', source: '/x', type: 'a' }), {
      instanceOf: Problem,
    })
    t.is(error.status, code)
    t.is(error.retryable, !final)
    t.is(error.retryAfterSeconds, 7)
  })
}

test('publisher – a sink that is away or silent is dependency-unavailable', async (t) => {
  const event = { specversion: '1.0', id: '1', source: '/x', type: 'a' } as const
  const away = await t.throwsAsync(createPublisher({ sink: 'http://127.0.0.1:1/' })(event), { instanceOf: Problem })
  t.is(away.problem, 'dependency-unavailable')
  const { url } = await sink(t, 0)
  const silent = await t.throwsAsync(createPublisher({ sink: url, timeoutMs: 100 })(event), { instanceOf: Problem })
  t.is(silent.problem, 'dependency-unavailable')
})
