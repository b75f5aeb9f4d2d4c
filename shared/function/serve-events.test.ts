/** Events and schedules as a broker delivers them, on a real server. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { Problem } from '../http/problem.ts'
import { createTestIdentity } from '../testing/identity.ts'
import { startTokenIssuer } from '../testing/token-issuer.ts'
import { serve } from './serve.ts'
import { createProbe } from './serve.fixture.ts'

const identity = await createTestIdentity()
const serviceToken = await identity.serviceToken('platform')
const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

const paid = {
  tenantId: 'acme',
  activityId: 'phone',
  orderNumber: '01JCQ4Z8N7V3W5X6Y7Z8A9B0CD',
  userId: 'user-1',
  quantity: 1,
  amountCents: 100,
  currency: 'EUR',
  paymentId: 'pay-1',
  paidAt: '2026-01-01T00:00:00.000Z',
}
const attributes = () => ({
  specversion: '1.0',
  id: randomUUID(),
  source: '/functions/order',
  type: 'io.stampede.order.paid.v1',
  subject: paid.orderNumber,
  time: '2026-01-01T00:00:00Z',
  traceparent,
})

async function started(t: ExecutionContext, extra: Record<string, string> = {}) {
  const probes = [createProbe('probe'), createProbe('second')] as const
  const environment = { ...identity.environment, LOG_LEVEL: 'silent', ...extra }
  const { url, stop } = await serve(
    probes.map(({ definition }) => definition),
    { port: 0, host: '127.0.0.1', environment },
  )
  t.teardown(stop)
  return { url, one: probes[0].state, two: probes[1].state }
}

type Send = { path?: string; headers?: Record<string, string>; body?: unknown; token?: string | undefined }

async function send(url: string, { path = '/', headers = {}, body, token = serviceToken }: Send) {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { ...(token === '' ? {} : { authorization: `Bearer ${token}` }), ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    text,
    code: text === '' ? undefined : (JSON.parse(text) as { code: string }).code,
  }
}

const binary = (own: Record<string, string | undefined> = {}, body: unknown = paid): Send => ({
  headers: {
    'content-type': 'application/json',
    ...Object.fromEntries(
      Object.entries({ ...attributes(), ...own })
        .filter((entry): entry is [string, string] => entry[1] !== undefined)
        .map(([name, value]) => [`ce-${name}`, value]),
    ),
  },
  body,
})
const structured = (own: Record<string, unknown> = {}): Send => ({
  headers: { 'content-type': 'application/cloudevents+json' },
  body: { ...attributes(), datacontenttype: 'application/json', data: paid, ...own },
})
const ping = (data: unknown): Send =>
  binary({ type: 'dev.knative.sources.ping', source: '/apis/v1/namespaces/stampede/pingsources/tick' }, data)

test('event – in binary mode reaches the handlers of every function, checked and with its attributes', async (t) => {
  const { url, one, two } = await started(t)
  const given = binary({ subject: 'caf%C3%A9' })
  t.is((await send(url, given)).status, 204)
  t.like(one.handled[0], {
    type: 'io.stampede.order.paid.v1',
    subject: 'café',
    source: '/functions/order',
    id: given.headers!['ce-id'],
    traceparent,
    data: paid,
  })
  t.is(two.handled.length, 1)
})

test('event – in structured mode reaches the handlers; to one function by its own address', async (t) => {
  const { url, one, two } = await started(t)
  t.is((await send(url, { ...structured(), path: '/events/second' })).status, 204)
  t.deepEqual([one.handled.length, two.handled.length], [0, 1])
  t.deepEqual(two.handled[0]!.data, paid)
  const encoded = { data: undefined, data_base64: Buffer.from(JSON.stringify(paid)).toString('base64') }
  t.is((await send(url, structured(encoded))).status, 204)
  t.deepEqual(one.handled[0]!.data, paid)
})

test('event – that can never be handled is refused for good', async (t) => {
  const { url, one } = await started(t)
  const cases: [string, Send, number][] = [
    ['unknown type', binary({ type: 'io.stampede.order.invented.v1' }), 400],
    ['no such function', { ...binary(), path: '/events/nobody' }, 400],
    ['wrong schema', binary({}, { ...paid, quantity: 0 }), 400],
    ['no data', binary({}, ''), 400],
    ['data that is not JSON', binary({}, '{"a":'), 400],
    ['data too deep', binary({}, { ...paid, extra: JSON.parse('['.repeat(40) + ']'.repeat(40)) }), 400],
    ['prototype key', binary({}, `{"__proto__":{},${JSON.stringify(paid).slice(1)}`), 400],
    ['no type', binary({ type: undefined }), 400],
    ['no id', binary({ id: undefined }), 400],
    ['empty source', structured({ source: '' }), 400],
    ['other version of the specification', binary({ specversion: '0.3' }), 400],
    ['time that is none', binary({ time: 'yesterday' }), 400],
    ['structured and broken', { headers: { 'content-type': 'application/cloudevents+json' }, body: '{' }, 400],
    ['structured list', { headers: { 'content-type': 'application/cloudevents+json' }, body: '[]' }, 400],
    ['not an event', { headers: { 'content-type': 'application/json' }, body: paid }, 400],
    ['batch', { headers: { 'content-type': 'application/cloudevents-batch+json' }, body: [structured().body] }, 415],
    [
      'data of another type',
      { ...binary(), headers: { ...binary().headers, 'content-type': 'text/xml' }, body: '<a/>' },
      415,
    ],
    ['1 MB of data', binary({}, { ...paid, extra: 'x'.repeat(1_048_576) }), 413],
    ['unknown task', ping({ function: 'probe', task: 'invented' }), 400],
    ['task of an unknown function', ping({ function: 'nobody', task: 'tick' }), 400],
    ['task without data', ping(null), 400],
  ]
  for (const [name, given, status] of cases) {
    const answer = await send(url, given)
    t.is(answer.status, status, `${name}: ${answer.text}`)
    t.is(answer.headers.get('content-type'), 'application/problem+json', name)
  }
  t.is(one.handled.length, 0)
  t.is((await send(url, binary())).status, 204, 'the next one is handled')
})

test('event – the handler’s refusal is final for 400 and 422 only; everything else is sent again', async (t) => {
  const { url, one } = await started(t)
  const outcomes: [unknown, number][] = [
    [new Problem('invalid-request', 'no'), 400],
    [new Problem('unprocessable', 'no'), 422],
    [new Problem('not-found', 'no'), 503],
    [new Problem('conflict', 'no'), 503],
    [new Problem('rate-limited', 'no'), 503],
    [new Problem('dependency-unavailable', 'no'), 503],
    [Object.assign(new Error('password=hunter2'), { code: 204 }), 503],
  ]
  for (const [error, status] of outcomes) {
    one.onPaid = async () => {
      throw error
    }
    const answer = await send(url, binary())
    t.is(answer.status, status, String(error))
    t.notRegex(answer.text, /hunter2/)
  }
})

test('event – with several handlers the worst outcome counts: again before refused before done', async (t) => {
  const { url, one, two } = await started(t)
  one.onPaid = async () => {
    throw new Problem('unprocessable', 'poison')
  }
  t.is((await send(url, binary())).status, 422)
  t.is(two.handled.length, 1, 'the other one was run all the same')
  two.onPaid = async () => {
    throw new Error('later')
  }
  t.is((await send(url, binary())).status, 503)
})

test('event – that takes too long is to be sent again', async (t) => {
  const { url, one } = await started(t, { EVENT_TIMEOUT_MS: '50' })
  one.onPaid = async () => new Promise(() => {})
  t.deepEqual((({ status, code }) => [status, code])(await send(url, binary())), [503, 'dependency-unavailable'])
})

test('event – only services may deliver, unless the network vouches for them', async (t) => {
  const { url, one } = await started(t)
  t.is((await send(url, { ...binary(), token: '' })).status, 401)
  t.is((await send(url, { ...binary(), token: await identity.token({ roles: ['administrator'] }) })).status, 403)
  for (const [reason, token] of Object.entries(await identity.invalidTokens()))
    t.is((await send(url, { ...binary(), token })).status, 401, reason)
  t.is((await send(url, { ...ping({ function: 'probe', task: 'tick' }), token: '' })).status, 401)
  t.deepEqual([one.handled.length, one.ticks], [0, 0])
  const open = await started(t, { EVENT_AUTHENTICATION: 'none' })
  t.is((await send(open.url, { ...binary(), token: '' })).status, 204)
})

const oidc = async (t: ExecutionContext, extra: Record<string, string> = {}) => {
  const issuer = await startTokenIssuer()
  t.teardown(issuer.stop)
  const running = await started(t, {
    EVENT_AUTHENTICATION: 'oidc',
    EVENT_OIDC_POD_CREDENTIALS: issuer.folder,
    EVENT_OIDC_JWKS_URL: issuer.url.href,
    EVENT_OIDC_CA_FILE: join(issuer.folder, 'ca.crt'),
    EVENT_OIDC_TOKEN_FILE: join(issuer.folder, 'token'),
    ...extra,
  })
  return { ...issuer, ...running }
}

test('event – with OIDC a token of the broker opens the function that it is for, and nothing else does', async (t) => {
  const { url, one, two, token } = await oidc(t)
  t.is((await send(url, { ...binary(), path: '/events/probe', token: await token() })).status, 204)
  t.deepEqual([one.handled.length, two.handled.length], [1, 0])
  const refusals: [string, string, number][] = [
    ['none', '', 401],
    ['a service token', serviceToken, 401],
    ['a person’s', await identity.token({ roles: ['administrator'] }), 401],
    ['for another function', await token({ audience: 'stampede/second' }), 401],
    ['of another namespace', await token({ subject: 'system:serviceaccount:elsewhere:x' }), 403],
    ['expired', await token({ expires: '1h ago' }), 401],
  ]
  for (const [reason, given, status] of refusals) {
    const answer = await send(url, { ...binary(), path: '/events/probe', token: given })
    t.is(answer.status, status, `${reason}: ${answer.text}`)
    t.is(answer.headers.get('content-type'), 'application/problem+json', reason)
  }
  t.is(one.handled.length, 1)
  t.is((await send(url, { ...binary(), token: await token({ audience: 'stampede/second' }) })).status, 204)
  t.is((await send(url, { ...binary(), token: await token({ audience: 'stampede/third' }) })).status, 401)
})

test('event – with OIDC and without keys it is to be sent again, and handled by nobody', async (t) => {
  const { url, one, token, state } = await oidc(t)
  state.status = 500
  const answer = await send(url, { ...binary(), token: await token() })
  t.deepEqual([answer.status, answer.code, answer.headers.get('retry-after')], [503, 'dependency-unavailable', '1'])
  t.is(one.handled.length, 0)
  state.status = 200
  t.is((await send(url, { ...binary(), token: await token() })).status, 204)
})

test('event – with OIDC audience, issuer and subjects can be given', async (t) => {
  const { url, token } = await oidc(t, {
    EVENT_OIDC_ISSUER: 'https://other.test',
    EVENT_OIDC_AUDIENCE: 'shop, stock',
    EVENT_OIDC_SUBJECTS: 'robot:*,system:serviceaccount:shop:one',
  })
  const status = async (issuer: string, audience: string, subject: string) =>
    (await send(url, { ...binary(), token: await token({ issuer, audience, subject }) })).status
  t.is(await status('https://other.test', 'stock', 'robot:x'), 204)
  t.is(await status('https://other.test', 'shop', 'system:serviceaccount:shop:one'), 204)
  t.is(await status('https://cluster.test', 'shop', 'robot:x'), 401)
  t.is(await status('https://other.test', 'stampede/probe', 'robot:x'), 401)
  t.is(await status('https://other.test', 'shop', 'system:serviceaccount:shop:two'), 403)
})

test('event – more at a time than the limit are to be sent again; requests have their own limit', async (t) => {
  const { url, one } = await started(t, { MAX_EVENTS_IN_FLIGHT: '2' })
  const gate = Promise.withResolvers<void>()
  const waiting: string[] = []
  one.onPaid = async () => {
    waiting.push('one')
    await gate.promise
  }
  const held = [send(url, binary()), send(url, binary())]
  while (waiting.length < 2) await sleep(5)
  const refused = await send(url, { ...binary(), path: '/events/probe' })
  t.deepEqual([refused.status, refused.code, refused.headers.get('retry-after')], [503, 'overloaded', '1'])
  t.is((await fetch(`${url}/probe/items/x1`)).status, 200)
  gate.resolve()
  t.deepEqual(
    (await Promise.all(held)).map(({ status }) => status),
    [204, 204],
  )
})

test('schedule – a ping runs the task, and not a second time beside itself', async (t) => {
  const { url, one, two } = await started(t)
  const tick = ping({ function: 'probe', task: 'tick' })
  const gate = Promise.withResolvers<void>()
  const begun: string[] = []
  one.onTick = async () => {
    begun.push('tick')
    await gate.promise
  }
  const first = send(url, tick)
  while (begun.length === 0) await sleep(5)
  t.is((await send(url, tick)).status, 204, 'this round is skipped')
  t.deepEqual([begun.length, one.ticks], [1, 0])
  gate.resolve()
  t.is((await first).status, 204)
  t.is(one.ticks, 1)
  t.is((await send(url, { ...tick, path: '/events/probe' })).status, 204)
  t.is(one.ticks, 2)
  t.is(two.ticks, 0)
})

test('schedule – a task that fails is to be started again, and can be', async (t) => {
  const { url, one } = await started(t)
  const tick = ping({ function: 'probe', task: 'tick' })
  one.onTick = async () => {
    throw new Error('not now')
  }
  t.is((await send(url, tick)).status, 503)
  one.onTick = async () => {}
  t.is((await send(url, tick)).status, 204)
  t.is(one.ticks, 1)
})
