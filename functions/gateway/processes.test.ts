/** Gateways as processes of their own, with load, and what goes wrong behind them. */
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { createTestIdentity, type TestIdentity } from '@stampede/shared/testing/identity.ts'
import { startRedis, type OwnRedis } from '@stampede/shared/testing/services.ts'
import { percentileOf } from './choose-upstream.ts'
import { functionNames } from './declared.ts'
import {
  noLimits,
  random,
  spawnGateway,
  startUpstream,
  until,
  type Document,
  type GatewayProcess,
  type TestUpstream,
} from './testing.ts'

/** Two gateways for all of these tests, with a Redis of their own: each test gives them another configuration. */
let redis: OwnRedis
let identity: TestIdentity
let gateways: readonly [GatewayProcess, GatewayProcess]
const nobody = 'http://127.0.0.1:9'

test.before(async () => {
  redis = await startRedis()
  identity = await createTestIdentity()
  const environment = { LIMITS_REDIS_URL: redis.url, ACCESS_CONTROL: 'built-in' }
  gateways = await Promise.all([
    spawnGateway(nobody, noLimits, { identity, environment }),
    spawnGateway(nobody, noLimits, { identity, environment }),
  ])
})
test.after.always(async () => {
  await Promise.all((gateways ?? []).map((gateway) => gateway.stop()))
  await redis?.stop()
})

/** All functions are at `upstream` unless the document says otherwise. */
async function configured(upstream: TestUpstream, document: Document): Promise<GatewayProcess> {
  const everywhere = Object.fromEntries(functionNames.map((name) => [name, { addresses: [{ url: upstream.url }] }]))
  const upstreams: Document['upstreams'] = { ...everywhere }
  for (const [name, settings] of Object.entries(document.upstreams ?? {})) {
    upstreams[name] = { ...everywhere[name], ...settings }
  }
  await Promise.all(gateways.map((gateway) => gateway.configure({ ...document, upstreams })))
  return gateways[0]
}

const live = '/api/v1/seckill/a1/live'
const press = '/api/v1/seckill/a1/purchases'
const pass = { 'stampede-pass': 'v2.k.p.m', 'content-type': 'application/json' }

/** Statuses of `count` requests, so many at a time. */
async function load(count: number, atOnce: number, send: (index: number) => Promise<Response>): Promise<number[]> {
  const statuses: number[] = []
  let next = 0
  const worker = async () => {
    while (next < count) {
      const response = await send(next++)
      await response.arrayBuffer()
      statuses.push(response.status)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return statuses
}

const countOf = (statuses: readonly number[], status: number) => statuses.filter((one) => one === status).length
const presses = (url: string, count: number, atOnce = 20) =>
  load(count, atOnce, () => fetch(url + press, { method: 'POST', headers: pass, body: '{}' }))

test.serial('limits – two gateways together admit exactly the burst', async (t) => {
  const upstream = await startUpstream()
  const document: Document = {
    limits: [
      {
        name: random('flash'),
        by: 'route',
        routes: ['POST /api/v1/seckill/:activityId/purchases'],
        rate: 0.001,
        burst: 300,
      },
    ],
  }
  t.teardown(upstream.stop)
  await configured(upstream, document)
  const statuses = (await Promise.all(gateways.map(({ url }) => presses(url, 400)))).flat()
  t.is(countOf(statuses, 200), 300)
  t.is(countOf(statuses, 429), 500)
  t.is(upstream.requests.length, 300)
  // Most of what was refused was refused from memory, and many requests shared a call.
  const sum = async (name: string, labels = {}) =>
    (await gateways[0].metric(name, labels)) + (await gateways[1].metric(name, labels))
  t.true((await sum('gateway_limited_total', { where: 'memory' })) > 0)
  t.true((await sum('gateway_limits_calls_total')) < (await sum('gateway_limits_decisions_total')))
})

test.serial('limits – while Redis is gone each policy holds, and nothing else fails', async (t) => {
  const upstream = await startUpstream()
  const gateway = await configured(upstream, {
    limits: [
      { name: 'sale', by: 'route', functions: ['seckill'], rate: 0.001, burst: 50, onOutage: 'local' },
      {
        name: 'lists',
        by: 'route',
        routes: ['GET /api/v1/activities'],
        rate: 1_000,
        burst: 1_000,
        onOutage: 'closed',
      },
      { name: 'orders', by: 'route', routes: ['GET /api/v1/orders'], rate: 0.001, burst: 1, onOutage: 'open' },
    ],
  })
  t.teardown(async () => {
    await upstream.stop()
  })
  const staff = { authorization: `Bearer ${gateway.staff}` }
  const user = { authorization: `Bearer ${gateway.user}` }
  t.is((await fetch(`${gateway.url}/api/v1/activities`, { headers: staff })).status, 200)
  t.is(countOf(await presses(gateway.url, 20), 200), 20)
  await redis.kill()
  const closed = await load(20, 5, () => fetch(`${gateway.url}/api/v1/activities`, { headers: staff }))
  t.is(countOf(closed, 503), 20)
  const open = await load(20, 5, () => fetch(`${gateway.url}/api/v1/orders`, { headers: user }))
  t.is(countOf(open, 200), 20)
  // A bucket of each route of the function; what was taken before the outage is remembered.
  const local = await presses(gateway.url, 60)
  t.is(countOf(local, 200), 30)
  t.is(countOf(local, 429), 30)
  t.true((await gateway.metric('gateway_limits_failures_total')) >= 1)
  await redis.restart()
  await until(async () => (await fetch(`${gateway.url}/api/v1/activities`, { headers: staff })).status === 200)
})

test.serial('breaker – opens when an upstream fails, spares it, and closes after probes', async (t) => {
  let failing = true
  const upstream = await startUpstream((_request, response) => {
    response.writeHead(failing ? 500 : 200).end('{}')
  })
  const gateway = await configured(upstream, {
    ...noLimits,
    upstreams: { seckill: { breaker: { minimumRequests: 20, failureShare: 0.5, openMs: 1_000, probes: 2 } } },
  })
  t.teardown(async () => {
    await upstream.stop()
  })
  const get = () => fetch(gateway.url + live)
  const failed = await load(200, 10, get)
  t.is(countOf(failed, 500) + countOf(failed, 503), 200)
  t.true(countOf(failed, 503) > 0)
  const before = upstream.count
  // No more than were under way, and a round of probes if the time was over meanwhile.
  t.true(before < 200, String(before))
  const state = () => gateway.metric('gateway_breaker_state', { upstream: 'seckill' })
  t.true((await state()) > 0)
  const refused = await get()
  if (refused.status === 503) t.true(Number(refused.headers.get('retry-after')) >= 1)
  failing = false
  await until(async () => {
    await (await get()).arrayBuffer()
    return (await state()) === 0
  })
  t.is(countOf(await load(50, 10, get), 200), 50)
  t.true((await gateway.metric('gateway_breaker_transitions_total', { state: 'open' })) >= 1)
  t.true((await gateway.metric('gateway_breaker_transitions_total', { state: 'half-open' })) >= 1)
})

test.serial(
  'overflow – what the first upstream has no hands for goes to the second, and nothing is lost',
  async (t) => {
    const held: (() => void)[] = []
    const first = await startUpstream((_request, response) => void held.push(() => response.end('first')))
    const second = await startUpstream((_request, response) => void response.end('second'))
    const gateway = await configured(first, {
      ...noLimits,
      upstreams: { spare: { addresses: [{ url: second.url }] } },
      functions: { seckill: { overflow: { upstream: 'spare', inFlight: 8 } } },
    })
    t.teardown(async () => {
      await Promise.all([first.stop(), second.stop()])
    })
    const answers = Array.from({ length: 40 }, async () =>
      (await fetch(gateway.url + press, { method: 'POST', headers: pass, body: '{}' })).text(),
    )
    await until(() => held.length === 8 && second.count === 32)
    t.is(await gateway.metric('gateway_in_flight', { upstream: 'seckill' }), 8)
    for (const release of held.splice(0)) release()
    const texts = await Promise.all(answers)
    t.is(texts.filter((text) => text === 'first').length, 8)
    t.is(texts.filter((text) => text === 'second').length, 32)
    t.is(await gateway.metric('gateway_diverted_total', { reason: 'saturated' }), 32)
    // There is room again.
    const again = fetch(gateway.url + press, { method: 'POST', headers: pass, body: '{}' })
    await until(() => held.length === 1)
    held[0]!()
    t.is(await (await again).text(), 'first')
  },
)

test.serial('overflow – a slow upstream is relieved, and still asked now and then', async (t) => {
  let delayMs = 150
  const first = await startUpstream(async (_request, response) => {
    await sleep(delayMs)
    response.end('first')
  })
  const second = await startUpstream((_request, response) => void response.end('second'))
  const gateway = await configured(first, {
    ...noLimits,
    upstreams: { spare: { addresses: [{ url: second.url }] } },
    functions: { seckill: { overflow: { upstream: 'spare', latencyMs: 100 } } },
  })
  t.teardown(async () => {
    await Promise.all([first.stop(), second.stop()])
  })
  await (await fetch(gateway.url + live)).text()
  const before = first.count
  t.is(countOf(await load(50, 1, () => fetch(gateway.url + live)), 200), 50)
  t.is(first.count - before, 5)
  delayMs = 0
  await until(async () => {
    await (await fetch(gateway.url + live)).text()
    return (await gateway.metric('gateway_upstream_latency_ms', { upstream: 'seckill' })) < 100
  })
  const calm = first.count
  await load(10, 1, () => fetch(gateway.url + live))
  t.is(first.count - calm, 10)
})

test.serial('overflow – an open breaker sends everybody to the second', async (t) => {
  const first = await startUpstream((_request, response) => void response.writeHead(500).end())
  const second = await startUpstream((_request, response) => void response.end('second'))
  const gateway = await configured(first, {
    ...noLimits,
    upstreams: {
      spare: { addresses: [{ url: second.url }] },
      seckill: { breaker: { minimumRequests: 10, openMs: 600_000 } },
    },
    functions: { seckill: { overflow: { upstream: 'spare', inFlight: 1_000 } } },
  })
  t.teardown(async () => {
    await Promise.all([first.stop(), second.stop()])
  })
  const statuses = await load(100, 1, () => fetch(gateway.url + live))
  t.is(countOf(statuses, 500), 10)
  t.is(countOf(statuses, 200), 90)
  t.is(first.count, 10)
})

test.serial('canary – by share, the same users in every gateway; by header; by tenant', async (t) => {
  const stable = await startUpstream((_request, response) => void response.end('stable'))
  const next = await startUpstream((_request, response) => void response.end('canary'))
  const tenant = random('canary')
  const document: Document = {
    ...noLimits,
    upstreams: { next: { addresses: [{ url: next.url }] } },
    functions: {
      order: {
        canary: { upstream: 'next', weight: 30, header: { name: 'stampede-canary', value: 'yes' }, tenants: [tenant] },
      },
    },
  }
  t.teardown(() => Promise.all([stable.stop(), next.stop()]))
  await configured(stable, document)
  const ask = async (gateway: number, userId: string, tenantId: string, headers: Record<string, string> = {}) => {
    const token = await identity.token({ tenantId, userId })
    return (
      await fetch(`${gateways[gateway]!.url}/api/v1/orders`, {
        headers: { authorization: `Bearer ${token}`, ...headers },
      })
    ).text()
  }
  let chosen = 0
  for (let index = 0; index < 60; index++) {
    const userId = `user-${index}`
    const expected = percentileOf(`acme/${userId}`) < 30 ? 'canary' : 'stable'
    if (expected === 'canary') chosen++
    t.is(await ask(0, userId, 'acme'), expected)
    t.is(await ask(1, userId, 'acme'), expected)
  }
  t.true(chosen > 5 && chosen < 35, String(chosen))
  const notChosen = Array.from({ length: 60 }, (_, index) => `user-${index}`).find(
    (userId) => percentileOf(`acme/${userId}`) >= 30,
  )!
  t.is(await ask(0, notChosen, 'acme', { 'stampede-canary': 'yes' }), 'canary')
  t.is(await ask(0, notChosen, 'acme', { 'stampede-canary': 'no' }), 'stable')
  for (let index = 0; index < 10; index++) t.is(await ask(1, `user-${index}`, tenant), 'canary')
  // A canary that is dead is nobody's problem.
  await next.stop()
  const picked = Array.from({ length: 60 }, (_, index) => `user-${index}`).find(
    (userId) => percentileOf(`acme/${userId}`) < 30,
  )!
  for (let index = 0; index < 8; index++) t.is(await ask(0, picked, 'acme'), 'stable')
})

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
