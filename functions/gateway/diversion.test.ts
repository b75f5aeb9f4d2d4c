/** What goes elsewhere than to its upstream: breaker, overflow and canary, under load, in processes of their own. */
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { percentileOf } from './choose-upstream.ts'
import {
  configured,
  countOf,
  gateways,
  identity,
  live,
  load,
  pass,
  press,
  startProcesses,
  stopProcesses,
} from './processes.fixture.ts'
import { noLimits, random, startUpstream, until, type Document } from './testing.ts'

test.before(startProcesses)
test.after.always(stopProcesses)

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

test.serial('breaker – an answer that breaks off after its head is a failure', async (t) => {
  const upstream = await startUpstream((_request, response) => {
    response.writeHead(200, { 'content-length': '10' }).write('half', () => response.destroy())
  })
  const gateway = await configured(upstream, {
    ...noLimits,
    upstreams: { seckill: { breaker: { minimumRequests: 20, failureShare: 0.5, openMs: 60_000, probes: 2 } } },
  })
  t.teardown(() => upstream.stop())
  for (let count = 0; count < 20; count++) {
    const answer = await fetch(gateway.url + live)
    t.is(answer.status, 200)
    await t.throwsAsync(answer.text())
  }
  t.is((await fetch(gateway.url + live)).status, 503)
  t.is(upstream.count, 20)
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
