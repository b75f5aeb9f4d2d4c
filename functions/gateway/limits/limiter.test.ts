import test from 'ava'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { freePort, serviceAddresses, startRedis } from '@stampede/shared/testing/services.ts'
import { random, until } from '../testing.ts'
import { bucketLimit, tokensLeft, type Bucket, type LimitTerms } from './bucket.ts'
import { createLimiter, type LimitDecision, type Limiter, type LimiterOptions } from './limiter.ts'

/** So slow that no token comes back while a test runs. */
const slow = 0.001

function start(options: Partial<LimiterOptions> & { url?: string } = {}): Limiter & { calls: number[] } {
  const { url = serviceAddresses().redisUrl, ...rest } = options
  const calls: number[] = []
  const limiter = createLimiter({
    redis: connectRedis(url, { commandTimeoutMs: 30_000, connectTimeoutMs: 30_000, queueWhileDisconnected: false }),
    batch: 64,
    callsInFlight: 16,
    queue: 10_000,
    memory: 1_000,
    called: (requests) => calls.push(requests),
    ...rest,
  })
  return Object.assign(limiter, { calls })
}

const limit = (terms: Partial<LimitTerms> = {}) =>
  bucketLimit({ name: random('limit'), by: 'route', rate: slow, burst: 5, onOutage: 'closed', ...terms })

const take = (limiter: Limiter, ...buckets: Bucket[]): Promise<LimitDecision> =>
  new Promise((resolve) => limiter.take(buckets, resolve))

const kinds = (decisions: readonly LimitDecision[]) => decisions.map(({ kind }) => kind)
const admittedOf = (decisions: readonly LimitDecision[]) => decisions.filter(({ kind }) => kind === 'admitted').length

test('limiter – a full bucket admits its burst, and then says when the next token comes', async (t) => {
  const limiter = start()
  t.teardown(() => limiter.stop())
  const bucket = limiter.bucketOf(limit({ rate: 0.5, burst: 3 }), 'all')
  const decisions: LimitDecision[] = []
  for (let count = 0; count < 4; count++) decisions.push(await take(limiter, bucket))
  t.deepEqual(kinds(decisions), ['admitted', 'admitted', 'admitted', 'limited'])
  const last = decisions[3]!
  t.true(last.kind === 'limited' && last.where === 'redis' && last.waitMicros > 0 && last.waitMicros <= 2_000_000)
  t.is(tokensLeft(bucket, performance.now() * 1_000), 0)
})

test('limiter – what surely has no token costs no call', async (t) => {
  const limiter = start()
  t.teardown(() => limiter.stop())
  const bucket = limiter.bucketOf(limit({ burst: 1 }), 'all')
  await take(limiter, bucket)
  await take(limiter, bucket)
  const { length } = limiter.calls
  const decisions = await Promise.all(Array.from({ length: 1_000 }, () => take(limiter, bucket)))
  t.true(decisions.every((one) => one.kind === 'limited' && one.where === 'memory'))
  t.is(limiter.calls.length, length)
})

test('limiter – tokens come back with time', async (t) => {
  const limiter = start()
  t.teardown(() => limiter.stop())
  const bucket = limiter.bucketOf(limit({ rate: 20, burst: 1 }), 'all')
  t.is((await take(limiter, bucket)).kind, 'admitted')
  for (;;) {
    const decision = await take(limiter, bucket)
    if (decision.kind === 'admitted') break
    t.is(decision.kind, 'limited')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  t.pass()
})

test('limiter – requests of one turn are one call', async (t) => {
  const limiter = start()
  t.teardown(() => limiter.stop())
  const bucket = limiter.bucketOf(limit({ burst: 30 }), 'all')
  const decisions = await Promise.all(Array.from({ length: 100 }, () => take(limiter, bucket)))
  t.is(admittedOf(decisions), 30)
  t.deepEqual(limiter.calls, [64, 36])
})

test('limiter – a request takes a token of each of its buckets or of none', async (t) => {
  const limiter = start()
  t.teardown(() => limiter.stop())
  const route = limiter.bucketOf(limit({ burst: 10 }), 'all')
  const userLimit = limit({ by: 'user', burst: 2 })
  const greedy = limiter.bucketOf(userLimit, 'greedy')
  const decisions = await Promise.all(Array.from({ length: 50 }, () => take(limiter, route, greedy)))
  t.is(admittedOf(decisions), 2)
  t.true(decisions.every((one) => one.kind !== 'limited' || one.bucket === greedy))
  // What was refused for the user has not cost the route anything.
  const others = await Promise.all(
    Array.from({ length: 20 }, (_, index) => take(limiter, route, limiter.bucketOf(userLimit, `user-${index}`))),
  )
  t.is(admittedOf(others), 8)
})

test('limiter – several processes together admit exactly the burst', async (t) => {
  const limiters = [start(), start(), start()]
  t.teardown(() => limiters.forEach((limiter) => limiter.stop()))
  const shared = limit({ burst: 500 })
  const decisions = await Promise.all(
    limiters.flatMap((limiter) => Array.from({ length: 400 }, () => take(limiter, limiter.bucketOf(shared, 'all')))),
  )
  t.is(admittedOf(decisions), 500)
})

test('limiter – fractions of a microsecond do not add up to a token more or less', async (t) => {
  const limiter = start()
  t.teardown(() => limiter.stop())
  // A token each 142,857.142857… µs.
  const bucket = limiter.bucketOf(limit({ rate: 7, burst: 700 }), 'all')
  let admitted = 0
  const began = performance.now()
  for (let round = 0; round < 20; round++) {
    admitted += admittedOf(await Promise.all(Array.from({ length: 50 }, () => take(limiter, bucket))))
  }
  const seconds = (performance.now() - began) / 1_000
  t.true(admitted >= 700 && admitted <= 700 + Math.ceil(seconds * 7), `${admitted} in ${seconds} s`)
})

test('limiter – changed terms hold for the bucket that is there', async (t) => {
  const limiter = start()
  t.teardown(() => limiter.stop())
  const before = limit({ burst: 2 })
  await Promise.all(Array.from({ length: 4 }, () => take(limiter, limiter.bucketOf(before, 'all'))))
  const after = bucketLimit({ name: before.name, by: 'route', rate: slow, burst: 5, onOutage: 'closed' })
  const decisions = await Promise.all(Array.from({ length: 10 }, () => take(limiter, limiter.bucketOf(after, 'all'))))
  t.is(admittedOf(decisions), 3)
})

test('limiter – in a cluster a request is still one call', async (t) => {
  const busPort = await freePort()
  const args = ['--cluster-enabled', 'yes', '--cluster-port', String(busPort), '--cluster-announce-ip', '127.0.0.1']
  const node = await startRedis({ args })
  t.teardown(() => node.stop())
  const admin = connectRedis(node.url)
  t.teardown(() => admin.disconnect())
  await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
  await until(async () => String(await admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok'))
  const limiter = start({ url: node.url.replace('redis://', 'redis-cluster://') })
  t.teardown(() => limiter.stop())
  const route = limiter.bucketOf(limit({ burst: 10 }), 'all')
  const users = limit({ by: 'user', burst: 5 })
  const decisions = await Promise.all(
    Array.from({ length: 40 }, (_, index) => take(limiter, route, limiter.bucketOf(users, `user-${index % 10}`))),
  )
  t.is(admittedOf(decisions), 10)
  t.deepEqual(limiter.calls, [40])
})

test('limiter – when Redis does not answer, each limit decides as its policy says; when it does again, it decides', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  let nowMicros = performance.now() * 1_000
  const limiter = start({ url: redis.url, nowMicros: () => nowMicros })
  t.teardown(() => limiter.stop())
  const closed = limiter.bucketOf(limit({ onOutage: 'closed' }), 'all')
  const open = limiter.bucketOf(limit({ onOutage: 'open', burst: 1 }), 'all')
  const local = limiter.bucketOf(limit({ onOutage: 'local', burst: 3 }), 'all')
  t.deepEqual(kinds([await take(limiter, closed), await take(limiter, local)]), ['admitted', 'admitted'])
  await redis.kill()
  t.is((await take(limiter, closed)).kind, 'unavailable')
  t.true(limiter.isOut())
  const { length } = limiter.calls
  t.deepEqual(kinds(await Promise.all([1, 2, 3].map(() => take(limiter, open)))), ['admitted', 'admitted', 'admitted'])
  // One token was taken while Redis still counted.
  const decisions = await Promise.all([1, 2, 3].map(() => take(limiter, local)))
  t.deepEqual(kinds(decisions), ['admitted', 'admitted', 'limited'])
  t.true(decisions[2]!.kind === 'limited' && decisions[2]!.where === 'outage')
  t.is((await take(limiter, open, closed)).kind, 'unavailable')
  t.is(limiter.calls.length, length, 'Redis is left alone')

  await redis.restart()
  nowMicros += 1_100_000
  for (;;) {
    const decision = await take(limiter, closed)
    if (decision.kind === 'admitted') break
    t.is(decision.kind, 'unavailable')
    nowMicros += 1_100_000
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.false(limiter.isOut())
})

test('limiter – what waits for Redis has a limit', async (t) => {
  const limiter = start({ queue: 10 })
  t.teardown(() => limiter.stop())
  const bucket = limiter.bucketOf(limit({ burst: 100 }), 'all')
  const decisions = await Promise.all(Array.from({ length: 15 }, () => take(limiter, bucket)))
  t.deepEqual(
    kinds(decisions).slice(10),
    Array.from({ length: 5 }, () => 'overloaded'),
  )
  t.is(admittedOf(decisions), 10)
})

test('limiter – keys go away when their bucket is full', async (t) => {
  const redis = connectRedis(serviceAddresses().redisUrl)
  t.teardown(() => redis.disconnect())
  const limiter = start()
  t.teardown(() => limiter.stop())
  const bucket = limiter.bucketOf(limit({ rate: 1_000, burst: 100 }), 'all')
  await take(limiter, bucket)
  const ttlMs = await redis.pttl(bucket.key)
  t.true(ttlMs > 0 && ttlMs <= 1_001, String(ttlMs))
})

test('limiter – a clock of Redis that went back leaves a bucket empty, and no emptier', async (t) => {
  const redis = connectRedis(serviceAddresses().redisUrl)
  t.teardown(() => redis.disconnect())
  const limiter = start()
  t.teardown(() => limiter.stop())
  const bucket = limiter.bucketOf(limit({ rate: 1, burst: 10 }), 'all')
  // As if an hour had been counted ahead.
  const [seconds] = await redis.time()
  await redis.set(bucket.key, String((Number(seconds) - 1_767_225_600 + 3_600) * 1_000_000))
  const decision = await take(limiter, bucket)
  // A second until the next token, and the way to Redis; not an hour.
  t.true(decision.kind === 'limited' && decision.waitMicros <= 2_000_000, JSON.stringify(decision))
})
