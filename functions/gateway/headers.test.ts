/** What goes on of the headers, both ways. */
import test from 'ava'
import { rawExchange } from '@stampede/shared/testing/raw-http.ts'
import { live, marked, startStage, type Stage } from './stage.fixture.ts'
import { noLimits } from './testing.ts'

/** Most tests need nothing special. */
let plain: Stage
test.before(async () => {
  plain = await startStage()
})
test.after.always(() => plain?.stop())

test('headers – what belongs to one hop stays there, both ways', async (t) => {
  const at = await startStage(noLimits, {}, (request, response) => {
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
  const at = await startStage({ ...noLimits, addresses: { trustedProxies: ['127.0.0.0/8', '10.0.0.0/8'] } })
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

for (const name of ['authorization', 'host', 'content-type', 'stampede-pass', 'stampede-device', 'idempotency-key']) {
  test(`headers – ${name} twice is refused: two readers could take different ones`, async (t) => {
    const at = plain
    const own = marked(plain, live)
    const host = name === 'host' ? '' : 'host: a\r\n'
    const text = await rawExchange(at.url, [
      `GET ${own.path} HTTP/1.1\r\n${host}${name}: a\r\n${name}: b\r\nconnection: close\r\n\r\n`,
    ])
    t.regex(text, /^HTTP\/1\.1 400 /)
    t.is(own.arrived(), 0)
  })
}
