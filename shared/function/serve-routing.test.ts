/** Which route a request finds, and how the answer of its handler arrives, on a real server. */
import test from 'ava'
import { item, json, problem, serveProbe } from './serve-client.fixture.ts'

const { call, stop } = await serveProbe()
test.after.always(stop)

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
