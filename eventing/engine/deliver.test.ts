import { createServer, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import type { EventMessage } from '@stampede/shared/events/cloud-event.ts'
import { decodeHeader } from '@stampede/shared/events/http-binding.ts'
import { freePort } from '@stampede/shared/testing/services.ts'
import { createDeliver, type DeliverOptions } from './deliver.ts'
import { silentLog } from './log.ts'
import { defaultRetryPolicy, type RetryPolicy } from './retry-policy.ts'
import { createSender } from './sender.ts'

type Arrival = { path: string; headers: IncomingHttpHeaders; body: string }
type Answer = { status: number; headers?: OutgoingHttpHeaders; body?: string | Buffer } | 'none'

/** A subscriber that answers in turn, the last answer for ever. */
async function startSubscriber(t: ExecutionContext, ...answers: Answer[]) {
  const arrivals: Arrival[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
    request.on('end', () => {
      arrivals.push({ path: request.url ?? '', headers: request.headers, body })
      for (const { count, resolve } of waiting) if (arrivals.length >= count) resolve()
      const answer = answers[Math.min(arrivals.length, answers.length) - 1] ?? { status: 204 }
      if (answer !== 'none') response.writeHead(answer.status, answer.headers).end(answer.body)
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const wait = (count: number) =>
    new Promise<void>((resolve) => (arrivals.length >= count ? resolve() : waiting.push({ count, resolve })))
  return { url, arrivals, wait, target: (path = '/') => ({ kind: 'http' as const, name: 'n', url: () => url + path }) }
}

type SetUp = Partial<Pick<DeliverOptions, 'replyTopic' | 'produce' | 'log'>> & {
  subscriber: DeliverOptions['subscriber']
  policy?: Partial<RetryPolicy>
  deadLetter?: DeliverOptions['subscriber']
}

function setUp(t: ExecutionContext, { policy, deadLetter, ...more }: SetUp) {
  const counts: Record<string, number> = {}
  const count = (name: string) => ({
    inc: (by = 1) => {
      counts[name] = (counts[name] ?? 0) + by
    },
  })
  const produced: { topic: string; message: EventMessage }[] = []
  const sender = createSender()
  t.teardown(() => sender.close())
  const pauses = new AbortController()
  const requests = new AbortController()
  const deliver = createDeliver({
    name: 'trigger/shop/orders',
    delivery: { policy: { ...defaultRetryPolicy, backoffDelayMs: 1, timeoutMs: 5_000, ...policy }, deadLetter },
    replyTopic: undefined,
    sender,
    produce: async (topic, message) => void produced.push({ topic, message }),
    log: silentLog,
    metrics: {
      delivered: count('delivered'),
      retried: count('retried'),
      deadLettered: count('deadLettered'),
      dropped: count('dropped'),
      replied: count('replied'),
      filtered: count('filtered'),
      latency: { observe() {} },
    },
    ...more,
  })
  return {
    counts,
    produced,
    pauses,
    requests,
    deliver: (message = event) => deliver(message, { pauses: pauses.signal, requests: requests.signal }),
  }
}

const event: EventMessage = {
  attributes: { specversion: '1.0', id: 'e-1', source: '/test', type: 'a.b', datacontenttype: 'text/plain' },
  data: Buffer.from('hello'),
}
const dead = { kind: 'topic' as const, name: 'dead', topic: 'dead-topic' }
const anHour = 3_600_000

for (const status of [404, 408, 409, 429, 500, 502, 503, 504]) {
  test(`deliver – an answer ${status} is tried again`, async (t) => {
    const subscriber = await startSubscriber(t, { status }, { status }, { status: 200 })
    const { deliver, counts } = setUp(t, { subscriber: subscriber.target(), policy: { retry: 2 } })
    t.true(await deliver())
    t.deepEqual(counts, { retried: 2, delivered: 1 })
    t.is(subscriber.arrivals[2]!.body, 'hello')
  })
}

for (const status of [301, 400, 401, 403, 410, 413, 415, 422]) {
  test(`deliver – an answer ${status} is final`, async (t) => {
    const subscriber = await startSubscriber(t, { status, body: 'no' }, { status: 200 })
    const { deliver, counts, produced } = setUp(t, {
      subscriber: subscriber.target(),
      policy: { retry: 5 },
      deadLetter: dead,
    })
    t.true(await deliver())
    t.is(subscriber.arrivals.length, 1)
    t.deepEqual(counts, { deadLettered: 1 })
    t.like(produced[0], { topic: 'dead-topic', message: { attributes: { knativeerrorcode: String(status) } } })
  })
}

test('deliver – attempts end with the retries; without a dead-letter sink the event is dropped, counted and logged', async (t) => {
  const subscriber = await startSubscriber(t, { status: 500, body: 'broken' })
  const errors: object[] = []
  const log = { ...silentLog, error: (fields: object) => void errors.push(fields) }
  const { deliver, counts } = setUp(t, { subscriber: subscriber.target(), policy: { retry: 2 }, log })
  t.true(await deliver())
  t.is(subscriber.arrivals.length, 3)
  t.deepEqual(counts, { retried: 2, dropped: 1 })
  t.like(errors[0], { event: 'e-1', type: 'a.b', status: 500, detail: 'broken' })
})

test('deliver – abort during a pause leaves the event unsettled, at once and without another attempt', async (t) => {
  const subscriber = await startSubscriber(t, { status: 503 })
  const { deliver, counts, pauses, produced } = setUp(t, {
    subscriber: subscriber.target(),
    policy: { retry: 5, backoffDelayMs: anHour },
    deadLetter: dead,
  })
  const delivering = deliver()
  await subscriber.wait(1)
  pauses.abort()
  t.false(await delivering)
  t.is(subscriber.arrivals.length, 1)
  t.deepEqual(counts, { retried: 1 })
  t.deepEqual(produced, [])
})

test('deliver – abort of pauses lets the attempt that runs come to its end', async (t) => {
  const subscriber = await startSubscriber(t, { status: 204 })
  const { deliver, pauses } = setUp(t, { subscriber: subscriber.target() })
  pauses.abort()
  t.true(await deliver())
})

test('deliver – abort of requests ends the attempt that runs; the event stays unsettled', async (t) => {
  const subscriber = await startSubscriber(t, 'none')
  const { deliver, requests, produced } = setUp(t, { subscriber: subscriber.target(), deadLetter: dead })
  const delivering = deliver()
  await subscriber.wait(1)
  requests.abort()
  t.false(await delivering)
  t.deepEqual(produced, [])
})

test('deliver – Retry-After of a 429 is waited for', async (t) => {
  const subscriber = await startSubscriber(t, { status: 429, headers: { 'retry-after': '3600' } })
  const pausesSeen: unknown[] = []
  const log = { ...silentLog, debug: (fields: object) => void pausesSeen.push((fields as { pauseMs: number }).pauseMs) }
  const limits = { retry: 1, retryAfterMaxMs: 70_000 }
  const { deliver, pauses } = setUp(t, { subscriber: subscriber.target(), policy: limits, log })
  const delivering = deliver()
  while (pausesSeen.length === 0) await new Promise((resolve) => setImmediate(resolve))
  pauses.abort()
  t.false(await delivering)
  t.deepEqual(pausesSeen, [70_000])
})

test('deliver – Retry-After of another status is not', async (t) => {
  const subscriber = await startSubscriber(t, { status: 500, headers: { 'retry-after': '3600' } }, { status: 204 })
  const { deliver } = setUp(t, { subscriber: subscriber.target(), policy: { retry: 1 } })
  t.true(await deliver())
})

test('deliver – no answer in time, and no connection, are failures without a code', async (t) => {
  const silent = await startSubscriber(t, 'none')
  const slow = setUp(t, { subscriber: silent.target(), policy: { timeoutMs: 20 }, deadLetter: dead })
  t.true(await slow.deliver())
  const { attributes } = slow.produced[0]!.message
  t.is(attributes['knativeerrorcode'], undefined)
  t.is(attributes['knativeerrordata'], 'no answer within 20 ms')
  const nobody = `http://127.0.0.1:${await freePort()}/`
  const away = setUp(t, { subscriber: { kind: 'http', name: 'n', url: () => nobody }, deadLetter: dead })
  t.true(await away.deliver())
  t.regex(away.produced[0]!.message.attributes['knativeerrordata']!, /ECONNREFUSED/)
  t.is(away.produced[0]!.message.attributes['knativeerrordest'], nobody)
})

test('dead letter – is the event with the address, the status and the answer; earlier ones do not stay', async (t) => {
  const subscriber = await startSubscriber(t, { status: 400, body: 'no "use"' })
  const { deliver, produced } = setUp(t, { subscriber: subscriber.target('/in'), deadLetter: dead })
  const again = { ...event.attributes, knativeerrorcode: '599', knativeerrordata: 'old', knativeerrordest: 'old' }
  t.true(await deliver({ attributes: again, data: event.data }))
  t.deepEqual(produced[0]!.message, {
    attributes: {
      ...event.attributes,
      knativeerrordest: `${subscriber.url}/in`,
      knativeerrorcode: '400',
      knativeerrordata: 'no "use"',
    },
    data: event.data,
  })
})

test('dead letter – an empty answer leaves no error data, not even that of an earlier failure', async (t) => {
  const subscriber = await startSubscriber(t, { status: 400 })
  const { deliver, produced } = setUp(t, { subscriber: subscriber.target(), deadLetter: dead })
  await deliver({ attributes: { ...event.attributes, knativeerrordata: 'old' }, data: undefined })
  t.is(produced[0]!.message.attributes['knativeerrordata'], undefined)
})

test('dead letter – an answer of odd bytes goes along as these bytes in base64', async (t) => {
  for (const body of [Buffer.from([0, 255, 128, 10]), Buffer.from('zwei\nZeilen'), Buffer.from('é')]) {
    const subscriber = await startSubscriber(t, { status: 400, body })
    const { deliver, produced } = setUp(t, { subscriber: subscriber.target(), deadLetter: dead })
    await deliver()
    t.deepEqual(Buffer.from(produced[0]!.message.attributes['knativeerrordata']!, 'base64'), body)
  }
})

test('dead letter – error data has at most 1,024 characters', async (t) => {
  for (const body of ['x'.repeat(5_000), Buffer.alloc(5_000, 255)]) {
    const subscriber = await startSubscriber(t, { status: 400, body })
    const { deliver, produced } = setUp(t, { subscriber: subscriber.target(), deadLetter: dead })
    await deliver()
    t.is(produced[0]!.message.attributes['knativeerrordata']!.length, 1_024)
  }
})

test('dead letter – goes to a service by HTTP, again and again until it is taken', async (t) => {
  const subscriber = await startSubscriber(t, { status: 400, body: 'no' })
  const sink = await startSubscriber(t, { status: 400 }, { status: 202 })
  const { deliver, counts } = setUp(t, { subscriber: subscriber.target(), deadLetter: sink.target('/dead') })
  t.true(await deliver())
  t.is(sink.arrivals.length, 2)
  t.is(decodeHeader(String(sink.arrivals[1]!.headers['ce-knativeerrordata'])), 'no')
  t.is(sink.arrivals[1]!.body, 'hello')
  t.deepEqual(counts, { deadLettered: 1 })
})

test('dead letter – not taken before the engine stops: the event stays unsettled', async (t) => {
  const subscriber = await startSubscriber(t, { status: 400 })
  const sink = await startSubscriber(t, { status: 500 })
  const { deliver, counts, pauses } = setUp(t, { subscriber: subscriber.target(), deadLetter: sink.target() })
  const delivering = deliver()
  await sink.wait(1)
  pauses.abort()
  t.false(await delivering)
  t.is(counts['deadLettered'], undefined)
})

const replyHeaders = {
  'ce-specversion': '1.0',
  'ce-id': 'r-1',
  'ce-source': '/reply',
  'ce-type': 'c.d',
  'content-type': 'text/plain',
}

test('reply – an event in the answer goes to the broker before the delivery is done', async (t) => {
  const subscriber = await startSubscriber(t, { status: 200, headers: replyHeaders, body: 'answer' })
  const { deliver, counts, produced } = setUp(t, { subscriber: subscriber.target(), replyTopic: 'broker' })
  t.true(await deliver())
  t.like(produced[0], { topic: 'broker', message: { attributes: { id: 'r-1', type: 'c.d' } } })
  t.is(String(produced[0]!.message.data), 'answer')
  t.deepEqual(counts, { replied: 1, delivered: 1 })
})

test('reply – Kafka refuses for a while: written later, and the subscriber is not asked again', async (t) => {
  const subscriber = await startSubscriber(t, { status: 200, headers: replyHeaders, body: 'answer' })
  let attempts = 0
  const produce = async () => {
    attempts += 1
    if (attempts === 1) throw new Error('Kafka is away')
  }
  const { deliver, counts } = setUp(t, { subscriber: subscriber.target(), replyTopic: 'broker', produce })
  t.true(await deliver())
  t.is(attempts, 2)
  t.is(subscriber.arrivals.length, 1)
  t.deepEqual(counts, { replied: 1, delivered: 1 })
})

const badReplies: [string, Answer, RegExp][] = [
  ['a body that is no event', { status: 200, body: 'hello' }, /^the answer has a body that is not a CloudEvent$/],
  ['an event without its type', { status: 200, headers: { ...replyHeaders, 'ce-type': [] } }, /^type is missing$/],
  [
    'broken structured mode',
    { status: 200, headers: { 'content-type': 'application/cloudevents+json' }, body: '{' },
    /not a CloudEvent/,
  ],
  [
    'an event that Kafka would never take',
    { status: 200, headers: replyHeaders, body: 'x'.repeat(1_000_000) },
    /^the reply is larger than 900000 bytes$/,
  ],
]
for (const [what, answer, detail] of badReplies) {
  test(`reply – ${what}: a failed delivery that is not repeated`, async (t) => {
    const subscriber = await startSubscriber(t, answer)
    const policy = { retry: 3 }
    const { deliver, counts, produced } = setUp(t, {
      subscriber: subscriber.target(),
      policy,
      deadLetter: dead,
      replyTopic: 'broker',
    })
    t.true(await deliver())
    t.is(subscriber.arrivals.length, 1)
    t.deepEqual(counts, { deadLettered: 1 })
    t.deepEqual(
      produced.map(({ topic }) => topic),
      ['dead-topic'],
    )
    const { attributes } = produced[0]!.message
    t.is(attributes['id'], 'e-1')
    t.is(attributes['knativeerrorcode'], '200')
    t.regex(attributes['knativeerrordata']!, detail)
  })
}

test('reply – a source has no broker: whatever the answer holds, it is delivered', async (t) => {
  const subscriber = await startSubscriber(t, { status: 200, body: 'no event' })
  const { deliver, counts, produced } = setUp(t, { subscriber: subscriber.target() })
  t.true(await deliver())
  t.deepEqual(produced, [])
  t.deepEqual(counts, { delivered: 1 })
})
