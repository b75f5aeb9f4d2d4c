import { randomBytes } from 'node:crypto'
import test from 'ava'
import { Redis } from 'ioredis'
import { serviceAddresses } from '@stampede/shared/testing/services.ts'
import * as scripts from '@stampede/lua/generated/scripts.ts'
import type { Script } from '@stampede/lua/generated/scripts.ts'
import { bucketKeys, type BucketKeys } from '@stampede/shared/sale/keys.ts'
import { createRandom, type Random } from '../random.ts'
import { createSimulatedRedis, type RedisReply } from './redis.ts'

type Command = [string, ...(string | number)[]]

const fields = ['a', 'b', 'c', 'd']

/** One random command on one of a few keys; `key` adds the unique prefix of the test. */
function randomCommand(random: Random, key: (name: string) => string): Command {
  const hash = key(random.pick(['h1', 'h2']))
  const set = key('s')
  const text = key(random.pick(['t1', 't2']))
  const stream = key(random.pick(['x1', 'x2']))
  const field = () => random.pick(fields)
  const value = () => String(random.between(-5, 50))
  const id = () => `${random.between(1, 40)}-${random.below(3)}`
  const consumer = () => random.pick(['one', 'two'])
  const choices: (() => Command)[] = [
    () => ['HSET', hash, field(), value()],
    () => ['HSET', hash, field(), value(), field(), value()],
    () => ['HSET', hash, field()],
    () => ['HSETNX', hash, field(), value()],
    () => ['HGET', hash, field()],
    () => ['HMGET', hash, ...fields],
    () => ['HINCRBY', hash, field(), value()],
    () => ['HINCRBY', hash, field(), 'x'],
    () => ['HDEL', hash, field(), field()],
    () => ['HLEN', hash],
    () => ['HEXISTS', hash, field()],
    () => ['SADD', set, field(), field()],
    () => ['SREM', set, field()],
    () => ['SISMEMBER', set, field()],
    () => ['SCARD', set],
    () => ['SET', text, value()],
    () => ['SET', text, value(), 'NX'],
    () => ['SET', text, value(), 'XX', 'GET'],
    () => ['GET', text],
    () => ['GET', hash],
    () => ['INCRBY', text, value()],
    () => ['INCR', hash],
    () => ['DEL', random.pick([text, set, stream, hash])],
    () => ['EXISTS', text, hash, stream],
    () => ['TYPE', random.pick([text, set, stream, hash])],
    () => ['EXPIRE', text, 1000],
    () => ['TTL', random.pick([text, hash])],
    () => ['PERSIST', text],
    () => ['XADD', stream, id(), 'p', value()],
    () => ['XADD', stream, 'NOMKSTREAM', id(), 'p', value()],
    () => ['XADD', stream, 'MAXLEN', '3', id(), 'p', value(), 't', 'x'],
    () => ['XLEN', stream],
    () => ['XRANGE', stream, '-', '+'],
    () => ['XRANGE', stream, id(), '+', 'COUNT', 2],
    () => ['XRANGE', stream, `(${id()}`, id()],
    () => ['XREVRANGE', stream, '+', '-', 'COUNT', 2],
    () => ['XDEL', stream, id(), id()],
    () => ['XGROUP', 'CREATE', stream, 'g', '0', 'MKSTREAM'],
    () => ['XGROUP', 'CREATE', stream, 'g', '0'],
    () => ['XREADGROUP', 'GROUP', 'g', consumer(), 'COUNT', 2, 'STREAMS', stream, '>'],
    () => ['XREADGROUP', 'GROUP', 'g', consumer(), 'STREAMS', stream, '0'],
    () => ['XACK', stream, 'g', id(), id()],
    () => ['XAUTOCLAIM', stream, 'g', consumer(), 0, '0-0', 'COUNT', 2],
    () => ['XPENDING', stream, 'g'],
    () => ['UNHEARDOF', stream],
  ]
  return random.pick(choices)()
}

async function onReal(redis: Redis, [name, ...parameters]: Command): Promise<unknown> {
  try {
    return await redis.call(name, ...parameters)
  } catch (error) {
    return `error ${(error as Error).message.replace(/, with args.*/s, '')}`
  }
}

function onEmulation(run: () => RedisReply): unknown {
  try {
    return run()
  } catch (error) {
    return `error ${(error as Error).message}`
  }
}

const connect = () => new Redis(serviceAddresses().redisUrl, { protocol: 2, maxRetriesPerRequest: 1 } as never)

test('simulated Redis – random commands get the replies of the real Redis', async (t) => {
  const redis = connect()
  const emulation = await createSimulatedRedis()
  t.teardown(() => {
    redis.disconnect()
    emulation.close()
  })
  for (let round = 0; round < 30; round++) {
    const random = createRandom(round)
    const prefix = `simulation-${randomBytes(6).toString('hex')}:`
    const used = new Set<string>()
    const key = (name: string) => {
      used.add(prefix + name)
      return prefix + name
    }
    emulation.reset('run')
    for (let i = 0; i < 120; i++) {
      const command = randomCommand(random, key)
      const expected = await onReal(redis, command)
      const actual = onEmulation(() => emulation.command(Date.now(), command[0], command.slice(1)))
      t.deepEqual(actual, expected, `round ${round}, command ${i}: ${command.join(' ')}`)
    }
    await redis.del(...used)
  }
})

test('simulated Redis – a script gets and gives what Redis converts', async (t) => {
  const redis = connect()
  const emulation = await createSimulatedRedis()
  t.teardown(() => {
    redis.disconnect()
    emulation.close()
  })
  emulation.reset('run')
  const key = `simulation-${randomBytes(6).toString('hex')}`
  const scripts = [
    'return 3.99',
    'return -3.99',
    'return true',
    'return false',
    'return nil',
    'return {1, 2, nil, 4}',
    "return {1, false, 'x', {2, true}}",
    "return redis.status_reply('FINE')",
    "return redis.error_reply('ERR broken')",
    "return redis.call('HMGET', KEYS[1], 'a', 'none')",
    "return redis.call('HSET', KEYS[1], 'a', 12, 'b', 1.5)",
    "return redis.call('HGET', KEYS[1], 'b')",
    "return redis.call('HGET', KEYS[1], 'none') == false and 'false' or 'other'",
    "return type(redis.call('SET', KEYS[1] .. 't', 'v')['ok'])",
    "return redis.pcall('HINCRBY', KEYS[1], 'b', 1)['err']",
    "return redis.call('HINCRBY', KEYS[1], 'a', ARGV[1]) + 1",
    'return {#KEYS, #ARGV, ARGV[1]}',
    "return string.format('%d %s', 7, 'x')",
    "return redis.call('DEL', KEYS[1], KEYS[1] .. 't')",
  ]
  for (const script of scripts) {
    const expected = await onReal(redis, ['EVAL', script, 1, key, '5'])
    const actual = onEmulation(() => emulation.command(Date.now(), 'EVAL', [script, 1, key, '5']))
    t.deepEqual(actual, expected, script)
  }
})

/** One random call of one of the sale's scripts; what a script finds depends on the calls before. */
function randomScriptCall(random: Random, keys: BucketKeys): { script: Script; parameters: (string | number)[] } {
  const user = () => random.pick(['ann', 'bob', 'cid'])
  const orderNumber = () => `01ARZ3NDEKTSV4RRFFQ69G5FA${random.below(8)}`
  const lines = (count: number, line: () => string) => Array.from({ length: count }, line).join('\n')
  const count = () => random.between(1, 3)
  const orders = (size: number) => [lines(size, () => `${user()} ${orderNumber()}`), size]
  const key = () => random.pick(['.', 'key-1', 'key-2'])
  const units = () => random.between(1, 2)
  const choices: (() => { script: Script; parameters: (string | number)[] })[] = [
    () => ({
      script: scripts.warmUp,
      parameters: [keys.sale, 6, 6, 2, 0, 9_000_000_000_000, 2, random.pick(['open', 'paused'])],
    }),
    () => {
      const size = count()
      const packed = lines(size, () => `${user()} ${units()} ${orderNumber()} ${key()} .`)
      return { script: scripts.purchase, parameters: [keys.sale, keys.buyers, keys.outbox, packed, size] }
    },
    () => ({ script: scripts.release, parameters: [keys.sale, keys.buyers, ...orders(count())] }),
    () => ({ script: scripts.confirm, parameters: [keys.sale, keys.buyers, ...orders(count())] }),
    () => ({ script: scripts.resend, parameters: [keys.sale, keys.buyers, keys.outbox, ...orders(count())] }),
    () => {
      const size = count()
      const packed = lines(size, () => `${user()} ${random.between(0, 2)} ${orderNumber()} ${key()}`)
      return {
        script: scripts.restore,
        parameters: [keys.sale, keys.buyers, keys.outbox, packed, size, random.pick(['0', '1'])],
      }
    },
    () => ({ script: scripts.setState, parameters: [keys.sale, random.pick(['open', 'paused', 'open'])] }),
    () => ({ script: scripts.snapshot, parameters: [keys.sale, keys.outbox] }),
    () => ({ script: scripts.transferOut, parameters: [keys.sale, keys.transfers, 1, units()] }),
    () => ({
      script: scripts.transferIn,
      parameters: [keys.sale, keys.received, `1:${random.between(1, 3)}`, units()],
    }),
    () => ({ script: scripts.transferDone, parameters: [keys.transfers, random.between(1, 3), 0] }),
    () => ({
      script: scripts.restoreTransfer,
      parameters: [keys.sale, keys.transfers, random.between(1, 6), 1, units()],
    }),
    () => ({ script: scripts.lowerLeft, parameters: [keys.sale, random.between(0, 6)] }),
    () => ({ script: scripts.acknowledgeOutbox, parameters: [keys.outbox, 'relay', '1-1 2-2', random.between(1, 2)] }),
    () => ({ script: scripts.recover, parameters: [keys.sale, keys.transfers, 0, '1', ''] }),
  ]
  return random.pick(choices)()
}

/** Times differ between the two. */
const withoutTimes = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value ?? null).replaceAll(/1[0-9]{12}/g, 'time'))

test('simulated Redis – random calls of the scripts of the sale get the replies and leave the data of the real Redis', async (t) => {
  const redis = connect()
  const emulation = await createSimulatedRedis()
  t.teardown(() => {
    redis.disconnect()
    emulation.close()
  })
  const runId = /run_id:(\w+)/.exec(await redis.info('server'))![1]!
  const seen = new Set<string>()
  for (let round = 0; round < 25; round++) {
    const random = createRandom(1_000 + round)
    const keys = bucketKeys({ tenantId: 'simulation', activityId: randomBytes(6).toString('hex'), bucket: 0 })
    emulation.reset(runId)
    for (let i = 0; i < 60; i++) {
      const { script, parameters } = randomScriptCall(random, keys)
      const command: Command = ['EVAL', script.code, script.numberOfKeys, ...parameters]
      const expected = await onReal(redis, command)
      const actual = onEmulation(() => emulation.command(Date.now(), command[0], command.slice(1)))
      t.deepEqual(
        withoutTimes(actual),
        withoutTimes(expected),
        `round ${round}, call ${i}: ${script.name} ${parameters.join(' ')}`,
      )
      seen.add(`${script.name} ${String(expected).slice(0, 1)}`)
    }
    for (const [name, read] of [
      [keys.sale, 'HGETALL'],
      [keys.buyers, 'HGETALL'],
      [keys.transfers, 'HGETALL'],
      [keys.received, 'HGETALL'],
    ] as const) {
      const sorted = (reply: unknown) => (withoutTimes(reply) as string[]).toSorted()
      t.deepEqual(sorted(emulation.command(Date.now(), read, [name])), sorted(await onReal(redis, [read, name])), name)
    }
    const messages = (reply: unknown) => (reply as [string, string[]][]).map(([, pairs]) => withoutTimes(pairs))
    const range: Command = ['XRANGE', keys.outbox, '-', '+']
    t.deepEqual(messages(emulation.command(Date.now(), range[0], range.slice(1))), messages(await onReal(redis, range)))
    await redis.del(...Object.values(keys))
  }
  // The calls must reach more than the refusals.
  t.true(seen.size > 25, [...seen].join())
})

test('simulated Redis – a restart takes back the last writes, whole commands only', async (t) => {
  const emulation = await createSimulatedRedis()
  emulation.reset('first')
  const run = (nowMs: number, name: string, ...parameters: (string | number)[]) =>
    emulation.command(nowMs, name, parameters)
  run(1000, 'HSET', 'h', 'a', 1)
  run(
    2000,
    'EVAL',
    "redis.call('HSET', KEYS[1], 'a', 2, 'b', 2) redis.call('XADD', KEYS[2], '*', 'p', 'x') return 1",
    2,
    'h',
    'x',
  )
  run(2100, 'XGROUP', 'CREATE', 'x', 'g', '0')
  run(2200, 'XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 'x', '>')
  run(2300, 'HDEL', 'h', 'a')
  t.is(emulation.restart('second', 2, 1500), 2)
  t.is(run(2400, 'HGET', 'h', 'a'), '2')
  t.deepEqual(run(2400, 'XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 'x', '>'), [['x', [['2000-0', ['p', 'x']]]]])
  t.is(emulation.restart('third', 100, 1500), 3)
  t.deepEqual(run(2500, 'HGETALL', 'h'), ['a', '1'])
  t.is(run(2500, 'EXISTS', 'x'), 0)
  t.regex(String(run(2500, 'INFO', 'server')), /run_id:third/)
  emulation.close()
})
