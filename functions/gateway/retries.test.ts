/** What is sent once more, and what a change of the configuration leaves alone. */
import test from 'ava'
import { behind, document, gateway, live, open, press, startPipe, stopPipe } from './pipe.fixture.ts'
import { until } from './testing.ts'

test.before(startPipe)
test.after.always(stopPipe)

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
