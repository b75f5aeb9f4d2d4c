import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import test, { type ExecutionContext } from 'ava'
import { serviceAddresses, startRedis } from '../testing/services.ts'
import { connectRedis } from './connect.ts'
import { createLock } from './lock.ts'

const redis = connectRedis(serviceAddresses().redisUrl)
// Short leases are for calls on an open connection.
test.before(() => redis.ping().then(() => undefined))
test.after.always(() => redis.disconnect())
const newName = () => `test-${randomBytes(8).toString('hex')}`
const pause = (durationMs: number) => new Promise<void>((resolve) => setTimeout(resolve, durationMs))
const cleanUp = (t: ExecutionContext, name: string) =>
  t.teardown(() => redis.del(`lock:{${name}}`, `lock:{${name}}:fence`))

test('lock – one holder at a time; the next one has a greater fencing token', async (t) => {
  const name = newName()
  cleanUp(t, name)
  const lock = createLock(redis)
  const first = await lock.acquire(name)
  t.is(first!.fencingToken, 1)
  t.is(await lock.acquire(name), undefined)
  t.true(await first!.release())
  t.false(await first!.release())
  const second = await lock.acquire(name)
  t.is(second!.fencingToken, 2)
  t.false(second!.lost.aborted)
  await second!.release()
})

test('lock – waits for its turn; N parallel callers never overlap', async (t) => {
  const name = newName()
  cleanUp(t, name)
  const lock = createLock(redis, { retryDelayMs: 5 })
  let inside = 0
  const tokens: number[] = []
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      await using held = await lock.acquire(name, { waitMs: 20_000 })
      t.is(++inside, 1)
      tokens.push(held!.fencingToken)
      await pause(2)
      inside--
    }),
  )
  t.deepEqual(tokens, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
})

test('lock – renews itself: it is held for longer than its lease', async (t) => {
  const name = newName()
  cleanUp(t, name)
  const lock = createLock(redis, { leaseMs: 3_000, callTimeoutMs: 2_000 })
  const held = await lock.acquire(name)
  await pause(5_000)
  t.false(held!.lost.aborted)
  t.is(await lock.acquire(name), undefined)
  t.true(await held!.release())
})

test('lock – a holder that finds another in its place is told, and its release leaves the other alone', async (t) => {
  const name = newName()
  cleanUp(t, name)
  const lock = createLock(redis, { leaseMs: 3_000, callTimeoutMs: 2_000 })
  const held = await lock.acquire(name)
  await redis.set(`lock:{${name}}`, 'another')
  await once(held!.lost, 'abort')
  t.regex((held!.lost.reason as Error).message, /lost/)
  t.false(await held!.release())
  t.is(await redis.get(`lock:{${name}}`), 'another')
})

test('lock – a dead holder holds it no longer than its lease', async (t) => {
  const name = newName()
  cleanUp(t, name)
  await redis.set(`lock:{${name}}`, 'dead', 'PX', 200)
  const held = await createLock(redis).acquire(name, { waitMs: 10_000 })
  t.is(held!.fencingToken, 1)
  await held!.release()
})

test('lock – stops waiting when told to, and refuses names and leases that make no sense', async (t) => {
  const name = newName()
  cleanUp(t, name)
  const lock = createLock(redis)
  const held = await lock.acquire(name)
  const waiting = lock.acquire(name, { waitMs: 60_000, signal: AbortSignal.timeout(50) })
  await t.throwsAsync(waiting, { name: 'TimeoutError' })
  await held!.release()
  await t.throwsAsync(lock.acquire('{}'), { instanceOf: RangeError })
  t.throws(() => createLock([]), { instanceOf: RangeError })
  t.throws(() => createLock(redis, { leaseMs: 100, renewEveryMs: 100 }), { instanceOf: RangeError })
})

test('lock – is lost at the end of its lease when Redis does not answer', async (t) => {
  const server = await startRedis()
  const own = connectRedis(server.url, { commandTimeoutMs: 500 })
  t.teardown(async () => {
    own.disconnect()
    await server.stop()
  })
  const held = await createLock(own, { leaseMs: 4_000, callTimeoutMs: 3_000 }).acquire('a')
  await server.kill('SIGKILL')
  await once(held!.lost, 'abort')
  await t.throwsAsync(createLock(own, { leaseMs: 4_000, callTimeoutMs: 3_000 }).acquire('b'), {
    instanceOf: AggregateError,
  })
})

test('redlock – a majority of three decides, with one node down, and tokens grow over changing majorities', async (t) => {
  const servers = await Promise.all([startRedis(), startRedis(), startRedis()])
  const nodes = servers.map((server) => connectRedis(server.url, { commandTimeoutMs: 500 }))
  t.teardown(async () => {
    for (const node of nodes) node.disconnect()
    await Promise.all(servers.map((server) => server.stop()))
  })
  const lock = createLock(nodes, { leaseMs: 4_000, callTimeoutMs: 1_500 })
  // The counters differ, as after nodes that were away.
  await nodes[0]!.set('lock:{a}:fence', '41')
  const first = await lock.acquire('a')
  t.is(first!.fencingToken, 42)
  t.is(await lock.acquire('a'), undefined)
  t.true(await first!.release())
  t.deepEqual(await Promise.all(nodes.map((node) => node.get('lock:{a}:fence'))), ['42', '42', '42'])

  await servers[0].kill('SIGKILL')
  const second = await lock.acquire('a', { waitMs: 10_000 })
  t.true(second!.fencingToken > 42)
  await servers[1].kill('SIGKILL')
  await once(second!.lost, 'abort')
  await t.throwsAsync(lock.acquire('a'), { instanceOf: AggregateError })
})
