import http from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { memoryCluster, testContext } from './testing.ts'
import { tokensFor } from './verify-tokens.ts'
import { verify } from './verify.ts'

type Answer = [number, object]
/** Instead of a status: the connection ends without an answer. */
const cut = 0

/** An ingress with the platform's answers behind it; `over` replaces some, by `METHOD path` with the activity's id as ID. */
async function ingress(t: ExecutionContext, over: Record<string, (calls: number) => Answer> = {}) {
  const requests: string[] = []
  const answers: Record<string, (calls: number) => Answer> = {
    'GET /health/readiness': () => [200, {}],
    'GET /api/v1/activities?limit=1': () => [200, { activities: [] }],
    'POST /api/v1/activities': () => [201, { activityId: 'ID' }],
    'POST /api/v1/activities/ID/schedule': () => [200, {}],
    // The third look finds it warmed up.
    'GET /api/v1/activities/ID': (calls) => [200, { state: calls < 3 ? 'scheduled' : 'warmed-up' }],
    'POST /api/v1/activities/ID/pre-check': () => [200, { ok: true, items: [] }],
    'POST /api/v1/activities/ID/close': () => [200, {}],
    'POST /api/v1/seckill/ID/pass': () => [
      200,
      { pass: 'a pass', startsAt: '2030-01-01T00:00:03Z', now: '2030-01-01T00:00:00Z' },
    ],
    'POST /api/v1/seckill/ID/purchases': (calls) =>
      calls === 1 ? [202, { orderNumber: 'N' }] : [409, { code: 'duplicate', orderNumber: 'N' }],
    'GET /api/v1/orders/N': (calls) => (calls < 2 ? [404, {}] : [200, {}]),
    'POST /api/v1/orders/N/cancel': () => [200, {}],
    'GET /api/v1/seckill/ID/result': (calls) => [
      200,
      { state: calls < 3 ? (calls < 2 ? 'accepted' : 'confirmed') : 'released' },
    ],
    ...over,
  }
  const server = http.createServer((request, response) => {
    const path = `${request.method} ${(request.url ?? '').replace(/stocks\/verify-.*/, 'stocks/V')}`
    requests.push(`${request.headers.host?.split('.')[0]} ${path}`)
    const calls = requests.filter((line) => line.endsWith(` ${path}`)).length
    const [status, body] = path.startsWith('PUT') ? [200, {}] : (answers[path]?.(calls) ?? [404, { path }])
    if (status === cut) request.socket.destroy()
    else request.resume().on('end', () => response.writeHead(status).end(JSON.stringify(body)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return { requests, address: `127.0.0.1:${(server.address() as AddressInfo).port}` }
}

function cluster() {
  const memory = memoryCluster({})
  memory.answers.push([
    /get services.serving.knative.dev/,
    (args) => JSON.stringify({ status: { url: `http://${args[4]}.stampede.example.com` } }),
  ])
  return memory
}
const tokenFor = (userId: string, roles: readonly string[]) => Promise.resolve(`${userId}:${roles.join()}`)

test('verify – solves the challenge before the pass', async (t) => {
  const { requests, address } = await ingress(t, {
    'POST /api/v1/seckill/ID/pass': (calls) =>
      calls === 1
        ? [403, { code: 'forbidden', challenge: { policy: 'proof-of-work', challenge: 'c', difficultyBits: 2 } }]
        : [200, { pass: 'a pass', startsAt: '2030-01-01T00:00:03Z', now: '2030-01-01T00:00:00Z' }],
  })
  const { context } = testContext(cluster())
  const report = await verify(context, { ingress: address, domain: undefined, tokenFor, waitMs: 20_000 })
  t.is(report.orderNumber, 'N')
  t.is(requests.filter((line) => line.endsWith('POST /api/v1/seckill/ID/pass')).length, 2)
})

test('verify – goes the whole way, each function by its Host, and cleans up', async (t) => {
  const { requests, address } = await ingress(t)
  const { context, said } = testContext(cluster())
  const report = await verify(context, { ingress: address, domain: undefined, tokenFor, waitMs: 20_000 })
  t.is(report.steps.find(({ step }) => step === 'the sale begins')?.ms, 3_300, "by the sale's own clock")
  t.true(report.ok, said.join('\n'))
  t.is(report.orderNumber, 'N')
  t.true(report.steps.every(({ ok }) => ok))
  t.true(requests.includes('seckill POST /api/v1/seckill/ID/purchases'))
  t.true(requests.includes('order GET /api/v1/orders/N'))
  t.is(requests.filter((line) => line.endsWith('/cancel')).length, 1)
  t.is(requests.at(-1), 'activity POST /api/v1/activities/ID/close')
})

test('verify – a way that breaks while it waits for an event is not the end', async (t) => {
  const { requests, address } = await ingress(t, {
    'GET /api/v1/orders/N': (calls) => (calls < 3 ? [cut, {}] : [200, {}]),
  })
  const { context, said } = testContext(cluster())
  const report = await verify(context, { ingress: address, domain: undefined, tokenFor, waitMs: 20_000 })
  t.true(report.ok, said.join('\n'))
  t.is(requests.filter((line) => line === 'order GET /api/v1/orders/N').length, 3)
})

test('verify – names the step that failed and where to look, and still cleans up', async (t) => {
  const { requests, address } = await ingress(t, { 'GET /api/v1/orders/N': () => [404, {}] })
  const { context, said } = testContext(cluster())
  const report = await verify(context, { ingress: address, domain: undefined, tokenFor, waitMs: 20_000 })
  t.false(report.ok)
  t.like(report.steps.at(-1), { step: 'the order is stored (Redis → Kafka → source → order)', ok: false })
  t.true(said.some((line) => /Worth a look:[\s\S]*serving\.knative\.dev\/service=order/.test(line)))
  t.is(requests.at(-1), 'activity POST /api/v1/activities/ID/close')
})

test('verify – waits until it is known who may do what; a tenant that is not there is a failure', async (t) => {
  const looking = 'GET /api/v1/activities?limit=1'
  const late = await ingress(t, { [looking]: (calls) => (calls < 3 ? [503, {}] : [200, {}]) })
  const options = { domain: undefined, tokenFor, waitMs: 20_000 }
  const report = await verify(testContext(cluster()).context, { ...options, ingress: late.address })
  t.true(report.ok)
  t.is(late.requests.filter((line) => line === `activity ${looking}`).length, 3)

  const without = await ingress(t, { [looking]: () => [403, { code: 'tenant-suspended' }] })
  const { context, said } = testContext(cluster())
  const { steps } = await verify(context, { ...options, ingress: without.address })
  t.like(steps.at(-1), { step: 'the tenant is known, and staff may act', ok: false })
  t.true(said.some((line) => /bootstrap-tenants/.test(line)))
  t.false(without.requests.some((line) => /PUT|POST/.test(line)))
})

test('verify – a second purchase that is accepted is a failure', async (t) => {
  const { requests, address } = await ingress(t, {
    'POST /api/v1/seckill/ID/purchases': () => [202, { orderNumber: 'N' }],
  })
  const report = await verify(testContext(cluster()).context, {
    ingress: address,
    domain: undefined,
    tokenFor,
    waitMs: 20_000,
  })
  t.false(report.ok)
  t.like(report.steps.at(-1), { step: 'a second purchase is refused', ok: false })
  t.true(requests.includes('activity POST /api/v1/activities/ID/close'))
})

test('verify – a pre-check that is not content is a failure with its reasons', async (t) => {
  const { address } = await ingress(t, {
    'POST /api/v1/activities/ID/pre-check': () => [
      200,
      { ok: false, items: [{ item: 'stock', ok: false, detail: 'too little' }] },
    ],
  })
  const report = await verify(testContext(cluster()).context, {
    ingress: address,
    domain: undefined,
    tokenFor,
    waitMs: 20_000,
  })
  t.like(report.steps.at(-1), { step: 'pre-check', ok: false, detail: 'not ready: stock (too little)' })
})

test('verify – without a token nothing is tried', async (t) => {
  const { requests, address } = await ingress(t)
  const report = await verify(testContext(cluster()).context, {
    ingress: address,
    domain: undefined,
    tokenFor: () => Promise.reject(new Error('no token')),
    waitMs: 20_000,
  })
  t.like(report.steps.at(-1), { step: 'a token for staff', ok: false, detail: 'no token' })
  t.deepEqual(requests, [])
})

test('verify – a refusal for another reason than the first purchase is a failure', async (t) => {
  const { address } = await ingress(t, {
    'POST /api/v1/seckill/ID/purchases': (calls) =>
      calls === 1 ? [202, { orderNumber: 'N' }] : [409, { code: 'sold-out' }],
  })
  const report = await verify(testContext(cluster()).context, {
    ingress: address,
    domain: undefined,
    tokenFor,
    waitMs: 20_000,
  })
  t.like(report.steps.at(-1), { step: 'a second purchase is refused', ok: false })
})

test('tokens – by the command, which knows for whom; without a key and a command the way is told', async (t) => {
  const memory = cluster()
  const { context } = testContext(memory, { environment: { PATH: process.env['PATH'] } })
  const tokens = await tokensFor(context, 'echo said before; echo "$STAMPEDE_USER:$STAMPEDE_ROLES"')
  t.is(await tokens('one', ['staff', 'audit']), 'one:staff,audit')
  const silent = await tokensFor(context, 'echo no access >&2; exit 3')
  await t.throwsAsync(silent('one', []), { message: /gave no token: no access/ })
  await t.throwsAsync(tokensFor(context, undefined), { message: /stampede-signing.*--token-command/ })
})

test('verify – with a domain everything is asked at that name, through the gateway', async (t) => {
  const { requests, address } = await ingress(t)
  const { context } = testContext(cluster())
  const { ok, steps } = await verify(context, { ingress: address, domain: 'shop.test', tokenFor, waitMs: 20_000 })
  t.true(ok, JSON.stringify(steps))
  const isHealth = (line: string) => line.endsWith('/health/readiness')
  // Functions show their own pages at their own names alone.
  t.deepEqual(
    requests
      .filter(isHealth)
      .map((line) => line.slice(0, line.indexOf(' ')))
      .toSorted((one, other) => (one < other ? -1 : 1)),
    ['activity', 'inventory', 'order', 'seckill'],
  )
  t.deepEqual(new Set(requests.filter((line) => !isHealth(line)).map((line) => line.split(' ')[0])), new Set(['shop']))
})
