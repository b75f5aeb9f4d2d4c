/** Bodies in both directions: the slower side sets the pace, and each has a limit of size and time. */
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { rawExchange } from '@stampede/shared/testing/raw-http.ts'
import { behind, document, gateway, large, live, open, press, pressRoute, startPipe, stopPipe } from './pipe.fixture.ts'
import { until } from './testing.ts'

test.before(startPipe)
test.after.always(stopPipe)

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
