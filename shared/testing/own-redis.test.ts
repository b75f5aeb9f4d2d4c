import { existsSync } from 'node:fs'
import test from 'ava'
import { Redis } from 'ioredis'
import { serviceAddresses, startRedis } from './services.ts'

test('addresses – a missing one is named with the next step', (t) => {
  t.throws(() => serviceAddresses({ REDIS_URL: 'redis://x', DATABASE_URL: 'mysql://x' }), {
    message: /KAFKA_BROKERS is not set.*npm test/,
  })
})

test('addresses – brokers are split', (t) => {
  const { kafkaBrokers } = serviceAddresses({ REDIS_URL: 'r', DATABASE_URL: 'd', KAFKA_BROKERS: 'a:1, b:2,' })
  t.deepEqual(kafkaBrokers, ['a:1', 'b:2'])
})

test('own Redis – keeps its data over a kill and a restart when it is append-only', async (t) => {
  const server = await startRedis({ appendonly: true, args: ['--appendfsync', 'always'] })
  const redis = new Redis(server.url, { retryStrategy: () => 20 })
  redis.on('error', () => {})
  await redis.set('kept', 'yes')
  const { pid } = server
  await server.kill('SIGKILL')
  await server.restart()
  t.not(server.pid, pid)
  t.is(await redis.get('kept'), 'yes')
  redis.disconnect()
  await server.stop()
  t.false(existsSync(server.directory))
})

test('own Redis – forgets its data over a restart by default', async (t) => {
  const server = await startRedis()
  const redis = new Redis(server.url, { retryStrategy: () => 20 })
  redis.on('error', () => {})
  await redis.set('kept', 'yes')
  await server.restart()
  t.is(await redis.get('kept'), null)
  redis.disconnect()
  await server.stop()
})

test('own Redis – arguments that it refuses are told', async (t) => {
  await t.throwsAsync(startRedis({ args: ['--no-such-option', '1'] }), { message: /no-such-option/ })
})

test('own Redis – eight at once each have their own, also when two are given one port', async (t) => {
  const servers = await Promise.all(Array.from({ length: 8 }, () => startRedis()))
  t.teardown(() => Promise.all(servers.map((server) => server.stop())))
  t.is(new Set(servers.map(({ port }) => port)).size, servers.length)
})
