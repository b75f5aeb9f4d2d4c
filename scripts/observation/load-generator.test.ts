import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createPasses, parsePassKeys } from '@stampede/shared/identity/pass.ts'
import test from 'ava'
import { createLocalIdentity } from '../sale/identity.ts'
import { startLoad } from './load-handle.ts'
import type { LoadOrders } from './load-orders.ts'
import type { LoadSecond } from './samples.ts'
import { steadyPlan } from './phases.ts'

const keys = `k1:${Buffer.alloc(32, 7).toString('base64')}`

type Press = { host: string | undefined; pass: string | undefined; token: string | undefined; body: string }

async function startShop(answer: (press: Press, turn: number) => { status: number; body: string } | 'cut') {
  const presses: Press[] = []
  const server = createServer((request: IncomingMessage, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      const { host, authorization } = request.headers
      const press = { host, pass: request.headers['stampede-pass']?.toString(), token: authorization, body }
      presses.push(press)
      const given = answer(press, presses.length)
      if (given === 'cut') return request.socket.destroy()
      return response.writeHead(given.status, { 'content-type': 'application/json' }).end(given.body)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    presses,
    connect: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

async function orders(connect: string, more: Partial<LoadOrders> = {}): Promise<LoadOrders> {
  const { signingKey } = await createLocalIdentity()
  return {
    url: 'http://seckill.example.test',
    host: 'seckill.example.test',
    connect,
    activityId: 'sale-1',
    tenantId: 'demo',
    signingKey,
    tokenTerms: { issuer: 'https://issuer.test', audience: 'shop' },
    passKeys: keys,
    buyerPrefix: 'run-1',
    plan: steadyPlan(100, 1),
    connections: 8,
    timeoutMs: 5_000,
    ...more,
  }
}

const accepted = (turn: number) => ({
  status: 202,
  body: JSON.stringify({ orderNumber: `number-${turn}`, status: 'accepted' }),
})

test('load generator – sends exactly what is planned, each press by another buyer with a pass or token that holds', async (t) => {
  const shop = await startShop((_, turn) => accepted(turn))
  t.teardown(shop.close)
  const seconds: LoadSecond[] = []
  const result = await startLoad(await orders(shop.connect), (second) => seconds.push(second)).finished
  t.is(result.requests, 100)
  t.is(result.accepted, 100)
  t.is(result.held.length, 100)
  t.is(shop.presses.length, 100)
  t.deepEqual([...new Set(shop.presses.map(({ host }) => host))], ['seckill.example.test'])
  const passes = createPasses({ keys: parsePassKeys(keys), now: Date.now })
  const withPass = shop.presses.flatMap(({ pass }) => passes.verify(pass ?? '', 'sale-1') ?? [])
  t.is(withPass.length + shop.presses.filter(({ token }) => token?.startsWith('Bearer ey')).length, 100)
  t.is(new Set(result.held.map(({ userId }) => userId)).size, 100)
  t.is(
    seconds.reduce((sum, { sent }) => sum + sent, 0),
    100,
  )
  t.is(
    seconds.reduce((sum, { accepted: count }) => sum + count, 0),
    100,
  )
  t.is(result.phases[0]?.requests, 100)
  t.true(result.phases[0]!.p99Ms! >= result.phases[0]!.p50Ms!)
})

test('load generator – tells refusals, errors of functions, and cut requests apart', async (t) => {
  const shop = await startShop((_, turn) => {
    if (turn % 5 === 1) return { status: 409, body: '{"code":"sold-out"}' }
    if (turn % 5 === 2) return { status: 503, body: '{"code":"overloaded"}' }
    if (turn % 5 === 3) return { status: 503, body: 'upstream connect error' }
    if (turn % 5 === 4) return 'cut'
    return accepted(turn)
  })
  t.teardown(shop.close)
  const result = await startLoad(await orders(shop.connect), () => undefined).finished
  t.deepEqual(result.answers, { 'sold-out': 20, overloaded: 20, 'status-503': 20, 'no-answer': 20 })
  t.is(result.accepted, 20)
  t.is(result.errors, 40)
  t.is(result.noAnswer, 20)
  t.is(result.cutCount, 40)
  t.is(result.cut.length, 40)
  t.deepEqual([...new Set(result.cut.map(({ what }) => what))].sort(), ['no-answer', 'status-503'])
})

test('load generator – slow presses arrive whole and have figures of their own; a stop ends the load early', async (t) => {
  const shop = await startShop((_, turn) => accepted(turn))
  t.teardown(shop.close)
  const load = startLoad(
    await orders(shop.connect, { plan: steadyPlan(50, 600), slow: { every: 2, forMs: 300 } }),
    () => {
      if (shop.presses.length > 20) load.stop()
    },
  )
  const result = await load.finished
  t.is(result.accepted, result.requests)
  t.true(shop.presses.every(({ body }) => body === '{"quantity":1}'))
  const [usual, slow] = ['steady', 'steady (slow)'].map((name) => result.phases.find((phase) => phase.name === name))
  t.true(slow!.p50Ms! >= 300)
  t.true(usual!.requests > 0)
  t.true(result.requests < 600 * 50)
})
