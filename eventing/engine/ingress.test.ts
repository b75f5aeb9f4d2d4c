import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import type { EventMessage } from '@stampede/shared/events/cloud-event.ts'
import { createIngress, defaultIngressLimits, type IngressLimits } from './ingress.ts'
import { silentLog } from './log.ts'

type Setup = {
  produce?: (topic: string, message: EventMessage) => Promise<void>
  pendingBytes?: () => number
  limits?: Partial<IngressLimits>
}

async function ingress(t: ExecutionContext, setup: Setup = {}) {
  const produced: { topic: string; message: EventMessage }[] = []
  const server = createIngress({
    paths: new Map([['/shop/default', 'events']]),
    produce: setup.produce ?? (async (topic, message) => void produced.push({ topic, message })),
    pendingBytes: setup.pendingBytes ?? (() => 0),
    pages: () => false,
    onAnswer: () => {},
    log: silentLog,
    limits: { ...defaultIngressLimits, ...setup.limits },
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const send = (options: {
    path?: string
    method?: string
    headers?: Record<string, string>
    body?: string | Buffer
  }) => {
    const { promise, resolve, reject } = Promise.withResolvers<{
      status: number
      retryAfter: string | undefined
      document: Record<string, unknown>
    }>()
    const { path = '/shop/default', method = 'POST', headers = whole, body = '{}' } = options
    const outgoing = request({ host: '127.0.0.1', port, path, method, headers }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          retryAfter: response.headers['retry-after'],
          document: text === '' ? {} : JSON.parse(text),
        }),
      )
    })
    outgoing.on('error', reject)
    outgoing.end(body)
    return promise
  }
  return { send, produced }
}

const whole = {
  'ce-specversion': '1.0',
  'ce-id': '1',
  'ce-source': '/x',
  'ce-type': 'a.b',
  'content-type': 'application/json',
}

test('ingress – answers 202 only when Kafka has the event', async (t) => {
  const { promise: acknowledged, resolve } = Promise.withResolvers<void>()
  const { send } = await ingress(t, { produce: () => acknowledged })
  let answered = false
  const answer = send({}).then((result) => {
    answered = true
    return result
  })
  await new Promise((wait) => setTimeout(wait, 50))
  t.false(answered)
  resolve()
  t.is((await answer).status, 202)
})

test('ingress – passes attributes and bytes on as they came', async (t) => {
  const { send, produced } = await ingress(t)
  await send({ headers: { ...whole, 'ce-colour': 'ro%C3%A9%20%25' }, body: ' {"a" :1}' })
  t.is(produced[0]!.topic, 'events')
  t.deepEqual(produced[0]!.message.attributes, {
    specversion: '1.0',
    id: '1',
    source: '/x',
    type: 'a.b',
    colour: 'roé %',
    datacontenttype: 'application/json',
  })
  t.is(produced[0]!.message.data?.toString(), ' {"a" :1}')
})

test('ingress – names every attribute that is wrong', async (t) => {
  const { send } = await ingress(t)
  const { status, document } = await send({ headers: { 'ce-specversion': '0.3', 'ce-id': '', 'ce-time': 'yesterday' } })
  t.is(status, 400)
  const details = (document['errors'] as { detail: string }[]).map(({ detail }) => detail)
  for (const part of ['specversion "0.3"', 'id is', 'source is missing', 'type is missing', 'time is not']) {
    t.true(
      details.some((detail) => detail.startsWith(part)),
      part,
    )
  }
})

const refusals: [string, Parameters<Awaited<ReturnType<typeof ingress>>['send']>[0], number][] = [
  ['an unknown path', { path: '/shop/other' }, 404],
  ['the path of a method', { path: '/constructor' }, 404],
  ['another method', { method: 'PUT' }, 405],
  ['a batch', { headers: { 'content-type': 'application/cloudevents-batch+json' }, body: '[]' }, 415],
  ['another media type without attributes', { headers: { 'content-type': 'text/html' } }, 415],
  ['no CloudEvent', { headers: { 'content-type': 'application/json' } }, 400],
  ['broken JSON in structured mode', { headers: { 'content-type': 'application/cloudevents+json' }, body: '{' }, 400],
  ['a list in structured mode', { headers: { 'content-type': 'application/cloudevents+json' }, body: '[]' }, 400],
  [
    'an attribute that is an object',
    { headers: { 'content-type': 'application/cloudevents+json' }, body: '{"specversion":"1.0","id":{}}' },
    400,
  ],
  ['NUL in an attribute', { headers: { ...whole, 'ce-subject': 'a%00b' } }, 400],
  ['a body that is too large', { body: Buffer.alloc(1_001) }, 413],
  [
    'a body that is too large and has no length',
    { headers: { ...whole, 'transfer-encoding': 'chunked' }, body: Buffer.alloc(1_001) },
    413,
  ],
]
for (const [what, options, status] of refusals) {
  test(`ingress – ${what} is answered ${status}, and the next event is taken`, async (t) => {
    const { send, produced } = await ingress(t, { limits: { maximumEventBytes: 1_000 } })
    const answer = await send(options)
    t.is(answer.status, status)
    t.is(answer.document['status'], status)
    t.is(produced.length, 0)
    t.is((await send({})).status, 202)
  })
}

test('ingress – too many waiting events are answered 503 with Retry-After', async (t) => {
  const { promise: never, resolve } = Promise.withResolvers<void>()
  const { send } = await ingress(t, { produce: () => never, limits: { maximumPendingEvents: 1 } })
  const first = send({})
  await new Promise((wait) => setTimeout(wait, 50))
  const second = await send({})
  t.is(second.status, 503)
  t.is(second.retryAfter, '1')
  resolve()
  t.is((await first).status, 202)
})

test('ingress – too many waiting bytes are answered 503', async (t) => {
  const { send } = await ingress(t, { pendingBytes: () => 100, limits: { maximumPendingBytes: 100 } })
  t.is((await send({})).status, 503)
})

test('ingress – an event that Kafka does not acknowledge is answered 503, its cause stays inside', async (t) => {
  const { send } = await ingress(t, { produce: () => Promise.reject(new Error('secret address 10.0.0.1')) })
  const answer = await send({})
  t.is(answer.status, 503)
  t.is(answer.retryAfter, '1')
  t.notRegex(JSON.stringify(answer.document), /secret/)
})

test('ingress – an acknowledgement that takes too long is answered 503', async (t) => {
  const { send } = await ingress(t, { produce: () => new Promise(() => {}), limits: { acknowledgeTimeoutMs: 30 } })
  t.is((await send({})).status, 503)
})
