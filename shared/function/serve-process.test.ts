/** How a function ends, in a process of its own: nothing is cut off, and a crash is not a success. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { createTestIdentity } from '../testing/identity.ts'
import { serve } from './serve.ts'
import { createProbe } from './serve.fixture.ts'

const identity = await createTestIdentity()
const child = fileURLToPath(new URL('serve.child.ts', import.meta.url))

async function started(t: ExecutionContext, extra: Record<string, string | undefined> = {}) {
  const environment = {
    PATH: process.env['PATH'],
    HOST: '127.0.0.1',
    PORT: '0',
    PROBE_TELLS: '1',
    ...identity.environment,
    ...extra,
  }
  const running = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', child], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => running.kill('SIGKILL'))
  const said = { out: '', err: '' }
  running.stderr.on('data', (chunk) => (said.err += String(chunk)))
  const exited = once(running, 'exit').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as string | null,
  }))
  const listening = new Promise<string>((resolve) => {
    running.stdout.on('data', (chunk) => {
      said.out += String(chunk)
      const url = /^listening (\S+)$/m.exec(said.out)?.[1]
      if (url) resolve(url)
    })
  })
  const url = await Promise.race([listening, exited.then(() => '')])
  return { url, running, exited, said }
}

test('SIGTERM – a slow request is answered whole, the function is stopped once, and the process ends with 0', async (t) => {
  const { url, running, exited, said } = await started(t, { DRAIN_DELAY_MS: '2500' })
  // One that has sent nothing yet must not hold up the end.
  connect(Number(new URL(url).port), '127.0.0.1').on('error', () => {})
  const slow = Array.from({ length: 20 }, async () =>
    fetch(`${url}/probe/slow?ms=4000`).then(async (response) => [response.status, await response.json()]),
  )
  const stream = fetch(`${url}/probe/stream`).then(async (response) => response.text())
  await inFlight(url, 21)
  running.kill('SIGTERM')
  // Not ready from the first moment, and still answering while proxies find out.
  let readiness = 200
  while (readiness === 200) readiness = (await fetch(`${url}/health/readiness`)).status
  t.is(readiness, 503)
  const late = await fetch(`${url}/probe/items/x1`)
  t.deepEqual([late.status, late.headers.get('connection')], [200, 'close'])
  for (const answer of await Promise.all(slow)) t.deepEqual(answer, [200, { slept: 4_000 }])
  t.is(await stream, 'data: first\n\ndata: last\n\n')
  t.deepEqual(await exited, { code: 0, signal: null })
  t.is(said.out.match(/stopped 1/g)?.length, 1)
  await t.throwsAsync(fetch(`${url}/health/liveness`))
})

test('SIGTERM – what does not end within its time is given up', async (t) => {
  const { url, running, exited, said } = await started(t, { DRAIN_DELAY_MS: '0', DRAIN_TIMEOUT_MS: '300' })
  const endless = fetch(`${url}/probe/slow?ms=60000`)
  const cut = t.throwsAsync(endless)
  await inFlight(url, 1)
  running.kill('SIGTERM')
  t.deepEqual(await exited, { code: 0, signal: null })
  await cut
  t.regex(said.out, /still in flight/)
  t.regex(said.out, /stopped 1/)
})

test('signals – a second one ends the process at once', async (t) => {
  const { url, running, exited } = await started(t, { DRAIN_DELAY_MS: '60000' })
  const cut = t.throwsAsync(fetch(`${url}/probe/slow?ms=60000`))
  await inFlight(url, 1)
  running.kill('SIGINT')
  let readiness = 200
  while (readiness === 200) readiness = (await fetch(`${url}/health/readiness`)).status
  running.kill('SIGINT')
  t.deepEqual(await exited, { code: 1, signal: null })
  await cut
})

for (const [path, kind] of [
  ['/probe/crash', 'uncaught exception'],
  ['/probe/reject', 'unhandled rejection'],
] as const) {
  test(`${kind} – is logged and ends the process with 1`, async (t) => {
    const { url, exited, said } = await started(t)
    await fetch(`${url}${path}`, { method: 'POST' }).catch(() => {})
    t.deepEqual(await exited, { code: 1, signal: null })
    t.regex(said.out, new RegExp(`"level":"fatal".*nobody (caught|awaited) this.*${kind}`))
  })
}

test('configuration – a start without it says everything that is missing and ends with 1', async (t) => {
  const { exited, said } = await started(t, { AUTH_JWKS: undefined, AUTH_ISSUER: '', SERVICE_SECRET: 'hunter2' })
  t.deepEqual(await exited, { code: 1, signal: null })
  t.regex(said.err, /SERVICE_SECRET: has fewer than 32 characters/)
  t.notRegex(said.err, /hunter2|at .*\.ts:/)
})

test('address – a start on a port that is taken says so and ends with 1', async (t) => {
  const { url, stop } = await serve([createProbe().definition], {
    port: 0,
    host: '127.0.0.1',
    environment: { ...identity.environment, LOG_LEVEL: 'silent' },
  })
  t.teardown(stop)
  const { exited, said } = await started(t, { PORT: new URL(url).port })
  t.deepEqual(await exited, { code: 1, signal: null })
  t.regex(said.err, /taken by another process.*Set PORT/s)
})

test('stop – ends connections that wait, twice is once, and streams end when draining begins', async (t) => {
  t.timeout(60_000)
  const { definition, state } = createProbe()
  const { url, stop } = await serve([definition], {
    port: 0,
    host: '127.0.0.1',
    // Longer than this test may take: nothing may wait for the end of the time for draining.
    environment: { ...identity.environment, LOG_LEVEL: 'silent', DRAIN_TIMEOUT_MS: '600000' },
  })
  const stream = await fetch(`${url}/probe/stream`)
  t.false(state.draining.aborted)
  await Promise.all([stop(), stop()])
  t.true(state.draining.aborted)
  t.is(await stream.text(), 'data: first\n\ndata: last\n\n')
  t.is(state.stopped, 1)
})

/** Waits until the host counts so many requests in flight. */
async function inFlight(url: string, wanted: number): Promise<void> {
  let count = -1
  while (count < wanted) {
    const text = await (await fetch(`${url}/metrics`)).text()
    count = Number(/http_requests_in_flight\{kind="requests"\} (\d+)/.exec(text)?.[1] ?? -1)
  }
}
