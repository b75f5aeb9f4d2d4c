/** Answers while they come: nothing is kept back, and whoever goes away or falls silent ends the other side, too. */
import { once } from 'node:events'
import test from 'ava'
import { rawExchange } from '@stampede/shared/testing/raw-http.ts'
import {
  behind,
  document,
  ended,
  gateway,
  live,
  open,
  press,
  pressRoute,
  startPipe,
  stopPipe,
  upstream,
} from './pipe.fixture.ts'
import { until } from './testing.ts'

test.before(startPipe)
test.after.always(stopPipe)

test.serial('streams – each event arrives when it is sent, not at the end', async (t) => {
  let send: ((text: string) => void) | undefined
  const query = behind((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    send = (text) => void response.write(text)
  })
  const { request, answered } = open('GET', live + query, { accept: 'text/event-stream' })
  request.end()
  // The head comes before the first event.
  const response = await answered
  t.is(response.headers['content-type'], 'text/event-stream')
  for (const text of ['event: a\n\n', 'event: b\n\n']) {
    send!(text)
    const [chunk] = (await once(response, 'data')) as [Buffer]
    t.is(chunk.toString(), text)
  }
  request.destroy()
})

test.serial('streams – asked for where there are none, it is an ordinary request', async (t) => {
  const counts = async () => ({
    streams: await gateway.metric('gateway_streams', { upstream: 'seckill' }),
    inFlight: await gateway.metric('gateway_in_flight', { upstream: 'seckill' }),
  })
  for (const [path, expected] of [
    [live, { streams: 1, inFlight: 0 }],
    ['/api/v1/seckill/a1/challenge', { streams: 0, inFlight: 1 }],
  ] as const) {
    let arrived = false
    let end: (() => void) | undefined
    const query = behind((_request, response) => {
      arrived = true
      end = () => void response.writeHead(204).end()
    })
    const { request, answered } = open('GET', path + query, { accept: 'text/event-stream' })
    request.end()
    await until(() => arrived)
    t.deepEqual(await counts(), expected, path)
    end!()
    await ended(await answered)
    await until(async () => (await counts()).streams + (await counts()).inFlight === 0)
  }
})

test.serial('streams – a client that goes away ends the request to the upstream', async (t) => {
  let gone = false
  const query = behind((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('event: a\n\n')
    response.on('close', () => (gone = true))
  })
  const { request, answered } = open('GET', live + query, { accept: 'text/event-stream' })
  request.end()
  await once(await answered, 'data')
  t.false(gone)
  request.destroy()
  await until(() => gone)
  t.pass()
})

test.serial('streams – a client that goes away before the answer ends the request, too', async (t) => {
  let arrived = false
  let gone = false
  const query = behind((_request, response) => {
    arrived = true
    response.on('close', () => (gone = true))
  })
  const { request } = open('GET', live + query)
  request.end()
  await until(() => arrived)
  request.destroy()
  await until(() => gone)
  t.pass()
})

test.serial('streams – an upstream that breaks off is seen as broken off, not as the end', async (t) => {
  const query = behind((_request, response) => {
    response.writeHead(200)
    response.write('half')
    setTimeout(() => response.destroy(), 20)
  })
  const { request, answered } = open('GET', live + query)
  request.end()
  const response = await answered
  await ended(response)
  t.false(response.complete)
  // It is not counted as a client that went away.
  await until(async () => (await gateway.metric('gateway_requests_total', { status: '502' })) === 1)
})

test.serial('streams – silence within an answer has a limit', async (t) => {
  const query = behind((_request, response) => {
    response.writeHead(200)
    response.write('half')
  })
  const { request, answered } = open('GET', live + query)
  request.end()
  const response = await answered
  await ended(response)
  t.false(response.complete)
})

test.serial('streams – an upstream that does not answer is 504', async (t) => {
  const query = behind(() => {})
  const { request, answered } = open('POST', press + query)
  // The route's own time, and it is not sent twice.
  await gateway.configure({ ...document, routes: [...document.routes!, { route: pressRoute, timeoutMs: 200 }] })
  const before = upstream.count
  request.end()
  t.is((await answered).statusCode, 504)
  t.is(upstream.count - before, 1)
  await gateway.configure(document)
})

test.serial('answers – 204 and 304 have no body, and what an upstream says in between stays there', async (t) => {
  const query = behind((request, response) => {
    if (request.headers['if-none-match']) response.writeHead(304, { etag: '"a"' }).end()
    else {
      response.writeEarlyHints({ link: '</a>; rel=preload' })
      response.writeHead(204, { 'x-a': '1' }).end()
    }
  })
  const text = await rawExchange(gateway.url, [
    `GET ${live}${query} HTTP/1.1\r\nhost: shop\r\n\r\nGET ${live}${query} HTTP/1.1\r\nhost: shop\r\nif-none-match: "a"\r\nconnection: close\r\n\r\n`,
  ])
  t.regex(text, /^HTTP\/1\.1 204 [\s\S]*HTTP\/1\.1 304 /)
  t.false(text.includes('103 Early'))
})
