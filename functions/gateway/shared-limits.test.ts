/** Rate limits of several gateways, each a process of its own. */
import test from 'ava'
import {
  configured,
  countOf,
  gateways,
  load,
  presses,
  redis,
  startProcesses,
  stopProcesses,
} from './processes.fixture.ts'
import { random, startUpstream, until, type Document } from './testing.ts'

test.before(startProcesses)
test.after.always(stopProcesses)

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
