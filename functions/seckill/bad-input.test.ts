/** Rubbish at the hot route: each its documented answer, no 5xx, nothing sold, and the next request is served. */
import { connect } from 'node:net'
import { once } from 'node:events'
import test from 'ava'
import * as fc from 'fast-check'
import { parseOrderCreate, parsePurchase, orderCreateInput, purchaseInput } from './purchase-input.ts'
import { accessToken, passFor, startStage, type Stage } from './testing.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage.stop())

const pathOf = (activityId: string) => `/api/v1/seckill/${activityId}/purchases`

const bodies: [name: string, body: string | Uint8Array, status: number, code: string][] = [
  ['not JSON', '{"quantity":', 400, 'invalid-request'],
  ['a list', '[1]', 400, 'invalid-request'],
  ['a number', '1', 400, 'invalid-request'],
  ['null', 'null', 400, 'invalid-request'],
  ['zero', '{"quantity":0}', 400, 'invalid-request'],
  ['negative', '{"quantity":-1}', 400, 'invalid-request'],
  ['a fraction', '{"quantity":1.5}', 400, 'invalid-request'],
  ['too many', '{"quantity":1001}', 400, 'invalid-request'],
  ['huge', '{"quantity":1e309}', 400, 'invalid-request'],
  ['text', '{"quantity":"1"}', 400, 'invalid-request'],
  ['true', '{"quantity":true}', 400, 'invalid-request'],
  ['null quantity', '{"quantity":null}', 400, 'invalid-request'],
  ['unknown member', '{"quantity":1,"price":0}', 400, 'invalid-request'],
  ['prototype key', '{"__proto__":{"quantity":1}}', 400, 'invalid-request'],
  ['constructor key', '{"constructor":{}}', 400, 'invalid-request'],
  ['key with a space', '{"idempotencyKey":"a b"}', 400, 'invalid-request'],
  ['key with a line feed', '{"idempotencyKey":"a\\nb 1 X . ."}', 400, 'invalid-request'],
  ['empty key', '{"idempotencyKey":""}', 400, 'invalid-request'],
  ['key too long', `{"idempotencyKey":"${'k'.repeat(65)}"}`, 400, 'invalid-request'],
  ['key with NUL', '{"idempotencyKey":"a\\u0000"}', 400, 'invalid-request'],
  ['lone surrogate', '{"idempotencyKey":"\\ud800"}', 400, 'invalid-request'],
  ['not UTF-8', new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]), 400, 'invalid-request'],
  ['deep', '['.repeat(500) + ']'.repeat(500), 400, 'invalid-request'],
  ['too large', `{"quantity":1,"x":"${'x'.repeat(2_000)}"}`, 413, 'payload-too-large'],
  ['a megabyte', 'x'.repeat(1_000_000), 413, 'payload-too-large'],
]

for (const [name, body, status, code] of bodies) {
  test(`bad body – ${name}: ${status} ${code}`, async (t) => {
    const sale = await stage.sale()
    const headers = { 'content-type': 'application/json', 'stampede-pass': passFor({ ...sale, userId: 'ann' }) }
    const answer = await stage.post(pathOf(sale.activityId), headers, body)
    t.deepEqual([answer.status, answer.body['code']], [status, code])
    t.is(answer.body['type'], `urn:stampede:problem:${code}`)
    t.is((await stage.press(sale.activityId, 'ann')).status, 202)
    const seed = {
      'content-type': 'application/json',
      authorization: `Bearer ${await accessToken(stage.tenantId, 'ann')}`,
    }
    t.is((await stage.post('/api/flash-sale/order/create', seed, body)).status, status)
  })
}

test('bad body – of another media type: 415', async (t) => {
  const sale = await stage.sale()
  const headers = { 'stampede-pass': passFor({ ...sale, userId: 'ann' }) }
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonx', 'application/xml']) {
    const answer = await stage.post(pathOf(sale.activityId), { ...headers, 'content-type': type }, '{}')
    t.deepEqual([answer.status, answer.body['code']], [415, 'unsupported-media-type'], type)
  }
  const answer = await stage.post(
    pathOf(sale.activityId),
    { ...headers, 'content-type': 'application/json; charset=utf-8' },
    '{}',
  )
  t.is(answer.status, 202)
})

test('bad body – too large without a length (chunked): 413, and the connection is closed', async (t) => {
  const sale = await stage.sale()
  const socket = connect(Number(new URL(stage.url).port), '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(
    `POST ${pathOf(sale.activityId)} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n` +
      `stampede-pass: ${passFor({ ...sale, userId: 'ann' })}\r\ntransfer-encoding: chunked\r\n\r\n`,
  )
  for (let chunk = 0; chunk < 5 && !socket.destroyed; chunk++) socket.write(`200\r\n${'x'.repeat(512)}\r\n`)
  let text = ''
  socket.on('data', (data: Buffer) => (text += data.toString()))
  await once(socket, 'close')
  t.regex(text, /^HTTP\/1\.1 413 /)
  t.is(text.match(/HTTP\/1\.1/g)?.length, 1)
  t.is((await stage.press(sale.activityId, 'ann')).status, 202)
})

test('bad headers – of any kind: no 5xx, no crash, nothing sold', async (t) => {
  const sale = await stage.sale()
  const value = fc.string({ maxLength: 300 }).map((text) => text.replace(/[^\x20-\x7e]/g, '~'))
  const pass = passFor({ ...sale, userId: 'ann' })
  const cut = fc.nat(pass.length).map((at) => pass.slice(0, at))
  const changed = fc.tuple(fc.nat(pass.length - 1), fc.constantFrom('A', '~', '.', '0')).map(([at, character]) => {
    const text = pass.slice(0, at) + character + pass.slice(at + 1)
    return text === pass ? 'v1' : text
  })
  await fc.assert(
    fc.asyncProperty(fc.oneof(value, cut, changed), value, async (credential, other) => {
      if (credential.trim() === pass) return
      for (const name of ['stampede-pass', 'authorization']) {
        const answer = await stage.post(
          pathOf(sale.activityId),
          { [name]: credential, traceparent: other, 'stampede-device': other },
          '{}',
        )
        t.true([401, 403].includes(answer.status), `${answer.status}`)
      }
    }),
    { numRuns: 100 },
  )
  t.is((await stage.store.snapshot({ ...sale, bucket: 0 }))?.sold, 0)
  const trace = { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' }
  t.is((await stage.press(sale.activityId, 'ann', {}, { ...trace })).status, 202)
  t.is((await stage.press(sale.activityId, 'bob', {}, { traceparent: '00-x y\tz-01' })).status, 202)
})

test('bad path – odd activity ids: 401 or 404', async (t) => {
  for (const activityId of ['a%20b', '%00', '..%2f..', 'a'.repeat(65), '%E0%A4%A', 'a:b', 'a{b}', '{}', '*']) {
    const headers = {
      'content-type': 'application/json',
      authorization: `Bearer ${await accessToken(stage.tenantId, 'ann')}`,
    }
    const answer = await stage.post(pathOf(activityId), headers, '{}')
    t.true([400, 404].includes(answer.status), `${activityId}: ${answer.status}`)
  }
})

test('checker – says the same as its schema, for anything', (t) => {
  const member = fc.oneof(
    fc.integer({ min: -5, max: 1_005 }),
    fc.double(),
    fc.string({ maxLength: 70 }),
    fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
    fc.boolean(),
    fc.constant(null),
    fc.constant([1]),
  )
  const names = fc.constantFrom('quantity', 'idempotencyKey', 'userId', 'activityId', 'x')
  const value = fc.oneof(fc.dictionary(names, member, { maxKeys: 4 }), fc.jsonValue({ maxDepth: 2 }))
  fc.assert(
    fc.property(value, (given) => {
      const text = JSON.stringify(given)
      const parsed = JSON.parse(text) as unknown
      const purchase = parsePurchase(text)
      const expected = purchaseInput.safeParse(parsed)
      t.is(!Array.isArray(purchase), expected.success, text)
      if (expected.success) t.like(purchase, { ...expected.data })
      t.is(!Array.isArray(parseOrderCreate(text)), orderCreateInput.safeParse(parsed).success, text)
    }),
    { numRuns: 2_000 },
  )
})
