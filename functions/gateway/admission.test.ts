/** Who is let in: tokens, passes, addresses, pages of other origins, and how large a request may be. */
import test from 'ava'
import { bearer, live, marked, purchases, startStage, type Stage } from './stage.fixture.ts'
import { noLimits } from './testing.ts'

/** Most tests need nothing special. */
let plain: Stage
test.before(async () => {
  plain = await startStage()
})
test.after.always(() => plain?.stop())

test('gateway – wrong tokens are refused here, and the upstream hears nothing of them', async (t) => {
  const at = plain
  const { path, arrived } = marked(plain, '/api/v1/activities')
  t.like(await at.send('GET', path), { status: 401 })
  const invalid = await at.identity.invalidTokens({ tenantId: at.tenantId, roles: ['administrator'] })
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

test('addresses – denied ones are refused, also behind a trusted proxy and written as IPv6', async (t) => {
  const at = await startStage({
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
  const at = await startStage({ ...noLimits, cors: { origins: ['https://shop.example'], credentials: true } })
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
  const at = await startStage({
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
