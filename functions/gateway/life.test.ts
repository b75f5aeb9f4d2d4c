/** The life of a gateway as a process: configurations come and go while it works, and it ends without cutting anything off. */
import test from 'ava'
import { configured, live, load, startProcesses, stopProcesses } from './processes.fixture.ts'
import { noLimits, startUpstream, until, type Document } from './testing.ts'

test.before(startProcesses)
test.after.always(stopProcesses)

test.serial(
  'configuration – changes under load: no request fails, and those in flight finish under the old one',
  async (t) => {
    const held: (() => void)[] = []
    const old = await startUpstream((request, response) => {
      if (request.url?.includes('hold')) held.push(() => response.end('old'))
      else response.end('old')
    })
    const fresh = await startUpstream((_request, response) => void response.end('fresh'))
    const gateway = await configured(old, noLimits)
    t.teardown(async () => {
      await Promise.all([old.stop(), fresh.stop()])
    })
    const inFlight = Array.from({ length: 5 }, async () => (await fetch(`${gateway.url}${live}?hold`)).text())
    await until(() => held.length === 5)
    const running = { load: true }
    const loaded = (async () => {
      const statuses: number[] = []
      while (running.load) statuses.push(...(await load(20, 4, () => fetch(gateway.url + live))))
      return statuses
    })()
    for (let round = 0; round < 6; round++) {
      await gateway.configure({
        ...noLimits,
        upstreams: { seckill: { addresses: [{ url: round % 2 === 0 ? fresh.url : old.url }] } },
      })
    }
    await gateway.configure({ ...noLimits, upstreams: { seckill: { addresses: [{ url: fresh.url }] } } })
    t.is(await (await fetch(gateway.url + live)).text(), 'fresh')
    for (const release of held) release()
    t.deepEqual(await Promise.all(inFlight), ['old', 'old', 'old', 'old', 'old'])
    running.load = false
    const statuses = await loaded
    t.deepEqual([...new Set(statuses)], [200])
    t.true(fresh.count > 1)
  },
)

test.serial('configuration – one that is not valid is refused, and the one before it goes on', async (t) => {
  const upstream = await startUpstream()
  const gateway = await configured(upstream, noLimits)
  t.teardown(async () => {
    await upstream.stop()
  })
  const rejected = () => gateway.metric('configuration_rejected', { name: 'gateway' })
  for (const wrong of [
    { limits: [{ name: 'x', by: 'moon', rate: 1, burst: 1 }] },
    { limits: [{ name: 'x', by: 'ip', rate: 1, burst: 1, routes: ['GET /api/v1/nowhere'] }] },
    { functions: { seckill: { overflow: { upstream: 'nobody', inFlight: 1 } } } },
    { functions: { nothing: {} } },
    { addresses: { deny: ['10.0.0.0/40'] } },
    { cors: { origins: ['*'], credentials: true } },
    { mispelled: true },
  ]) {
    await gateway.write(wrong as Document)
    await until(async () => (await rejected()) === 1)
    t.is((await fetch(gateway.url + live)).status, 200)
    await configured(upstream, { ...noLimits, accessLog: { share: 0 } })
    t.is(await rejected(), 0)
  }
})

test.serial('draining – a gateway that ends answers what it has, and ends event streams', async (t) => {
  let release: (() => void) | undefined
  const upstream = await startUpstream((request, response) => {
    if (request.headers.accept === 'text/event-stream') {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('event: a\n\n')
    } else release = () => response.end('whole')
  })
  const gateway = await configured(upstream, noLimits)
  t.teardown(async () => {
    await upstream.stop()
  })
  const stream = await fetch(gateway.url + live, { headers: { accept: 'text/event-stream' } })
  const reader = stream.body!.getReader()
  t.is(new TextDecoder().decode((await reader.read()).value), 'event: a\n\n')
  const answer = fetch(gateway.url + live)
  await until(() => release !== undefined)
  gateway.child.kill('SIGTERM')
  t.true((await reader.read()).done)
  release!()
  t.is(await (await answer).text(), 'whole')
  await until(() => gateway.child.exitCode !== null)
  t.is(gateway.child.exitCode, 0)
})
