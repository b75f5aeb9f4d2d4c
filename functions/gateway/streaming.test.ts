/** Bodies in both directions: nothing is kept back, the slower side sets the pace, and whoever goes away ends the other side, too. */
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { rawExchange } from '@stampede/shared/testing/raw-http.ts'
import {
  noLimits,
  startGateway,
  startUpstream,
  until,
  type Document,
  type TestGateway,
  type TestUpstream,
} from './testing.ts'

const live = '/api/v1/seckill/a1/live'
const press = '/api/v1/seckill/a1/purchases'
const pressRoute = 'POST /api/v1/seckill/:activityId/purchases'
const large = 64 * 1_048_576

/** One gateway; each test says what the upstream does with its own path. */
const handlers = new Map<string, (request: IncomingMessage, response: ServerResponse) => void>()
let upstream: TestUpstream
let gateway: TestGateway
let counter = 0

const document: Document = {
  ...noLimits,
  body: { gatherBytes: 16_384, gatherMs: 1_500, idleMs: 1_500 },
  upstreams: {
    seckill: {
      timeouts: { headersGraceMs: 0, bodyIdleMs: 1_500, streamIdleMs: 10_000, clientIdleMs: 1_500 },
      breaker: { enabled: false },
      retries: { attempts: 1, backoffMs: 0, budgetBurst: 1_000 },
    },
  },
  routes: [
    { route: pressRoute, bodyLimitBytes: large },
    { route: 'GET /api/v1/seckill/:activityId/live', timeoutMs: 10_000 },
  ],
}

test.before(async () => {
  upstream = await startUpstream((request, response) => {
    const id = new URL(request.url ?? '/', 'http://x').searchParams.get('id') ?? ''
    const handle = handlers.get(id)
    if (handle) handle(request, response)
    else response.writeHead(404).end()
  })
  gateway = await startGateway(upstream.url, document)
})
test.after.always(async () => {
  await gateway?.stop()
  await upstream?.stop()
})

function behind(handle: (request: IncomingMessage, response: ServerResponse) => void): string {
  const id = `h${++counter}`
  handlers.set(id, handle)
  return `?id=${id}`
}

/** Whole or not. */
const ended = (response: IncomingMessage) =>
  new Promise<void>((resolve) => {
    response.on('error', () => {})
    response.on('close', resolve)
    response.resume()
  })

function open(method: string, path: string, headers: Record<string, string> = {}) {
  const { hostname, port } = new URL(gateway.url)
  const request = http.request({
    hostname,
    port,
    method,
    path,
    headers: { 'stampede-pass': 'x', ...headers },
    agent: false,
  })
  request.on('error', () => {})
  const answered = new Promise<IncomingMessage>((resolve) => {
    request.on('response', resolve)
  })
  return { request, answered }
}

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

test.serial('bodies – a large one goes through as it is, in both directions', async (t) => {
  const bytes = 8 * 1_048_576
  const query = behind((request, response) => {
    response.writeHead(200)
    request.pipe(response)
  })
  for (const headers of [{ 'content-length': String(bytes) }, { 'transfer-encoding': 'chunked' }] as Record<
    string,
    string
  >[]) {
    const { request, answered } = open('POST', press + query, headers)
    const block = Buffer.alloc(65_536, 'x')
    void (async () => {
      for (let sent = 0; sent < bytes; sent += block.length) if (!request.write(block)) await once(request, 'drain')
      request.end()
    })()
    let received = 0
    const response = await answered
    t.is(response.statusCode, 200)
    for await (const chunk of response) received += (chunk as Buffer).length
    t.is(received, bytes)
  }
})

test.serial('bodies – an upstream that does not read holds back the client', async (t) => {
  let reading: IncomingMessage | undefined
  const query = behind((request, response) => {
    reading = request
    request.on('end', () => response.end('done'))
  })
  const { request, answered } = open('POST', press + query, { 'content-length': String(large) })
  const block = Buffer.alloc(65_536, 'x')
  let sent = 0
  const sending = (async () => {
    for (; sent < large; sent += block.length) if (!request.write(block)) await once(request, 'drain')
    request.end()
  })()
  await until(() => reading !== undefined)
  let before = -1
  // It comes to a stand, far from the end.
  await until(async () => {
    const same = before === sent
    before = sent
    await sleep(200)
    return same && before === sent
  })
  t.true(sent < large / 2, String(sent))
  reading!.resume()
  await sending
  const response = await answered
  response.resume()
  t.is(response.statusCode, 200)
})

test.serial(
  'bodies – a client that does not read holds back the upstream, and is given up after its time',
  async (t) => {
    let written = 0
    let closed = false
    const query = behind((_request, response) => {
      response.writeHead(200)
      const block = Buffer.alloc(65_536, 'x')
      const fill = () => {
        while (!response.destroyed && written < large) {
          written += block.length
          if (!response.write(block)) {
            response.once('drain', fill)
            return
          }
        }
      }
      response.on('close', () => (closed = true))
      fill()
    })
    const { hostname, port } = new URL(gateway.url)
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    socket.pause()
    socket.write(`GET ${live}${query} HTTP/1.1\r\nhost: shop\r\n\r\n`)
    await until(() => closed)
    t.true(written < large, String(written))
    socket.destroy()
  },
)

test.serial('bodies – one that is larger than allowed is refused while it comes', async (t) => {
  let ended = false
  let gone = false
  const query = behind((request) => {
    request.resume()
    request.on('end', () => (ended = true))
    request.on('close', () => (gone = true))
  })
  await gateway.configure({ ...document, routes: [{ route: pressRoute, bodyLimitBytes: 100_000 }] })
  const { request, answered } = open('POST', press + query, { 'transfer-encoding': 'chunked' })
  request.write(Buffer.alloc(90_000))
  await sleep(50)
  request.write(Buffer.alloc(90_000))
  t.is((await answered).statusCode, 413)
  await until(() => gone)
  t.false(ended)
  request.destroy()
  await gateway.configure(document)
})

test.serial('bodies – a small one is taken in before the upstream is asked, and has a time limit', async (t) => {
  let asked = 0
  const query = behind((_request, response) => {
    asked++
    response.end()
  })
  const text = await rawExchange(
    gateway.url,
    [`POST ${press}${query} HTTP/1.1\r\nhost: shop\r\nstampede-pass: x\r\ncontent-length: 100\r\n\r\n`, 'only this'],
    20,
    20_000,
  )
  t.regex(text, /^HTTP\/1\.1 408 /)
  t.is(asked, 0)
})

test.serial('bodies – a large one that stops coming is refused, and the upstream is let go', async (t) => {
  let gone = false
  const query = behind((request) => {
    request.resume()
    request.on('close', () => (gone = true))
  })
  const text = await rawExchange(
    gateway.url,
    [`POST ${press}${query} HTTP/1.1\r\nhost: shop\r\nstampede-pass: x\r\ncontent-length: 50000\r\n\r\n`, 'only this'],
    20,
    20_000,
  )
  t.regex(text, /^HTTP\/1\.1 408 /)
  await until(() => gone)
})

test.serial('bodies – a client that breaks off within its body is not a whole request for anybody', async (t) => {
  let ended = false
  let gone = false
  const query = behind((request) => {
    request.resume()
    request.on('end', () => (ended = true))
    request.on('close', () => (gone = true))
    request.on('error', () => {})
  })
  const { request } = open('POST', press + query, { 'content-length': '50000' })
  request.write(Buffer.alloc(20_000))
  await sleep(100)
  request.destroy()
  await until(() => gone)
  t.false(ended)
})

test.serial('retries – a GET that was broken off is sent once more, a POST is not', async (t) => {
  let times = 0
  const query = behind((_request, response) => {
    times++
    if (times === 1) response.socket?.destroy()
    else response.end('second')
  })
  t.is(await (await fetch(gateway.url + live + query)).text(), 'second')
  t.is(times, 2)
  times = 0
  const { request, answered } = open('POST', press + query, { 'content-type': 'application/json' })
  request.end('{}')
  t.is((await answered).statusCode, 502)
  t.is(times, 1)
})

test.serial('retries – a status that asks for it is tried once more, within the budget', async (t) => {
  let times = 0
  const query = behind((_request, response) => {
    times++
    response.writeHead(502).end('no')
  })
  t.is((await fetch(gateway.url + live + query)).status, 502)
  t.is(times, 2)
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

test.serial('configuration – a request that has not yet reached its upstream finishes under the old one', async (t) => {
  const query = behind((request, response) => {
    request.pipe(response)
  })
  const { request, answered } = open('POST', press + query, { 'content-length': '10' })
  request.write('12345')
  await until(async () => (await gateway.metric('http_hot_requests_total')) > 0)
  // Its connections are others now.
  await gateway.configure({
    ...document,
    upstreams: { seckill: { ...document.upstreams!['seckill'], connections: 7 } },
  })
  request.end('67890')
  const response = await answered
  let text = ''
  for await (const chunk of response) text += String(chunk)
  t.is(text, '1234567890')
  await gateway.configure(document)
})
