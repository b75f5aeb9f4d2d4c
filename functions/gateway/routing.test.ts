/** What there is for outside, and where it goes. */
import test from 'ava'
import { platformPermissions } from '@stampede/shared/access/permissions.ts'
import { declaredRoutes } from './declared.ts'
import { bearer, live, marked, startStage, type Stage } from './stage.fixture.ts'
import { noLimits } from './testing.ts'

/** Most tests need nothing special. */
let plain: Stage
test.before(async () => {
  plain = await startStage()
})
test.after.always(() => plain?.stop())

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
    const own = marked(plain, path)
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
  const elsewhere = await startStage({ ...noLimits, addresses: { operators: ['192.0.2.1'] } })
  t.teardown(elsewhere.stop)
  t.is((await elsewhere.send('GET', '/metrics')).status, 404)
})

test('gateway – the path of a sale has a short name', async (t) => {
  const at = plain
  t.is((await at.send('GET', '/seckill/a1/live?x=1')).body['url'], '/api/v1/seckill/a1/live?x=1')
  t.is((await at.send('GET', '/seckillers/a1/live')).status, 404)
})

test('gateway – versions: an unknown one says which there are; a deprecated one says so', async (t) => {
  const at = await startStage({
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
  const { path, arrived } = marked(plain, live)
  const head = await at.send('HEAD', path)
  t.is(head.status, 200)
  t.is(arrived(), 1)
  t.is(head.text, '')
})

test('upstreams – a function that is nowhere is 503, and the others are served', async (t) => {
  const at = await startStage(noLimits, { ACTIVITY_URL: '' })
  t.teardown(at.stop)
  t.is((await at.send('GET', '/api/v1/activities', bearer(at.staff))).status, 503)
  t.is((await at.send('GET', live)).status, 200)
})
