import test from 'ava'
import { startRedis } from '../testing/services.ts'
import { connectRedis, parseRedisUrl } from './connect.ts'

test('redis url – one server, cluster and sentinel, with their defaults', (t) => {
  t.deepEqual(parseRedisUrl('redis://127.0.0.1:6390'), {
    kind: 'single',
    tls: false,
    nodes: [{ host: '127.0.0.1', port: 6390 }],
    path: '',
  })
  t.deepEqual(parseRedisUrl('rediss://user:p%40ss@redis.example/3'), {
    kind: 'single',
    tls: true,
    nodes: [{ host: 'redis.example', port: 6379 }],
    username: 'user',
    password: 'p@ss',
    path: '3',
  })
  t.deepEqual(parseRedisUrl('redis-cluster://:secret@a:7000,b,[::1]:7002').nodes, [
    { host: 'a', port: 7000 },
    { host: 'b', port: 6379 },
    { host: '::1', port: 7002 },
  ])
  t.like(parseRedisUrl('rediss-sentinel://a,b:1/mymaster'), { kind: 'sentinel', tls: true, path: 'mymaster' })
  t.deepEqual(parseRedisUrl('redis-sentinel://a,b:1/mymaster').nodes, [
    { host: 'a', port: 26_379 },
    { host: 'b', port: 1 },
  ])
})

test('redis url – what is none is refused, without the password in the message', (t) => {
  for (const url of ['', 'http://a:1', 'redis://', 'redis://a:b:c', 'redis-other://a']) {
    t.throws(() => parseRedisUrl(url), { instanceOf: TypeError }, url)
  }
  t.throws(() => connectRedis('redis-sentinel://a:1'), { message: /name of the master/ })
  t.notRegex(t.throws(() => parseRedisUrl('redis://user:hidden@a:b:c')).message, /hidden/)
})

test('connection – is lazy, and replies have the shapes of RESP2', async (t) => {
  const server = await startRedis()
  const redis = connectRedis(server.url)
  t.teardown(async () => {
    redis.disconnect()
    await server.stop()
  })
  t.is(redis.status, 'wait')
  await redis.hset('h', 'a', '1')
  t.deepEqual(await redis.call('HGETALL', 'h'), ['a', '1'])
})

test('connection for the hot path – fails at once while Redis is away, and works again when it is back', async (t) => {
  const server = await startRedis()
  const redis = connectRedis(server.url, { queueWhileDisconnected: false })
  t.teardown(async () => {
    redis.disconnect()
    await server.stop()
  })
  t.is(await redis.set('a', '1'), 'OK')
  // A call that is in flight when the connection breaks must fail too, not be sent again: nobody knows what it did.
  const inFlight = redis.call('DEBUG', 'SLEEP', '30').catch((error: Error) => error)
  await server.kill('SIGKILL')
  t.true((await inFlight) instanceof Error)
  await t.throwsAsync(redis.get('a'))
  await server.restart()
  const deadline = Date.now() + 10_000
  while (redis.status !== 'ready' && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20))
  t.is(await redis.get('a'), null)
})

test('connection that queues – waits for a Redis that comes back', async (t) => {
  const server = await startRedis({ appendonly: true })
  const redis = connectRedis(server.url)
  t.teardown(async () => {
    redis.disconnect()
    await server.stop()
  })
  await redis.set('a', '1')
  await server.kill('SIGTERM')
  const waiting = redis.get('a')
  await server.restart()
  t.is(await waiting, '1')
})
