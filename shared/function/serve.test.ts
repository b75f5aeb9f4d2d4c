/** The contract of the host, and each gap of faas-js-runtime that it closes, on a real server. */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { createTestIdentity } from '../testing/identity.ts'
import { walkPermissions } from '../testing/permission-matrix.ts'
import { rawExchange } from '../testing/raw-http.ts'
import { ConfigurationError } from '../config/environment.ts'
import { serve } from './serve.ts'
import { createProbe } from './serve.fixture.ts'

const identity = await createTestIdentity()
const environment = { ...identity.environment, LOG_LEVEL: 'silent' }

/** One probe on its own server; stopped when the test ends. */
async function started(t: { teardown(work: () => Promise<void>): void }, extra: Record<string, string> = {}) {
  const probe = createProbe()
  const serving = await serve([probe.definition], {
    port: 0,
    host: '127.0.0.1',
    environment: { ...environment, ...extra },
  })
  t.teardown(serving.stop)
  return { ...serving, state: probe.state }
}

const shared = createProbe()
const serving = await serve([shared.definition], { port: 0, host: '127.0.0.1', environment })
const { url } = serving
test.after.always(() => serving.stop())

// eslint-disable-next-line typescript/no-explicit-any -- the tests look into documents of many shapes
type Answer = { status: number; headers: Headers; body: any; text: string }

async function call(path: string, init: RequestInit & { base?: string } = {}): Promise<Answer> {
  const response = await fetch(`${init.base ?? url}${path}`, { redirect: 'manual', ...init })
  const text = await response.text()
  const json = response.headers.get('content-type')?.includes('json') && text !== ''
  return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : undefined, text }
}

const json = (method: string, body: unknown, headers: Record<string, string> = {}): RequestInit => ({
  method,
  headers: { 'content-type': 'application/json', ...headers },
  body: typeof body === 'string' ? body : JSON.stringify(body),
})

/** Asserts a problem document as the documents promise it. */
function problem(t: ExecutionContext, answer: Answer, status: number, code: string) {
  t.is(answer.status, status, answer.text)
  t.is(answer.headers.get('content-type'), 'application/problem+json')
  t.like(answer.body, { type: `urn:stampede:problem:${code}`, status, code })
  t.is(typeof answer.body.title, 'string')
}

const addressOf = (server: Server) => server.address() as AddressInfo

const item = { name: 'phone', count: 2 }

// ── Gaps of the runtime ────────────────────────────────────────────────────────────────────────────────────────────────

test('sub-path – is routed with its parameters, percent-decoded', async (t) => {
  const { status, body } = await call('/probe/items/a%20b?limit=3')
  t.is(status, 200)
  t.deepEqual(body, { params: { itemId: 'a b' }, query: { limit: 3 } })
})

test('methods other than GET and POST – are routed', async (t) => {
  t.is((await call('/probe/items/x1', json('PUT', item))).status, 200)
  const token = await identity.token({ roles: ['staff'] })
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
  t.deepEqual([addressOf(serving.server).address, addressOf(serving.server).port === 0], ['127.0.0.1', false])
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

// ── Routing ────────────────────────────────────────────────────────────────────────────────────────────────────────────

test('unknown paths – are 404, also those near a route', async (t) => {
  for (const path of [
    '/nowhere',
    '/probe',
    '/probe/items/',
    '/probe/items/x1/',
    '//probe/items/x1',
    '/probe/items/x1/y',
    '/constructor',
    '/__proto__',
    '/PROBE/items/x1',
  ]) {
    problem(t, await call(path), 404, 'not-found')
  }
  problem(t, await call('/probe/items/%ff'), 400, 'invalid-request')
  problem(t, await call('/probe/items/%00'), 400, 'invalid-request')
})

test('other methods on a path – are 405 with Allow; OPTIONS tells them', async (t) => {
  const refused = await call('/probe/items/x1', { method: 'PATCH' })
  problem(t, refused, 405, 'method-not-allowed')
  t.is(refused.headers.get('allow'), 'DELETE, GET, HEAD, OPTIONS, PUT')
  const options = await call('/probe/items/x1', { method: 'OPTIONS' })
  t.deepEqual([options.status, options.headers.get('allow')], [204, 'DELETE, GET, HEAD, OPTIONS, PUT'])
  problem(t, await call('/probe/hot/a/press'), 405, 'method-not-allowed')
})

test('HEAD – answers as GET without the body, hot routes too', async (t) => {
  const get = await call('/probe/text')
  const head = await call('/probe/text', { method: 'HEAD' })
  t.deepEqual(
    [head.status, head.text, head.headers.get('content-length')],
    [200, '', get.headers.get('content-length')],
  )
  t.deepEqual([get.text, get.headers.get('content-type')], ['a;b\n', 'text/csv'])
  const hot = await call('/probe/hot/a', { method: 'HEAD' })
  t.deepEqual([hot.status, hot.text], [200, ''])
})

test('hot routes – get the raw request and their parameters, query or not', async (t) => {
  t.deepEqual((await call('/probe/hot/a-1/press?x=1', json('POST', {}))).body, {
    itemId: 'a-1',
    method: 'POST',
    url: '/probe/hot/a-1/press?x=1',
  })
  t.deepEqual((await call('/probe/hot/a-1')).body, { itemId: 'a-1', url: '/probe/hot/a-1' })
  t.deepEqual((await call('/probe/hot/a%2D1')).body.itemId, 'a-1')
  problem(t, await call('/probe/hot/a/pressed', json('POST', {})), 404, 'not-found')
  problem(t, await call('/probe/hot//press', json('POST', {})), 404, 'not-found')
  problem(t, await call('/probe/hot/broken/press', json('POST', {})), 500, 'internal')
})

test('Reply and Problem – status, headers and extensions arrive', async (t) => {
  const created = await call('/probe/items', json('POST', item))
  t.deepEqual([created.status, created.headers.get('location'), created.body], [201, '/somewhere', item])
  const refused = await call('/probe/refused')
  problem(t, refused, 410, 'sold-out')
  t.is(refused.body.left, 0)
})

// ── Input ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

test('body – findings name where they are', async (t) => {
  const answer = await call('/probe/items/x1', json('PUT', { name: 'x'.repeat(30), count: 0 }))
  problem(t, answer, 400, 'invalid-request')
  t.deepEqual(answer.body.errors.map(({ pointer }: { pointer: string }) => pointer).sort(), ['/count', '/name'])
})

test('query and parameters – are checked too', async (t) => {
  const query = await call('/probe/items/x1?limit=99')
  problem(t, query, 400, 'invalid-request')
  t.is(query.body.errors[0].pointer, '/limit')
  const params = await call('/probe/items/UPPER', json('PUT', item))
  problem(t, params, 400, 'invalid-request')
  t.is(params.body.errors[0].pointer, '/itemId')
})

test('body – bad ones get their problem, and the next request is served', async (t) => {
  const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
  const cases: [string, string | Uint8Array, number][] = [
    ['empty', '', 400],
    ['not JSON', '{"name":', 400],
    ['two values', '{} {}', 400],
    ['not UTF-8', Uint8Array.from([0x22, 0xff, 0x22]), 400],
    ['too deep', `{"name":"a","count":1,"extra":${nested(32)}}`, 400],
    ['far too deep', nested(20_000), 400],
    ['prototype key', '{"name":"a","count":1,"__proto__":{"x":1}}', 400],
    ['prototype key, escaped and deep', '{"name":"a","count":1,"extra":[{"\\u005f_proto__":1}]}', 400],
    ['huge number', '{"name":"a","count":1e400}', 400],
    ['huge number where all is allowed', '{"name":"a","count":1,"extra":1e400}', 400],
    ['NUL', '{"name":"a\\u0000","count":1}', 400],
    ['lone surrogate', '{"name":"\\ud800","count":1}', 400],
    ['lone surrogate in a key', '{"name":"a","count":1,"extra":{"\\udfff":1}}', 400],
    ['null', 'null', 400],
    ['list', '[]', 400],
    ['not as deep', `{"name":"a","count":1,"extra":${nested(31)}}`, 200],
    ['constructor as a key is data', '{"name":"a","count":1,"extra":{"constructor":{"prototype":1}}}', 200],
  ]
  for (const [name, body, status] of cases) {
    const answer = await call('/probe/items/x1', {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: body as string,
    })
    t.is(answer.status, status, `${name}: ${answer.text}`)
    if (status !== 200) problem(t, answer, status, 'invalid-request')
    t.is((await call('/probe/items/x1', json('PUT', item))).status, 200)
  }
})

test('body – other media types and encodings are 415', async (t) => {
  for (const headers of [
    { 'content-type': 'text/plain' },
    { 'content-type': 'application/x-www-form-urlencoded' },
    { 'content-type': 'application/json; charset=utf-16' },
    { 'content-type': 'application/json', 'content-encoding': 'gzip' },
  ]) {
    problem(
      t,
      await call('/probe/items/x1', { method: 'PUT', headers, body: '{"name":"a","count":1}' }),
      415,
      'unsupported-media-type',
    )
  }
  for (const type of ['application/json; charset=UTF-8', 'Application/JSON', 'application/merge-patch+json']) {
    t.is(
      (await call('/probe/items/x1', { method: 'PUT', headers: { 'content-type': type }, body: JSON.stringify(item) }))
        .status,
      200,
      type,
    )
  }
})

test('body – one that is too large is 413, announced or not, and the answer arrives', async (t) => {
  const large = JSON.stringify({ ...item, extra: 'x'.repeat(3_000_000) })
  problem(t, await call('/probe/items', json('POST', large)), 413, 'payload-too-large')
  const stream = new Blob([large]).stream()
  problem(
    t,
    await call('/probe/items', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: stream,
      duplex: 'half',
    }),
    413,
    'payload-too-large',
  )
  t.is((await call('/probe/items', json('POST', item))).status, 201)
})

test('body – one that is announced too large is refused before it comes', async (t) => {
  const head =
    'POST /probe/items HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 5000000\r\n\r\n{'
  t.regex(await rawExchange(url, [head]), /^HTTP\/1\.1 413 .*urn:stampede:problem:payload-too-large/s)
})

test('body – one that comes too slowly is 408, and the connection is closed', async (t) => {
  const { url: base } = await started(t, { BODY_TIMEOUT_MS: '200' })
  const head = 'PUT /probe/items/x1 HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 25\r\n\r\n'
  const text = await rawExchange(base, [head, '{"name"', ':"a",'], 150)
  t.regex(text, /^HTTP\/1\.1 408 .*urn:stampede:problem:request-timeout/s)
  t.regex(text, /connection: close/i)
})

test('HTTP itself – what is malformed gets a problem and a closed connection', async (t) => {
  t.regex(await rawExchange(url, ['GARBAGE\r\n\r\n']), /^HTTP\/1\.1 400 .*application\/problem\+json.*invalid-request/s)
  t.regex(
    await rawExchange(url, [`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`]),
    /^HTTP\/1\.1 400 .*headers are too large/s,
  )
  const two = 'content-length: 2\r\ntransfer-encoding: chunked\r\n'
  t.regex(await rawExchange(url, [`POST / HTTP/1.1\r\nhost: x\r\n${two}\r\n0\r\n\r\n`]), /^HTTP\/1\.1 400 /)
  t.is((await call('/health/liveness')).status, 200)
})

// ── Callers ────────────────────────────────────────────────────────────────────────────────────────────────────────────

test('callers – nobody gets where they may not', async (t) => {
  const { checked, findings } = await walkPermissions({ url, definitions: [shared.definition], identity })
  t.deepEqual(findings, [])
  t.is(checked, 3 * 11 + 1 + 3 + 3)
})

test('callers – a permission matrix over a route that lets everyone in finds it', async (t) => {
  const open = createProbe()
  const paths = ['/probe/items/:itemId', '/probe/hot/:itemId/press']
  const routes = open.definition.routes.filter(({ path, method }) => paths.includes(path) && method !== 'DELETE')
  const pretended = {
    ...open.definition,
    routes: routes.map((own) => ({ ...own, options: { ...own.options, auth: 'user' as const } })),
  }
  const { findings } = await walkPermissions({ url, definitions: [pretended], identity })
  t.true(
    findings.some(
      ({ route, caller, status }) => route === 'GET /probe/items/:itemId' && caller === 'no token' && status === 200,
    ),
  )
  t.true(findings.some(({ route }) => route === 'POST /probe/hot/:itemId/press'))
})

test('callers – people, staff and services get where they may', async (t) => {
  const as = async (path: string, token: string) =>
    (await call(path, { headers: { authorization: `Bearer ${token}` } })).body
  t.like(await as('/probe/mine', await identity.token({ tenantId: 'shop' })), { kind: 'user', tenantId: 'shop' })
  t.like(await as('/probe/mine', await identity.token({ roles: ['staff'] })), { kind: 'staff' })
  t.like(await as('/probe/internal', await identity.serviceToken('shop')), { kind: 'service', tenantId: 'shop' })
})

test('callers – a token that is not valid is refused on public routes too, and says how to identify', async (t) => {
  const refused = await call('/probe/items/x1', { headers: { authorization: 'Bearer nonsense' } })
  problem(t, refused, 401, 'unauthenticated')
  t.is(refused.headers.get('www-authenticate'), 'Bearer')
})

// ── Limits ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

test('overload – is a problem with Retry-After; health and hot routes are still answered; afterwards all is as before', async (t) => {
  const { url: base, state } = await started(t, { MAX_IN_FLIGHT: '3' })
  const held = Array.from({ length: 3 }, async () => call('/probe/held', { base }))
  while (state.held < 3) await sleep(5)
  for (const path of ['/probe/items/x1', '/probe/held', '/nowhere']) {
    const refused = await call(path, { base })
    problem(t, refused, 503, 'overloaded')
    t.is(refused.headers.get('retry-after'), '1')
  }
  t.is((await call('/health/liveness', { base })).status, 200)
  t.is((await call('/probe/hot/a', { base })).status, 200)
  state.release()
  t.deepEqual(
    (await Promise.all(held)).map(({ status }) => status),
    [200, 200, 200],
  )
  t.is((await call('/probe/items/x1', { base })).status, 200)
})

test('time – a handler that does not answer is given up and its signal aborted', async (t) => {
  const { url: base, state } = await started(t)
  const answer = await call('/probe/hangs', { base })
  problem(t, answer, 503, 'dependency-unavailable')
  t.true(state.sawAbort)
})

test('client that goes away – frees its place', async (t) => {
  const { url: base, state } = await started(t, { MAX_IN_FLIGHT: '1' })
  const leaving = new AbortController()
  const gone = call('/probe/held', { base, signal: leaving.signal })
  while (state.held < 1) await sleep(5)
  leaving.abort()
  await t.throwsAsync(gone)
  let status = 503
  for (let round = 0; status === 503 && round < 200; round++) {
    ;({ status } = await call('/probe/items/x1', { base }))
    await sleep(5)
  }
  t.is(status, 200)
})

// ── Documents, metrics, configuration ──────────────────────────────────────────────────────────────────────────────────

test('OpenAPI – has every route with its parameters, caller, schemas and problems', async (t) => {
  const { body } = await call('/openapi.json')
  t.is(body.openapi, '3.1.0')
  const put = body.paths['/probe/items/{itemId}'].put
  t.like(put.parameters[0], { name: 'itemId', in: 'path', required: true })
  t.is(put.parameters[0].schema.pattern, '^[a-z0-9-]+$')
  t.deepEqual(put.requestBody.content['application/json'].schema.required, ['name', 'count'])
  t.truthy(put.responses['200'].content['application/json'].schema.properties.name)
  t.truthy(put.responses['413'])
  t.deepEqual(body.paths['/probe/internal'].get.security, [{ serviceToken: [] }])
  t.truthy(body.paths['/probe/hot/{itemId}/press'].post)
  t.is(
    body.paths['/probe/items/{itemId}'].get.parameters.find((own: { in: string }) => own.in === 'query').name,
    'limit',
  )
})

test('metrics – count ordinary routes by pattern and status, hot ones by number, and the process', async (t) => {
  const { url: base } = await started(t)
  await call('/probe/items/secret-id', { base })
  await call('/nowhere/secret-id', { base })
  await call('/probe/hot/a', { base })
  await call('/probe/hot/b', { base })
  const { text } = await call('/metrics', { base })
  t.regex(text, /http_request_duration_seconds_count\{method="GET",route="\/probe\/items\/:itemId",status="200"\} 1/)
  t.regex(text, /route="unknown",status="404"/)
  t.regex(text, /http_hot_requests_total\{route="\/probe\/hot\/:itemId",method="GET"\} 2/)
  t.regex(text, /nodejs_eventloop_lag_seconds/)
  t.notRegex(text, /secret-id/)
})

test('configuration – all problems are said at once, in words, without values', async (t) => {
  const error = await t.throwsAsync(
    serve([shared.definition], { environment: { PORT: 'eighty', SERVICE_SECRET: 'hunter2', AUTH_JWKS: 'hunter2' } }),
    { instanceOf: ConfigurationError },
  )
  const text = error.message
  for (const part of [/PORT/, /SERVICE_SECRET: has fewer than 32/, /AUTH_JWKS: is not a JSON Web Key Set/])
    t.regex(text, part)
  t.notRegex(text, /hunter2|eighty/)
  const absent = await t.throwsAsync(serve([shared.definition], { environment: {} }), {
    instanceOf: ConfigurationError,
  })
  for (const part of [/AUTH_JWKS .*AUTH_JWKS_URL is not set/, /AUTH_ISSUER/, /AUTH_AUDIENCE/, /SERVICE_SECRET/])
    t.regex(absent.message, part)
})

test('declarations – the same route twice is refused at start', async (t) => {
  const [one, two] = [createProbe('same'), createProbe('same')]
  await t.throwsAsync(serve([one.definition, two.definition], { port: 0, environment }), { message: /declared twice/ })
})
