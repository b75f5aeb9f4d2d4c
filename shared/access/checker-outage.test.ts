/** Redis that dies, hangs, forgets; clocks that jump. Whoever cannot know says so. */
import process from 'node:process'
import test from 'ava'
import { followed, newTenant, person, stage, staleMs, until } from './checker.fixture.ts'
import { accessKeys } from './keys.ts'

const active = { state: 'active', quota: {}, version: 1 } as const
const suspended = { state: 'suspended', quota: {}, version: 2 } as const

test.serial('outage – Redis killed: unknown within the time, and right again when it is back', async (t) => {
  const { server, directory, checker } = await stage(t, true)
  const tenantId = newTenant()
  await directory.putTenant(tenantId, active)
  const own = checker()
  await followed(own, tenantId)
  await server.kill('SIGTERM')
  await until(() => own.checkSync(person(tenantId)) === undefined)
  // It was believed until then, and not because a reading had failed.
  t.true(own.ageMs() >= staleMs)
  t.is(await own.check(person(tenantId)), 'unknown')
  await t.throwsAsync(own.load(tenantId), { message: /cannot be known/ })
  t.deepEqual(own.quotaSync(tenantId), {})
  await server.restart()
  await until(() => own.checkSync(person(tenantId)) === 'allowed')
  await directory.putTenant(tenantId, suspended)
  await until(() => own.checkSync(person(tenantId)) === 'tenant-suspended')
})

test.serial('outage – Redis hangs: memory is not believed for longer, and questions end', async (t) => {
  const { server, directory, checker } = await stage(t)
  const tenantId = newTenant()
  await directory.putTenant(tenantId, active)
  const own = checker({ timeoutMs: 1_000 })
  await followed(own, tenantId)
  process.kill(server.pid, 'SIGSTOP')
  try {
    await until(() => own.checkSync(person(tenantId)) === undefined)
    t.is(await own.check(person(tenantId)), 'unknown')
  } finally {
    process.kill(server.pid, 'SIGCONT')
  }
  await until(() => own.checkSync(person(tenantId)) === 'allowed')
})

test.serial('outage – without news of changes Redis is asked directly', async (t) => {
  const { directory, checker, redis } = await stage(t)
  const tenantId = newTenant()
  await directory.putTenant(tenantId, active)
  // The position is what a follower begins with; it never gets one.
  await redis.set(accessKeys.changes, 'not a stream')
  const own = checker({ staleMs: 300 })
  t.is(await own.check(person(tenantId)), 'allowed')
  await redis.hset(accessKeys.tenant(tenantId), 'tenant', JSON.stringify(suspended))
  await until(async () => (await own.check(person(tenantId))) === 'tenant-suspended')
  t.is(own.ageMs(), Number.POSITIVE_INFINITY)
})

test.serial('outage – a Redis that forgot everything takes nothing away, and gets changes across', async (t) => {
  const { server, directory, checker } = await stage(t)
  const [known, other] = [newTenant(), newTenant()]
  for (const tenantId of [known, other]) await directory.putTenant(tenantId, active)
  await directory.putRoles(known, { roles: { keeper: ['stocks.read'] }, version: 4 })
  await directory.correct(known, 'bob', { atMs: Date.now(), blocked: true })
  await directory.markComplete()
  const own = checker()
  await followed(own, known)
  await server.kill()
  await until(() => own.checkSync(person(known)) === undefined)
  await server.restart()
  await until(() => own.checkSync(person(known)) === 'allowed')
  t.is(own.checkSync(person(known, { userId: 'bob' })), 'signed-out')
  t.is(own.checkSync(person(known, { roles: ['keeper'] }), 'stocks.read'), 'allowed')
  // Forgotten, and never in memory here: not "does not exist".
  t.is(await own.check(person(other)), 'unknown')
  t.is(await checker().check(person(known)), 'unknown')
  // An older state that comes first wins nothing.
  await directory.putTenant(known, { state: 'suspended', quota: {}, version: 3 })
  await until(() => own.checkSync(person(known)) === 'tenant-suspended')
  await directory.putTenant(other, active)
  await directory.markComplete()
  t.is(await own.check(person(other)), 'allowed')
  t.is(await own.check(person(newTenant())), 'tenant-suspended')
})

test.serial('outage – a Redis from a backup does not bring an older state back', async (t) => {
  const { server, directory, checker, redis } = await stage(t)
  const tenantId = newTenant()
  await directory.putTenant(tenantId, { state: 'active', quota: {}, version: 1 })
  const own = checker()
  await followed(own, tenantId)
  await directory.putTenant(tenantId, suspended)
  await until(() => own.checkSync(person(tenantId)) === 'tenant-suspended')
  await server.kill()
  await server.restart()
  // A number that is missing makes everything be read again.
  await redis
    .multi()
    .hset(accessKeys.tenant(tenantId), 'tenant', JSON.stringify(active), 'tenantVersion', '1')
    .incr(accessKeys.sequence)
    .exec()
  const changedAtMs = performance.now()
  await until(() => own.ageMs() < performance.now() - changedAtMs)
  t.is(own.checkSync(person(tenantId)), 'tenant-suspended')
  t.is(await checker().check(person(tenantId)), 'allowed')
})

test.serial('outage – memory goes by a clock that does not jump', async (t) => {
  const { server, directory, checker } = await stage(t)
  const tenantId = newTenant()
  await directory.putTenant(tenantId, active)
  let offsetMs = 0
  const own = checker({ monotonicMs: () => performance.now() + offsetMs })
  await followed(own, tenantId)
  const { now } = Date
  t.teardown(() => {
    Date.now = now
  })
  for (const jumpMs of [-3_600_000, 3_600_000]) {
    Date.now = () => now() + jumpMs
    t.is(own.checkSync(person(tenantId, { issuedAtMs: 1 })), 'allowed')
  }
  Date.now = now
  // A process that slept: what it remembers is old, whatever the calendar says.
  await server.kill()
  offsetMs += 10_000
  t.is(own.checkSync(person(tenantId)), undefined)
})

test.serial('outage – no Redis from the start: unknown; and closing ends everything', async (t) => {
  const { server, checker } = await stage(t)
  await server.kill()
  const own = checker({ timeoutMs: 500 })
  t.is(await own.check(person('acme')), 'unknown')
  t.is(await own.check(person('platform', { roles: ['platform-administrator'] })), 'unknown')
  await own.close()
  t.is(await own.check(person('acme')), 'unknown')
})
