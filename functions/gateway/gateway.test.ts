/** What the gateway answers itself, and what it sends on. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import test from 'ava'
import { platformPermissions } from '@stampede/shared/access/permissions.ts'
import type { Body } from '@stampede/shared/testing/call.ts'
import { rawExchange } from '@stampede/shared/testing/raw-http.ts'
import { declaredRoutes } from './declared.ts'
import {
  noLimits,
  random,
  startGateway,
  startUpstream,
  type Document,
  type TestGateway,
  type TestUpstream,
} from './testing.ts'

type Answer = {
  status: number
  headers: IncomingHttpHeaders
  rawHeaders: string[]
  text: string
  body: Body
}
type Stage = TestGateway & {
  upstream: TestUpstream
  send(method: string, path: string, headers?: Record<string, string | string[]>, body?: string): Promise<Answer>
}

/** fetch would not send some of these headers. */
function send(
  url: string,
  method: string,
  path: string,
  headers: Record<string, string | string[]> = {},
  body?: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const framed = body === undefined || headers['transfer-encoding'] !== undefined
    const length: Record<string, string> = framed ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const request = httpRequest(
      { hostname, port, method, path, headers: { ...length, ...headers }, agent: false },
      (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => (text += chunk.toString()))
        response.on('end', () => {
          const json = text.startsWith('{') ? (JSON.parse(text) as Body) : {}
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            rawHeaders: response.rawHeaders,
            text,
            body: json,
          })
        })
      },
    )
    request.on('error', reject)
    request.end(body)
  })
}

async function stage(
  document: Document = noLimits,
  environment: Record<string, string> = {},
  handle?: Parameters<typeof startUpstream>[0],
): Promise<Stage> {
  const upstream = await startUpstream(handle)
  const gateway = await startGateway(upstream.url, document, environment)
  const { stop } = gateway
  return Object.assign(gateway, {
    upstream,
    send: (method: string, path: string, headers?: Record<string, string | string[]>, body?: string) =>
      send(gateway.url, method, path, headers, body),
    stop: async () => {
      await stop()
      await upstream.stop()
    },
  })
}

/** Most tests need nothing special. */
let plain: Stage
test.before(async () => {
  plain = await stage()
})
test.after.always(() => plain?.stop())

/** A path that no other test asks for, and what of it reached the upstream. */
function marked(path: string) {
  const mark = random('mark')
  const own = `${path}?mark=${mark}`
  return { path: own, arrived: () => plain.upstream.requests.filter(({ url }) => url.includes(mark)).length }
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const live = '/api/v1/seckill/a1/live'
const purchases = '/api/v1/seckill/a1/purchases'

test('gateway – every declared route reaches its function with method, path, query, body and token', async (t) => {
  const at = plain
  for (const { method, path, auth, bodyLimitBytes, permission } of declaredRoutes.routes) {
    // For staff of the platform's own tenant alone.
    const platform = permission !== undefined && platformPermissions.has(permission)
    const asked = `${path.replaceAll(/:[a-zA-Z]+/g, 'x-1')}?q=1`
    const headers = { ...bearer(at.staff), 'content-type': 'application/json' }
    const answer = await at.send(
      method,
      asked,
      auth === 'public' ? {} : headers,
      bodyLimitBytes > 0 ? '{"a":1}' : undefined,
    )
    t.is(answer.status, platform ? 403 : 200, `${method} ${path}: ${answer.text}`)
    if (platform) continue
    t.is(answer.body['method'], method)
    t.is(answer.body['url'], asked)
    if (auth !== 'public') t.is(answer.body['headers'].authorization, headers.authorization)
    if (bodyLimitBytes > 0) t.is(answer.body['body'], '{"a":1}')
  }
  t.true(declaredRoutes.routes.length > 20)
})

test('gateway – what is not for outside does not exist', async (t) => {
  const at = plain
  const service = await at.identity.serviceToken(at.tenantId)
  const outside = { ...bearer(service), 'x-forwarded-for': '192.0.2.1' }
  for (const [method, path] of [
    ['POST', '/'],
    ['GET', '/'],
    ['POST', '/events/order'],
    ['POST', '/events/seckill'],
    ['GET', '/metrics'],
    ['GET', '/health/liveness'],
    ['GET', '/health/readiness'],
    ['GET', '/openapi.json'],
    ['POST', '/api/v1/reservations'],
    ['POST', '/api/v1/allocations/a1/warm-up'],
    ['GET', '/%6detrics'],
    ['GET', '/metrics/'],
  ] as const) {
    const own = marked(path)
    t.is((await at.send(method, own.path, outside)).status, 404, `${method} ${path}`)
    t.is(own.arrived(), 0)
  }
})

test('gateway – operators who come directly see its own pages, and only they', async (t) => {
  const at = plain
  t.is((await at.send('GET', '/health/readiness')).status, 200)
  t.is((await at.send('GET', '/metrics')).status, 200)
  for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip']) {
    t.is((await at.send('GET', '/metrics', { [name]: '127.0.0.1' })).status, 404, name)
  }
  const elsewhere = await stage({ ...noLimits, addresses: { operators: ['192.0.2.1'] } })
  t.teardown(elsewhere.stop)
  t.is((await elsewhere.send('GET', '/metrics')).status, 404)
})

test('gateway – wrong tokens are refused here, and the upstream hears nothing of them', async (t) => {
  const at = plain
  const { path, arrived } = marked('/api/v1/activities')
  t.like(await at.send('GET', path), { status: 401 })
  const invalid = await at.identity.invalidTokens({ tenantId: at.tenantId, roles: ['administrator', 'staff'] })
  for (const [why, token] of Object.entries(invalid)) {
    const answer = await at.send('GET', path, bearer(token))
    t.is(answer.status, 401, why)
    t.is(answer.headers['www-authenticate'], 'Bearer')
    t.is(answer.body['code'], 'unauthenticated')
  }
  for (const authorization of ['Basic abc', 'Bearer', 'Bearer ', 'bearer']) {
    t.is((await at.send('GET', path, { authorization })).status, 401, authorization)
  }
  // Functions have no business here, whatever their token.
  t.is((await at.send('GET', path, bearer(await at.identity.serviceToken(at.tenantId)))).status, 401)
  t.is((await at.send('GET', path, bearer(at.user))).status, 403)
  t.is(arrived(), 0)
  t.is((await at.send('GET', path, bearer(at.staff))).status, 200)
})

test('gateway – passes of the sale are let through to it, and nowhere else', async (t) => {
  const at = plain
  const pass = { 'stampede-pass': 'v2.k.p.m', 'stampede-device': 'd', 'content-type': 'application/json' }
  const answer = await at.send('POST', purchases, pass, '{}')
  t.is(answer.status, 200)
  t.like(answer.body['headers'], { 'stampede-pass': 'v2.k.p.m', 'stampede-device': 'd' })
  t.is((await at.send('GET', '/api/v1/activities', pass)).status, 401)
  t.is((await at.send('GET', '/api/v1/orders', pass)).status, 401)
})

test('gateway – the path of a sale has a short name', async (t) => {
  const at = plain
  t.is((await at.send('GET', '/seckill/a1/live?x=1')).body['url'], '/api/v1/seckill/a1/live?x=1')
  t.is((await at.send('GET', '/seckillers/a1/live')).status, 404)
})

test('gateway – versions: an unknown one says which there are; a deprecated one says so', async (t) => {
  const at = await stage({
    ...noLimits,
    versions: {
      v1: { deprecatedAt: '2027-01-02T03:04:05Z', sunsetAt: '2028-01-02T03:04:05Z', link: 'https://a.example/v2' },
      v2: {},
    },
  })
  t.teardown(at.stop)
  const unknown = await at.send('GET', '/api/v3/seckill/a1/live')
  t.is(unknown.status, 404)
  t.deepEqual(unknown.body['versions'], ['v1', 'v2'])
  t.is((await at.send('GET', '/api/v2/seckill/a1/live')).body['versions'], undefined)
  const old = await at.send('GET', live)
  t.is(old.status, 200)
  t.is(old.headers['deprecation'], `@${Date.parse('2027-01-02T03:04:05Z') / 1_000}`)
  t.is(old.headers['sunset'], 'Sun, 02 Jan 2028 03:04:05 GMT')
  t.is(old.headers['link'], '<https://a.example/v2>; rel="deprecation", <https://a.example/v2>; rel="sunset"')
})

test('gateway – other methods of a path are named; HEAD is GET without a body', async (t) => {
  const at = plain
  const wrong = await at.send('PATCH', live)
  t.is(wrong.status, 405)
  t.is(wrong.headers['allow'], 'GET, HEAD, OPTIONS')
  t.is((await at.send('OPTIONS', live)).headers['allow'], 'GET, HEAD, OPTIONS')
  const { path, arrived } = marked(live)
  const head = await at.send('HEAD', path)
  t.is(head.status, 200)
  t.is(arrived(), 1)
  t.is(head.text, '')
})

test('headers – what belongs to one hop stays there, both ways', async (t) => {
  const at = await stage(noLimits, {}, (request, response) => {
    const headers = [
      ['connection', 'keep-alive, x-hop'],
      ['keep-alive', 'timeout=7'],
      ['x-hop', 'secret'],
      ['te', 'trailers'],
      ['trailer', 'x-sum'],
      ['proxy-authenticate', 'Basic'],
      ['upgrade', 'h2c'],
      ['x-powered-by', 'something'],
      ['access-control-allow-origin', '*'],
      ['x-request-id', 'theirs'],
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
      ['x-end', 'to end'],
      ['content-type', 'application/json'],
    ]
    response.writeHead(200, headers.flat())
    response.write(JSON.stringify({ headers: request.headers }))
    response.addTrailers({ 'x-sum': '1' })
    response.end()
  })
  t.teardown(at.stop)
  const answer = await at.send('GET', live, {
    connection: 'close, X-Mine, authorization-extra',
    'x-mine': '1',
    'authorization-extra': '1',
    'proxy-authorization': 'Basic abc',
    'proxy-connection': 'keep-alive',
    'keep-alive': '5',
    te: 'trailers',
    upgrade: 'websocket',
    'x-end': 'to end',
  })
  const got = answer.body['headers'] as Record<string, string>
  for (const name of [
    'x-mine',
    'authorization-extra',
    'proxy-authorization',
    'proxy-connection',
    'keep-alive',
    'te',
    'upgrade',
  ]) {
    t.is(got[name], undefined, name)
  }
  t.is(got['x-end'], 'to end')
  for (const name of [
    'x-hop',
    'te',
    'trailer',
    'proxy-authenticate',
    'upgrade',
    'x-powered-by',
    'access-control-allow-origin',
  ]) {
    t.is(answer.headers[name], undefined, name)
  }
  t.not(answer.headers['keep-alive'], 'timeout=7')
  t.not(answer.headers['x-request-id'], 'theirs')
  t.is(answer.headers['x-end'], 'to end')
  t.deepEqual(answer.headers['set-cookie'], ['a=1', 'b=2'])
})

test('headers – a client cannot speak for proxies, brokers or Knative', async (t) => {
  const at = plain
  const forged = {
    'x-forwarded-for': '10.0.0.1',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-proto': 'https',
    'x-forwarded-port': '1',
    forwarded: 'for=10.0.0.1',
    'x-real-ip': '10.0.0.1',
    'x-request-id': 'client-chosen',
    'x-original-url': '/metrics',
    'x-http-method-override': 'DELETE',
    'ce-type': 'io.stampede.order.created.v1',
    'k-proxy-request': 'activator',
    'x-envoy-original-path': '/',
  }
  const got = (await at.send('GET', live, { ...forged, host: 'shop.example' })).body['headers'] as Record<
    string,
    string
  >
  t.is(got['x-forwarded-for'], '127.0.0.1')
  t.is(got['x-forwarded-host'], 'shop.example')
  t.is(got['x-forwarded-proto'], 'http')
  t.is(got['forwarded'], 'for=127.0.0.1;host="shop.example";proto=http')
  t.is(got['host'], new URL(at.upstream.url).host)
  t.not(got['x-request-id'], 'client-chosen')
  for (const name of [
    'x-forwarded-port',
    'x-real-ip',
    'x-original-url',
    'x-http-method-override',
    'ce-type',
    'k-proxy-request',
    'x-envoy-original-path',
  ]) {
    t.is(got[name], undefined, name)
  }
})

test('headers – a trusted proxy can', async (t) => {
  const at = await stage({ ...noLimits, addresses: { trustedProxies: ['127.0.0.0/8', '10.0.0.0/8'] } })
  t.teardown(at.stop)
  const answer = await at.send('GET', live, {
    'x-forwarded-for': '6.6.6.6, 2001:db8::7, 10.0.0.2',
    'x-forwarded-host': 'shop.example',
    'x-forwarded-proto': 'https',
    'x-request-id': 'from-the-proxy',
  })
  const got = answer.body['headers'] as Record<string, string>
  t.is(got['x-forwarded-for'], '2001:db8::7, 10.0.0.2, 127.0.0.1')
  t.is(got['forwarded'], 'for="[2001:db8::7]";host="shop.example";proto=https')
  t.is(got['x-forwarded-proto'], 'https')
  t.is(got['x-request-id'], 'from-the-proxy')
  t.is(answer.headers['x-request-id'], 'from-the-proxy')
})

test('addresses – denied ones are refused, also behind a trusted proxy and written as IPv6', async (t) => {
  const at = await stage({
    ...noLimits,
    addresses: { trustedProxies: ['127.0.0.1'], deny: ['203.0.113.0/24', '2001:db8::/32'] },
  })
  t.teardown(at.stop)
  for (const address of ['203.0.113.9', '::ffff:203.0.113.9', '2001:db8:1::1']) {
    t.is((await at.send('GET', live, { 'x-forwarded-for': address })).status, 403, address)
  }
  t.is((await at.send('GET', live, { 'x-forwarded-for': '203.0.114.9' })).status, 200)
})

test('cross-origin – preflights are answered here, and answers of functions carry what the configuration says', async (t) => {
  const at = await stage({ ...noLimits, cors: { origins: ['https://shop.example'], credentials: true } })
  t.teardown(at.stop)
  const preflight = {
    origin: 'https://shop.example',
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'authorization',
  }
  const answer = await at.send('OPTIONS', purchases, preflight)
  t.is(answer.status, 204)
  t.is(answer.headers['access-control-allow-origin'], 'https://shop.example')
  t.is(answer.headers['access-control-allow-credentials'], 'true')
  t.regex(answer.headers['access-control-allow-methods']!, /POST/)
  t.regex(answer.headers['access-control-allow-headers']!, /stampede-pass/)
  t.is(at.upstream.requests.length, 0)
  const stranger = await at.send('OPTIONS', purchases, { ...preflight, origin: 'https://shop.example.evil' })
  t.is(stranger.headers['access-control-allow-origin'], undefined)
  const simple = await at.send('GET', live, { origin: 'https://shop.example' })
  t.is(simple.headers['access-control-allow-origin'], 'https://shop.example')
  t.regex(String(simple.headers['vary']), /origin/)
  // Refusals, too: the page must be able to read why.
  t.is(
    (await at.send('GET', '/api/v1/activities', { origin: 'https://shop.example' })).headers[
      'access-control-allow-origin'
    ],
    'https://shop.example',
  )
  t.is(
    (await at.send('GET', live, { origin: 'https://evil.example' })).headers['access-control-allow-origin'],
    undefined,
  )
})

test('limits – of headers, address and body', async (t) => {
  const at = await stage({
    ...noLimits,
    headers: { count: 20, bytes: 2_000, urlBytes: 200 },
    routes: [
      { route: 'POST /api/v1/activities', bodyLimitBytes: 100 },
      { route: `GET /api/v1/seckill/:activityId/live`, headerCount: 30 },
    ],
  })
  t.teardown(at.stop)
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, '1']))
  t.is((await at.send('POST', purchases, many(25))).status, 431)
  t.is((await at.send('GET', live, many(25))).status, 200)
  t.is((await at.send('GET', live, { 'x-long': 'x'.repeat(2_000) })).status, 431)
  t.is((await at.send('GET', `${live}?${'x'.repeat(200)}`)).status, 431)
  const post = { ...bearer(at.staff), 'content-type': 'application/json' }
  t.is((await at.send('POST', '/api/v1/activities', post, 'x'.repeat(101))).status, 413)
  t.is(
    (await at.send('POST', '/api/v1/activities', { ...post, 'transfer-encoding': 'chunked' }, 'x'.repeat(101))).status,
    413,
  )
  t.is((await at.send('POST', '/api/v1/activities', post, 'x'.repeat(100))).status, 200)
  t.is((await at.send('GET', live, { 'content-length': '1' }, 'x')).status, 413)
})

for (const name of ['authorization', 'host', 'content-type', 'stampede-pass', 'stampede-device', 'idempotency-key']) {
  test(`headers – ${name} twice is refused: two readers could take different ones`, async (t) => {
    const at = plain
    const own = marked(live)
    const host = name === 'host' ? '' : 'host: a\r\n'
    const text = await rawExchange(at.url, [
      `GET ${own.path} HTTP/1.1\r\n${host}${name}: a\r\n${name}: b\r\nconnection: close\r\n\r\n`,
    ])
    t.regex(text, /^HTTP\/1\.1 400 /)
    t.is(own.arrived(), 0)
  })
}

test('rate limits – say what is left, and refuse with when to come again', async (t) => {
  const at = await stage({ limits: [{ name: random('limit'), by: 'ip', rate: 0.1, burst: 3, functions: ['seckill'] }] })
  t.teardown(at.stop)
  const answers: Answer[] = []
  for (let count = 0; count < 4; count++) answers.push(await at.send('GET', live))
  t.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 429],
  )
  t.regex(String(answers[0]!.headers['ratelimit-policy']), /^"limit-\w+";q=3;w=30$/)
  t.regex(String(answers[2]!.headers['ratelimit']), /;r=0;t=\d+$/)
  const { headers, body } = answers[3]!
  t.true(Number(headers['retry-after']) >= 1 && Number(headers['retry-after']) <= 10)
  t.is(body['code'], 'rate-limited')
  t.regex(String(headers['ratelimit']), /;r=0;t=/)
  t.is(at.upstream.requests.length, 3)
  // Another function is not concerned.
  t.is((await at.send('GET', '/api/v1/activities', bearer(at.staff))).status, 200)
})

test('rate limits – by user and by tenant each have their own', async (t) => {
  const at = await stage({
    limits: [
      { name: random('user'), by: 'user', rate: 0.01, burst: 2, routes: ['GET /api/v1/activities'] },
      { name: random('tenant'), by: 'tenant', rate: 0.01, burst: 3, routes: ['GET /api/v1/activities'] },
    ],
  })
  t.teardown(at.stop)
  const statuses = async (userId: string, tenantId: string, times: number) => {
    const token = await at.identity.token({ tenantId, userId, roles: ['administrator', 'staff'] })
    const found: number[] = []
    for (let count = 0; count < times; count++)
      found.push((await at.send('GET', '/api/v1/activities', bearer(token))).status)
    return found
  }
  t.deepEqual(await statuses('a', at.tenantId, 3), [200, 200, 429])
  t.deepEqual(await statuses('b', at.tenantId, 2), [200, 429])
  t.deepEqual(await statuses('a', random('other'), 2), [200, 200])
})

test('rate limits – tokens that are not valid are counted for their address, and then cost nothing', async (t) => {
  const at = await stage({
    ...noLimits,
    invalidTokens: { rate: 0.01, burst: 3 },
    addresses: { trustedProxies: ['127.0.0.1'] },
  })
  t.teardown(at.stop)
  const forged = (await at.identity.invalidTokens())['forged']!
  const statuses: number[] = []
  for (let count = 0; count < 5; count++) {
    statuses.push(
      (await at.send('GET', '/api/v1/activities', { ...bearer(forged), 'x-forwarded-for': '192.0.2.1' })).status,
    )
  }
  t.deepEqual(statuses, [401, 401, 401, 401, 429])
  // Who is known already does not suffer for a neighbour.
  const known = { ...bearer(at.staff), 'x-forwarded-for': '192.0.2.9' }
  t.is((await at.send('GET', '/api/v1/activities', known)).status, 200)
  t.is((await at.send('GET', '/api/v1/activities', { ...known, 'x-forwarded-for': '192.0.2.1' })).status, 200)
  t.is((await at.send('GET', '/api/v1/activities', { ...bearer(forged), 'x-forwarded-for': '192.0.2.2' })).status, 401)
})

test('upstreams – a function that is nowhere is 503, and the others are served', async (t) => {
  const at = await stage(noLimits, { ACTIVITY_URL: '' })
  t.teardown(at.stop)
  t.is((await at.send('GET', '/api/v1/activities', bearer(at.staff))).status, 503)
  t.is((await at.send('GET', live)).status, 200)
})
