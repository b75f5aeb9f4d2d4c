/** Each gap of faas-js-runtime that the host closes, on a real server. */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import process from 'node:process'
import test from 'ava'
import { rawExchange } from '../testing/raw-http.ts'
import { environment, identity, item, json, problem, serveProbe, started } from './serve-client.fixture.ts'
import { createProbe } from './serve.fixture.ts'
import { serve } from './serve.ts'

const shared = await serveProbe()
const { url, call } = shared
test.after.always(() => shared.stop())

const addressOf = (server: Server) => server.address() as AddressInfo

test('sub-path – is routed with its parameters, percent-decoded', async (t) => {
  const { status, body } = await call('/probe/items/a%20b?limit=3')
  t.is(status, 200)
  t.deepEqual(body, { params: { itemId: 'a b' }, query: { limit: 3 } })
})

test('methods other than GET and POST – are routed', async (t) => {
  t.is((await call('/probe/items/x1', json('PUT', item))).status, 200)
  const token = await identity.token({ roles: ['administrator'] })
  const deleted = await call('/probe/items/x1', { method: 'DELETE', headers: { authorization: `Bearer ${token}` } })
  t.deepEqual([deleted.status, deleted.text], [204, ''])
})

test('query parameters – cannot replace headers, method, body or the event', async (t) => {
  const path =
    '/probe/items/x1?headers=evil&cloudevent=evil&method=DELETE&body=evil&query=evil&log=evil&contentType=evil'
  const { status, body } = await call(path, {
    headers: { 'x-test': 'real', authorization: `Bearer ${await identity.token()}` },
  })
  t.is(status, 200)
  t.is(body.test, 'real')
  t.is(body.principal.userId, 'user-1')
  t.is(body.query.headers, 'evil')
  problem(t, await call('/probe/mine?headers[authorization]=x&principal=staff'), 401, 'unauthenticated')
})

test('CORS – nothing is allowed unless it is configured', async (t) => {
  const origin = { origin: 'https://evil.example' }
  for (const [path, init] of [
    ['/probe/items/x1', { headers: origin }],
    ['/probe/items/x1', { method: 'OPTIONS', headers: { ...origin, 'access-control-request-method': 'PUT' } }],
    ['/', { method: 'OPTIONS', headers: origin }],
    ['/probe/broken', { headers: origin }],
    ['/probe/hot/a', { headers: origin }],
    ['/health/liveness', { headers: origin }],
    ['/nowhere', { headers: origin }],
  ] as const) {
    const { headers } = await call(path, init)
    t.deepEqual(
      [...headers.keys()].filter((name) => name.startsWith('access-control')),
      [],
      path,
    )
  }
})

test('CORS – configured origins are allowed by name, others are not', async (t) => {
  const { url: base } = await started(t, { CORS_ORIGINS: 'https://shop.example, https://desk.example' })
  for (const path of ['/probe/items/x1', '/probe/hot/a', '/nowhere']) {
    const allowed = await call(path, { base, headers: { origin: 'https://shop.example' } })
    t.is(allowed.headers.get('access-control-allow-origin'), 'https://shop.example', path)
    const refused = await call(path, { base, headers: { origin: 'https://evil.example' } })
    t.is(refused.headers.get('access-control-allow-origin'), null, path)
    t.is(refused.headers.get('vary'), 'origin')
  }
  const preflight = await call('/probe/hot/a/press', {
    base,
    method: 'OPTIONS',
    headers: { origin: 'https://desk.example' },
  })
  t.is(preflight.status, 204)
  t.regex(preflight.headers.get('access-control-allow-headers')!, /stampede-pass/)
})

test('unexpected error – its text, code and status stay inside', async (t) => {
  const answer = await call('/probe/broken')
  problem(t, answer, 500, 'internal')
  t.notRegex(answer.text, /hunter2|at .*\.ts/)
})

test('health – the runtime’s overload protection does not answer for liveness', async (t) => {
  const { url: base, state } = await started(t)
  t.deepEqual((await call('/health/readiness', { base })).body, { status: 'ready' })
  state.ready = async () => {
    throw new Error('database password=hunter2')
  }
  const deadlineMs = Date.now() + 5_000
  let readiness = await call('/health/readiness', { base })
  while (readiness.status === 200 && Date.now() < deadlineMs) readiness = await call('/health/readiness', { base })
  t.is(readiness.status, 503)
  t.notRegex(readiness.text, /hunter2/)
  // The event loop was blocked for longer than the runtime's limit; the next probe must be answered all the same.
  const blockedUntilMs = Date.now() + 150
  while (Date.now() < blockedUntilMs);
  const probes = await Promise.all(
    Array.from({ length: 200 }, async () => (await call('/health/liveness', { base })).status),
  )
  t.deepEqual([...new Set(probes)], [200])
})

test('address – HOST is honoured, and 0 takes a free port', async (t) => {
  t.deepEqual([addressOf(shared.server).address, addressOf(shared.server).port === 0], ['127.0.0.1', false])
  const other = await serve([createProbe('other').definition], {
    port: 0,
    environment: { ...environment, HOST: '127.0.0.2' },
  })
  t.teardown(other.stop)
  t.is(addressOf(other.server).address, '127.0.0.2')
  t.true(other.url.startsWith('http://127.0.0.2:'))
})

test('address – a port that is taken is thrown, and the functions are stopped', async (t) => {
  const probe = createProbe()
  const port = Number(new URL(url).port)
  await t.throwsAsync(serve([probe.definition], { port, host: '127.0.0.1', environment }), { code: 'EADDRINUSE' })
  t.is(probe.state.stopped, 1)
})

test('process – serving leaves no listeners and does not change the http module', async (t) => {
  const events = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'uncaughtException', 'unhandledRejection']
  const before = events.map((event) => process.listenerCount(event))
  const { createServer } = (await import('node:http')).default
  const { stop } = await serve([createProbe().definition], { port: 0, host: '127.0.0.1', environment })
  t.deepEqual(
    events.map((event) => process.listenerCount(event)),
    before,
  )
  t.is((await import('node:http')).default.createServer, createServer)
  await stop()
})

test('HTTP itself – what is malformed gets a problem and a closed connection', async (t) => {
  t.regex(await rawExchange(url, ['GARBAGE\r\n\r\n']), /^HTTP\/1\.1 400 .*application\/problem\+json.*invalid-request/s)
  t.regex(
    await rawExchange(url, [`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`]),
    /^HTTP\/1\.1 431 .*headers are too large/s,
  )
  const two = 'content-length: 2\r\ntransfer-encoding: chunked\r\n'
  t.regex(await rawExchange(url, [`POST / HTTP/1.1\r\nhost: x\r\n${two}\r\n0\r\n\r\n`]), /^HTTP\/1\.1 400 /)
  t.is((await call('/health/liveness')).status, 200)
})
