/** What writers may rely on. */
import test from 'ava'
import { Problem } from '../http/problem.ts'
import { connectRedis } from '../redis/connect.ts'
import { startRedis } from '../testing/services.ts'
import { newTenant, person, stage } from './checker.fixture.ts'
import { createAccessDirectory } from './directory.ts'
import { accessKeys } from './keys.ts'

test.serial('directory – an older version never replaces a newer one, whoever is last', async (t) => {
  const { directory, checker } = await stage(t)
  const tenantId = newTenant()
  await directory.putTenant(tenantId, { state: 'suspended', quota: { ordersPerDay: 3 }, version: 7 })
  await Promise.all([
    directory.putTenant(tenantId, { state: 'active', quota: {}, version: 6 }),
    directory.putTenant(tenantId, { state: 'active', quota: {}, version: 7 }),
  ])
  t.deepEqual(await checker().load(tenantId), { state: 'suspended', quota: { ordersPerDay: 3 }, version: 7 })
  await directory.putTenant(tenantId, { state: 'active', quota: {}, version: 10 })
  t.like(await checker().load(tenantId), { state: 'active', version: 10 })
})

test.serial('directory – two writers at once end with the newest of both', async (t) => {
  const { directory, server, checker } = await stage(t)
  const second = connectRedis(server.url)
  t.teardown(() => second.disconnect())
  const other = createAccessDirectory(second)
  const tenantId = newTenant()
  const versions = Array.from({ length: 40 }, (_, index) => index + 1)
  await Promise.all(
    versions.map((version) =>
      (version % 2 ? directory : other).putTenant(tenantId, {
        state: version === 40 ? 'suspended' : 'active',
        quota: {},
        version,
      }),
    ),
  )
  t.like(await checker().load(tenantId), { state: 'suspended', version: 40 })
})

test.serial('directory – each change is one entry of the stream; what changes nothing is none', async (t) => {
  const { directory, redis } = await stage(t)
  const tenantId = newTenant()
  const count = () => redis.xlen(accessKeys.changes)
  const tenant = { state: 'active', quota: {}, version: 1 } as const
  await directory.putTenant(tenantId, tenant)
  await directory.putRoles(tenantId, { roles: { keeper: ['stocks.read'] }, version: 1 })
  const correction = { atMs: Date.now(), blocked: true, roles: ['x'], signedOut: true, revokedSessions: ['s1', 's2'] }
  await directory.correct(tenantId, 'ann', correction)
  await directory.markComplete()
  t.is(await count(), 4)
  await directory.putTenant(tenantId, tenant)
  await directory.putRoles(tenantId, { roles: {}, version: 1 })
  await directory.correct(tenantId, 'ann', correction)
  await directory.correct(tenantId, 'ann', { ...correction, atMs: correction.atMs - 1 })
  await directory.correct(tenantId, 'ann', { atMs: correction.atMs })
  await directory.markComplete()
  t.is(await count(), 4)
  t.is(await redis.get(accessKeys.sequence), '4')
})

test.serial('directory – corrections merge, each with its own time', async (t) => {
  const { directory, checker } = await stage(t)
  const tenantId = newTenant()
  const nowMs = Date.now()
  await directory.putTenant(tenantId, { state: 'active', quota: {}, version: 1 })
  await directory.correct(tenantId, 'ann', { atMs: nowMs - 20_000, signedOut: true })
  await directory.correct(tenantId, 'ann', { atMs: nowMs, roles: ['support'], revokedSessions: ['s1'] })
  const verdict = (more: Parameters<typeof person>[1]) => checker().check(person(tenantId, more), 'orders.read')
  t.is(await verdict({ issuedAtMs: nowMs - 20_001 }), 'signed-out')
  // Issued between the two: signed in again since, but with the roles of before.
  t.is(await verdict({ issuedAtMs: nowMs - 10_000, roles: [] }), 'allowed')
  t.is(await verdict({ issuedAtMs: nowMs - 10_000, sessionId: 's1' }), 'signed-out')
  t.is(await verdict({ issuedAtMs: nowMs - 10_000, sessionId: 's2' }), 'allowed')
  await directory.correct(tenantId, 'ann', { atMs: nowMs - 30_000, roles: [] })
  t.is(await verdict({ issuedAtMs: nowMs - 10_000 }), 'allowed')
  await directory.correct(tenantId, 'ann', { atMs: nowMs + 1, roles: [] })
  t.is(await verdict({ issuedAtMs: nowMs - 10_000, roles: ['administrator'] }), 'forbidden')
})

test.serial('directory – a writer whose clock ran ahead does not keep the next one from correcting', async (t) => {
  const { directory, checker } = await stage(t)
  const tenantId = newTenant()
  await directory.putTenant(tenantId, { state: 'active', quota: {}, version: 1 })
  await directory.correct(tenantId, 'ann', { atMs: Date.now() + 86_400_000, blocked: true })
  t.is(await checker().check(person(tenantId)), 'signed-out')
  await directory.correct(tenantId, 'ann', { atMs: Date.now() + 6_000, blocked: false })
  t.is(await checker().check(person(tenantId)), 'allowed')
})

test.serial('directory – facts that no token can contradict any more go, and their number has a limit', async (t) => {
  const { redis, checker } = await stage(t)
  const directory = createAccessDirectory(redis, { maximumFacts: 3 })
  const tenantId = newTenant()
  const nowMs = Date.now()
  await directory.correct(tenantId, 'old', { atMs: nowMs - 3 * 86_400_000, blocked: true })
  t.is(await redis.hlen(accessKeys.corrections(tenantId)), 0)
  await directory.correct(tenantId, 'ann', { atMs: nowMs, revokedSessions: ['s1', 's2', 's3'] })
  const refused = await t.throwsAsync(directory.correct(tenantId, 'ann', { atMs: nowMs, revokedSessions: ['s4'] }))
  t.like(refused, { problem: 'overloaded', retryable: true })
  // Sessions do not keep staff from blocking people; there is a limit to that, too.
  for (const user of ['cat', 'dan', 'eve']) await directory.correct(tenantId, user, { atMs: nowMs, blocked: true })
  const beyond = await t.throwsAsync(directory.correct(tenantId, 'bob', { atMs: nowMs, blocked: true }))
  t.like(beyond, { problem: 'overloaded', retryable: true })
  // As if their time were over.
  const over = ['ann:session:s1', 'ann:session:s2', 'cat:blocked', 'dan:blocked', 'eve:blocked']
  await redis.zadd(accessKeys.ends(tenantId), ...over.flatMap((field) => [nowMs - 1, field]))
  await directory.correct(tenantId, 'bob', { atMs: nowMs, blocked: true })
  t.deepEqual((await redis.hkeys(accessKeys.corrections(tenantId))).sort(), ['ann:session:s3', 'bob:blocked'])
  t.true((await redis.pttl(accessKeys.corrections(tenantId))) > 160_000_000)
  t.true((await redis.pttl(accessKeys.ends(tenantId))) > 160_000_000)
  await directory.putTenant(tenantId, { state: 'active', quota: {}, version: 1 })
  t.is(await checker().check(person(tenantId, { userId: 'bob' })), 'signed-out')
})

test.serial('directory – refuses what makes no sense, and says when Redis is away', async (t) => {
  const { directory } = await stage(t)
  await t.throwsAsync(async () => directory.correct('acme', 'a b', { atMs: 1, blocked: true }), {
    instanceOf: TypeError,
  })
  await t.throwsAsync(async () => directory.correct('acme', 'ann', { atMs: 0.5, blocked: true }), {
    instanceOf: TypeError,
  })
  await t.throwsAsync(async () => directory.correct('acme', 'ann', { atMs: 1, revokedSessions: ['a\nb:blocked'] }), {
    instanceOf: TypeError,
  })
  await t.throwsAsync(directory.putTenant('acme', { state: 'active', quota: {}, version: 0 }), {
    instanceOf: TypeError,
  })
  const gone = await startRedis()
  const redis = connectRedis(gone.url, { queueWhileDisconnected: false })
  t.teardown(() => redis.disconnect())
  await redis.ping()
  await gone.stop()
  const problem = await t.throwsAsync(createAccessDirectory(redis).markComplete(), { instanceOf: Problem })
  t.like(problem, { problem: 'dependency-unavailable', retryable: true })
})
