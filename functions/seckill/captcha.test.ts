import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { createCaptcha } from './captcha.ts'
import type { CaptchaSettings } from './settings.ts'

/** A provider that answers as a test wants. */
async function provider(t: ExecutionContext, answer: (form: URLSearchParams, response: ServerResponse) => void) {
  const read = async (request: IncomingMessage) => {
    let text = ''
    for await (const chunk of request) text += String(chunk)
    return new URLSearchParams(text)
  }
  const server = createServer((request, response) => void read(request).then((form) => answer(form, response)))
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const reasons: string[] = []
  const captcha = createCaptcha({ fetch, secret: 'the secret', failed: (reason) => void reasons.push(reason) })
  const settings: CaptchaSettings = {
    verifyUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/siteverify`,
    siteKey: 'site',
    provider: 'turnstile',
    timeoutMs: 10_000,
    callsInFlight: 10,
    whenUnavailable: 'refuse',
  }
  const ask = (more: Partial<CaptchaSettings> = {}, address = '192.0.2.1') =>
    captcha('the answer', address, { ...settings, ...more })
  return { ask, reasons, server }
}
const saying = (value: unknown) => (_form: unknown, response: ServerResponse) =>
  void response.end(JSON.stringify(value))

test('captcha – posts secret, response and address, and believes success', async (t) => {
  const forms: unknown[] = []
  const { ask } = await provider(t, (form, response) => {
    forms.push(Object.fromEntries(form))
    response.end('{"success":true,"hostname":"shop.test"}')
  })
  t.is(await ask(), 'met')
  t.is(await ask({ hostname: 'shop.test' }, ''), 'met')
  t.deepEqual(forms, [
    { secret: 'the secret', response: 'the answer', remoteip: '192.0.2.1' },
    { secret: 'the secret', response: 'the answer' },
  ])
})

test('captcha – an answer that is false, used before, or of another page is wrong', async (t) => {
  for (const said of [
    { success: false, 'error-codes': ['invalid-input-response'] },
    { success: false, 'error-codes': ['timeout-or-duplicate'] },
    { success: false },
    { success: true, hostname: 'farm.test' },
    { success: true },
  ]) {
    const { ask, reasons } = await provider(t, saying(said))
    t.is(await ask({ hostname: 'shop.test' }), 'wrong', JSON.stringify(said))
    t.deepEqual(reasons, [])
  }
})

test('captcha – garbage is no answer, whatever it claims', async (t) => {
  for (const answer of [
    saying('success'),
    saying({ success: 'true' }),
    saying({ success: 1 }),
    saying(null),
    saying([{ success: true }]),
    (_form: unknown, response: ServerResponse) => void response.end('<html>success: true</html>'),
    (_form: unknown, response: ServerResponse) => void response.end(''),
    (_form: unknown, response: ServerResponse) => void response.end(`{"success":true,"x":"${'y'.repeat(70_000)}"}`),
    (_form: unknown, response: ServerResponse) => void response.writeHead(500).end('{"success":true}'),
    (_form: unknown, response: ServerResponse) => void response.writeHead(302, { location: '/elsewhere' }).end(),
    (_form: unknown, response: ServerResponse) => void response.destroy(),
  ]) {
    const { ask, reasons } = await provider(t, answer)
    t.is(await ask(), 'unavailable')
    t.is(reasons.length, 1)
  }
})

test('captcha – our own mistake is not the buyer’s', async (t) => {
  const { ask, reasons } = await provider(t, saying({ success: false, 'error-codes': ['invalid-input-secret'] }))
  t.is(await ask(), 'unavailable')
  t.deepEqual(reasons, ['invalid-input-secret'])
})

test('captcha – a provider that hangs is given up, before and within its answer', async (t) => {
  const silent = await provider(t, () => {})
  t.is(await silent.ask({ timeoutMs: 100 }), 'unavailable')
  const stuck = await provider(t, (_form, response) => void response.write('{"success":'))
  t.is(await stuck.ask({ timeoutMs: 100 }), 'unavailable')
})

test('captcha – a provider that is not there is unavailable', async (t) => {
  const { ask, server } = await provider(t, saying({ success: true }))
  await new Promise((resolve) => void server.close(resolve))
  t.is(await ask(), 'unavailable')
})

test('captcha – no more calls are under way than the limit, and each gives its place back', async (t) => {
  const waiting: ServerResponse[] = []
  const { ask } = await provider(t, (_form, response) => {
    waiting.push(response)
    if (waiting.length === 2) for (const one of waiting) one.end('{"success":true}')
  })
  const first = ask({ callsInFlight: 2 })
  const second = ask({ callsInFlight: 2 })
  t.is(await ask({ callsInFlight: 2 }), 'unavailable')
  t.deepEqual(await Promise.all([first, second]), ['met', 'met'])
  const next = ask({ callsInFlight: 2 })
  while (waiting.length < 3) await new Promise((resolve) => setImmediate(resolve))
  waiting[2]!.end('{"success":true}')
  t.is(await next, 'met')
})
