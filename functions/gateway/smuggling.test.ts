/** Requests that two servers could read differently, as bytes on a socket: none of them may reach a function. */
import test from 'ava'
import { rawExchange } from '@stampede/shared/testing/raw-http.ts'
import { noLimits, startGateway, startUpstream, type TestGateway, type TestUpstream } from './testing.ts'

let upstream: TestUpstream
let gateway: TestGateway

test.before(async () => {
  upstream = await startUpstream()
  gateway = await startGateway(upstream.url, {
    ...noLimits,
    routes: [{ route: 'POST /api/v1/seckill/:activityId/purchases', bodyLimitBytes: 10_000 }],
  })
})
test.after.always(async () => {
  await gateway?.stop()
  await upstream?.stop()
})

const press = 'POST /api/v1/seckill/a1/purchases HTTP/1.1\r\nhost: shop\r\nstampede-pass: x\r\n'
const live = 'GET /api/v1/seckill/a1/live'
/** What a smuggler would like to be taken for a second request. */
const hidden = 'GET /api/v1/seckill/hidden/live HTTP/1.1\r\nhost: shop\r\n\r\n'

const refused: Record<string, string> = {
  'length and chunked': `${press}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
  'chunked and length': `${press}transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n${hidden}`,
  'two lengths': `${press}content-length: 0\r\ncontent-length: ${hidden.length}\r\n\r\n${hidden}`,
  'the same length twice': `${press}content-length: 2\r\ncontent-length: 2\r\n\r\n{}`,
  'lengths in a list': `${press}content-length: 2, 2\r\n\r\n{}`,
  'a length with a sign': `${press}content-length: +2\r\n\r\n{}`,
  'a length in hexadecimal': `${press}content-length: 0x2\r\n\r\n{}`,
  'a negative length': `${press}content-length: -1\r\n\r\n`,
  'an empty length': `${press}content-length: \r\n\r\n`,
  'a coding that is not known': `${press}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n`,
  'two codings': `${press}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
  'chunked twice': `${press}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  'chunked, identity': `${press}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
  'a coding after a tab in its name': `${press}transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n`,
  'a coding with a space before its colon': `${press}transfer-encoding : chunked\r\n\r\n0\r\n\r\n`,
  'a folded header': `${press}x-a: 1\r\n content-length: 2\r\n\r\n{}`,
  'a header without a colon': `${press}content-length 2\r\n\r\n{}`,
  'a NUL in a header': `${press}x-a: a\0b\r\n\r\n`,
  'a bare carriage return in a header': `${press}x-a: a\rcontent-length: 2\r\n\r\n{}`,
  'a name that is not a token': `${press}x(a): 1\r\n\r\n`,
  'bare line feeds': `${press.replaceAll('\r\n', '\n')}transfer-encoding: chunked\n\n0\n\n`,
  'a chunk size that is no number': `${press}transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n`,
  'a chunk size that overflows': `${press}transfer-encoding: chunked\r\n\r\nffffffffffffffff1\r\n{}\r\n0\r\n\r\n`,
  'a chunk that is longer than it says': `${press}transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n`,
  'chunked in HTTP/1.0': `${press.replace('HTTP/1.1', 'HTTP/1.0')}transfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  'no host': `${live} HTTP/1.1\r\n\r\n`,
  'two hosts': `${live} HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n`,
  'a host with a path': `${live} HTTP/1.1\r\nhost: a/b\r\n\r\n`,
  'a host with a user': `${live} HTTP/1.1\r\nhost: a@b\r\n\r\n`,
  'absolute form': `GET http://elsewhere/api/v1/seckill/a1/live HTTP/1.1\r\nhost: shop\r\n\r\n`,
  'absolute form of the own host': `GET http://shop/api/v1/seckill/a1/live HTTP/1.1\r\nhost: shop\r\n\r\n`,
  'authority form': `CONNECT shop:443 HTTP/1.1\r\nhost: shop\r\n\r\n`,
  'asterisk form': `OPTIONS * HTTP/1.1\r\nhost: shop\r\n\r\n`,
  'a target with a space': `${live} x HTTP/1.1\r\nhost: shop\r\n\r\n`,
  'a target with a tab': `GET /api/v1/seckill/a1\t/live HTTP/1.1\r\nhost: shop\r\n\r\n`,
  'a target with high bytes': `GET /api/v1/seckill/\u00e4/live HTTP/1.1\r\nhost: shop\r\n\r\n`,
  'a path that climbs': `GET /api/v1/seckill/a1/x/../live HTTP/1.1\r\nhost: shop\r\n\r\n`,
  'a path that climbs in disguise': `GET /api/v1/seckill/a1/x/%2e%2e/live HTTP/1.1\r\nhost: shop\r\n\r\n`,
  'a slash in disguise': `GET /api/v1/seckill%2fa1/live HTTP/1.1\r\nhost: shop\r\n\r\n`,
  'two slashes': `GET //api/v1/seckill/a1/live HTTP/1.1\r\nhost: shop\r\n\r\n`,
  'an unknown method': `SEARCHX /api/v1/seckill/a1/live HTTP/1.1\r\nhost: shop\r\n\r\n`,
  'HTTP/2 in the clear': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'a lower-case version': `${live} http/1.1\r\nhost: shop\r\n\r\n`,
  'HTTP/0.9': `${live}\r\n\r\n`,
  'not HTTP': '\u0016\u0003\u0001\u0002\u0000\u0001',
}

for (const [what, bytes] of Object.entries(refused)) {
  test.serial(`smuggling – ${what}: refused, and nothing reaches a function`, async (t) => {
    const before = upstream.requests.length
    const text = await rawExchange(gateway.url, [Buffer.from(bytes, 'latin1')], 0, 1_500)
    // Closed without a word, or one refusal; never a second answer.
    t.regex(text, /^(HTTP\/1\.1 (4\d\d) |$)/, text.slice(0, 300))
    t.is(text.match(/HTTP\/1\.1 \d/g)?.length ?? 0, text === '' ? 0 : 1, text)
    t.is(upstream.requests.length, before)
  })
}

test.serial('smuggling – what is sound passes, with framing of our own', async (t) => {
  const text = await rawExchange(gateway.url, [
    `${press}content-type: application/json\r\ntransfer-encoding: CHUNKED\r\nconnection: close\r\n\r\n2\r\n{}\r\n0\r\nx-trailer: 1\r\n\r\n`,
  ])
  t.regex(text, /^HTTP\/1\.1 200 /)
  const got = upstream.requests.at(-1)!
  t.is(got.body, '{}')
  t.is(got.headers['x-trailer'], undefined)
  t.is(got.rawHeaders.filter((name) => /^(transfer-encoding|content-length)$/i.test(name)).length, 1)
})

test.serial('smuggling – two requests on one connection are two answers, in order', async (t) => {
  const text = await rawExchange(gateway.url, [
    `${live}?one HTTP/1.1\r\nhost: shop\r\n\r\n${live}?two HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n`,
  ])
  t.is(text.match(/HTTP\/1\.1 200 /g)?.length, 2)
  t.true(text.indexOf('?one') < text.indexOf('?two'))
})

test.serial('expect – 100-continue is answered here and not sent on; another expectation is refused', async (t) => {
  const text = await rawExchange(
    gateway.url,
    [
      `${press}content-type: application/json\r\ncontent-length: 2\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n`,
      '{}',
    ],
    50,
  )
  t.regex(text, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /)
  t.is(upstream.requests.at(-1)!.headers['expect'], undefined)
  t.regex(
    await rawExchange(gateway.url, [`${press}content-length: 2\r\nexpect: miracles\r\nconnection: close\r\n\r\n{}`]),
    /^HTTP\/1\.1 417 /,
  )
})

test.serial('slow – a client that trickles its headers is given up, and nothing reaches a function', async (t) => {
  const impatient = await startGateway(upstream.url, noLimits, { REQUEST_TIMEOUT_MS: '500' })
  t.teardown(() => impatient.stop())
  const before = upstream.requests.length
  const text = await rawExchange(
    impatient.url,
    [`${live} HTTP/1.1\r\n`, 'host: sh', 'op\r\n', 'x-a: 1\r\n'],
    300,
    20_000,
  )
  t.regex(text, /^HTTP\/1\.1 408 /)
  t.is(upstream.requests.length, before)
})

test.serial('large – headers beyond what the parser takes are refused', async (t) => {
  const text = await rawExchange(
    gateway.url,
    [`${live} HTTP/1.1\r\nhost: shop\r\nx-a: ${'a'.repeat(20_000)}\r\n\r\n`],
    0,
    20_000,
  )
  t.regex(text, /^HTTP\/1\.1 431 /)
})
