/** Bodies, parameters and queries: what is wrong with them is said, and the next request is served. */
import test from 'ava'
import { rawExchange } from '../testing/raw-http.ts'
import { item, json, problem, serveProbe, started } from './serve-client.fixture.ts'

const shared = await serveProbe()
const { url, call } = shared
test.after.always(() => shared.stop())

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
