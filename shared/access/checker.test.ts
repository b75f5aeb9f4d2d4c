/** What is answered, and how soon a change counts. Outages are in `checker-outage.test.ts`. */
import test from 'ava'
import { connectRedis } from '../redis/connect.ts'
import { createBuiltInChecker } from './built-in-checker.ts'
import { followed, newTenant, person, stage, until } from './checker.fixture.ts'
import { accessKeys } from './keys.ts'
import type { Permission } from './permissions.ts'

const active = { state: 'active', quota: {}, version: 1 } as const

test.serial('checker – the first question connects; then memory answers', async (t) => {
  const { directory, checker, redis } = await stage(t)
  const tenantId = newTenant()
  await directory.putTenant(tenantId, active)
  const own = checker()
  t.is(own.checkSync(person(tenantId)), undefined)
  t.is(own.quotaSync(tenantId), undefined)
  const names = async () => String(await redis.client('LIST')).match(/name=access[a-z-]*/g) ?? []
  t.deepEqual(await names(), [])
  t.is(await own.check(person(tenantId)), 'allowed')
  t.is(own.checkSync(person(tenantId)), 'allowed')
  t.deepEqual(own.quotaSync(tenantId), {})
  await until(() => own.ageMs() < 500)
  t.deepEqual((await names()).sort(), ['name=access', 'name=access-changes'])
})

test.serial('checker – permissions come from built-in roles and from those of the tenant', async (t) => {
  const { directory, checker } = await stage(t)
  const tenantId = newTenant()
  await directory.putTenant(tenantId, active)
  await directory.putTenant('platform', active)
  const roles: Record<string, readonly Permission[]> = {
    keeper: ['stocks.read', 'stocks.manage', 'tenants.manage'],
    // Not what it is called: built-in roles are the same everywhere.
    auditor: ['users.reveal'],
    constructor: ['orders.read' as const],
  }
  await directory.putRoles(tenantId, { roles, version: 1 })
  await directory.putRoles('platform', { roles: { keeper: ['tenants.manage'] }, version: 1 })
  const own = checker()
  const verdict = (role: string | undefined, permission: Permission, tenant = tenantId) =>
    own.check(person(tenant, { roles: role === undefined ? [] : [role] }), permission)
  t.is(await verdict('keeper', 'stocks.manage'), 'allowed')
  t.is(await verdict('keeper', 'orders.read'), 'forbidden')
  t.is(await verdict(undefined, 'stocks.read'), 'forbidden')
  t.is(await verdict('auditor', 'users.reveal'), 'forbidden')
  t.is(await verdict('auditor', 'audit.read'), 'allowed')
  t.is(await verdict('constructor', 'orders.read'), 'allowed')
  t.is(await verdict('toString', 'orders.read'), 'forbidden')
  t.is(await verdict('administrator', 'roles.manage'), 'allowed')
  // Of the platform alone.
  t.is(await verdict('keeper', 'tenants.manage'), 'forbidden')
  t.is(await verdict('administrator', 'tenants.manage'), 'forbidden')
  t.is(await verdict('platform-administrator', 'tenants.manage'), 'forbidden')
  t.is(await verdict('platform-administrator', 'orders.read'), 'forbidden')
  t.is(await verdict('platform-administrator', 'tenants.manage', 'platform'), 'allowed')
  t.is(await verdict('keeper', 'tenants.manage', 'platform'), 'allowed')
  t.is(await verdict('administrator', 'tenants.manage', 'platform'), 'forbidden')
})

test.serial('checker – services are not asked for their tenant, and hold no permission', async (t) => {
  const { checker } = await stage(t)
  const own = checker()
  const service = person('nowhere', { kind: 'service', roles: ['service'] })
  t.is(own.checkSync(service), 'allowed')
  t.is(await own.check(service), 'allowed')
  t.is(own.checkSync(service, 'orders.read'), 'forbidden')
})

test.serial(
  'checker – a tenant that nobody wrote is unknown until the directory is complete; the platform always is',
  async (t) => {
    const { directory, checker } = await stage(t)
    const tenantId = newTenant()
    const own = checker()
    t.is(await own.check(person(tenantId)), 'unknown')
    await t.throwsAsync(own.load(tenantId), { message: /cannot be known/ })
    t.is(own.checkSync(person(tenantId)), undefined)
    t.is(await own.check(person('platform')), 'allowed')
    await until(() => own.ageMs() < 500)
    await directory.markComplete()
    await until(() => own.checkSync(person(tenantId)) === 'tenant-suspended')
    t.like(await own.load(tenantId), { state: 'closed' })
    await directory.putTenant(tenantId, active)
    await until(() => own.checkSync(person(tenantId)) === 'allowed')
  },
)

test.serial('checker – every kind of change is seen by every process, without asking', async (t) => {
  const { directory, checker } = await stage(t)
  const tenantId = newTenant()
  const nowMs = Date.now()
  await directory.putTenant(tenantId, active)
  const checkers = [checker(), checker()]
  for (const own of checkers) await followed(own, tenantId)
  const all = (verdict: string, permission?: Permission, more: Parameters<typeof person>[1] = {}) =>
    until(() => checkers.every((own) => own.checkSync(person(tenantId, more), permission) === verdict))

  await all('forbidden', 'stocks.read', { roles: ['keeper'] })
  await directory.putRoles(tenantId, { roles: { keeper: ['stocks.read'] }, version: 1 })
  await all('allowed', 'stocks.read', { roles: ['keeper'] })
  await directory.correct(tenantId, 'ann', { atMs: nowMs, roles: [] })
  await all('forbidden', 'stocks.read', { roles: ['keeper'] })
  await directory.correct(tenantId, 'ann', { atMs: nowMs, revokedSessions: ['s1'] })
  await all('signed-out', undefined, { sessionId: 's1' })
  await all('allowed', undefined, { sessionId: 's2' })
  await directory.correct(tenantId, 'ann', { atMs: nowMs, signedOut: true })
  await all('signed-out')
  await all('allowed', undefined, { issuedAtMs: nowMs })
  await directory.correct(tenantId, 'bob', { atMs: nowMs, blocked: true })
  await all('signed-out', undefined, { userId: 'bob', issuedAtMs: nowMs + 60_000 })
  await directory.putTenant(tenantId, { state: 'suspended', quota: { activities: 1 }, version: 2 })
  await all('tenant-suspended', undefined, { userId: 'eve' })
  t.deepEqual(checkers[1]!.quotaSync(tenantId), { activities: 1 })
  await directory.putTenant(tenantId, { state: 'active', quota: {}, version: 3 })
  await directory.correct(tenantId, 'bob', { atMs: nowMs + 1, blocked: false })
  await all('allowed', undefined, { userId: 'bob' })
})

test.serial('checker – a change in the middle of the first reading is not lost', async (t) => {
  const { directory, checker } = await stage(t)
  const other = newTenant()
  await directory.putTenant(other, active)
  const own = checker()
  await followed(own, other)
  for (let round = 0; round < 30; round++) {
    const tenantId = newTenant()
    await directory.putTenant(tenantId, active)
    await Promise.all([
      own.load(tenantId),
      directory.putTenant(tenantId, { state: 'suspended', quota: {}, version: 2 }),
      directory.correct(tenantId, 'bob', { atMs: Date.now(), blocked: true }),
    ])
    await until(() => own.checkSync(person(tenantId)) === 'tenant-suspended')
    await until(() => own.checkSync(person(tenantId, { userId: 'bob' })) === 'signed-out')
  }
  t.pass()
})

test.serial('checker – many corrections of a tenant are all read', async (t) => {
  const { directory, checker } = await stage(t)
  const tenantId = newTenant()
  await directory.putTenant(tenantId, active)
  const users = Array.from({ length: 1_500 }, (_, index) => `user-${index}`)
  const atMs = Date.now()
  await Promise.all(users.map((user) => directory.correct(tenantId, user, { atMs, blocked: true })))
  const own = checker()
  await own.load(tenantId)
  t.deepEqual(
    users.filter((userId) => own.checkSync(person(tenantId, { userId })) !== 'signed-out'),
    [],
  )

  // Corrections that come while others read, in several steps, all that there are.
  const other = newTenant()
  await directory.putTenant(other, active)
  const readers = Array.from({ length: 8 }, () => checker({ staleMs: 30_000 }))
  await Promise.all(readers.map((one) => followed(one, other)))
  const late = Array.from({ length: 60 }, (_, index) => `late-${index}`)
  await Promise.all([
    ...readers.map((one) => one.load(tenantId)),
    ...late.map((user) => directory.correct(tenantId, user, { atMs, blocked: true })),
  ])
  await until(() =>
    readers.every((one) => late.every((userId) => one.checkSync(person(tenantId, { userId })) === 'signed-out')),
  )
})

test.serial('checker – when the stream was cut before it was read, everything is read again', async (t) => {
  const { directory, checker, redis, server } = await stage(t)
  const tenants = [newTenant(), newTenant()]
  for (const tenantId of tenants) await directory.putTenant(tenantId, active)
  const own = checker()
  for (const tenantId of tenants) await followed(own, tenantId)
  // The follower is away while the change comes and is cut off.
  const writer = connectRedis(server.url)
  t.teardown(() => writer.disconnect())
  await writer
    .multi()
    .hset(
      accessKeys.tenant(tenants[0]!),
      'tenant',
      JSON.stringify({ state: 'suspended', quota: {}, version: 2 }),
      'tenantVersion',
      2,
    )
    .incr(accessKeys.sequence)
    .xtrim(accessKeys.changes, 'MAXLEN', 0)
    .exec()
  await until(() => own.checkSync(person(tenants[0]!)) === 'tenant-suspended')
  // And a gap before a change that is still there.
  await redis
    .multi()
    .hset(
      accessKeys.tenant(tenants[1]!),
      'tenant',
      JSON.stringify({ state: 'suspended', quota: {}, version: 2 }),
      'tenantVersion',
      2,
    )
    .incr(accessKeys.sequence)
    .exec()
  await directory.putTenant(newTenant(), active)
  await until(() => own.checkSync(person(tenants[1]!)) === 'tenant-suspended')
  t.pass()
})

test.serial('checker – memory has a limit; a tenant that fell out is read again', async (t) => {
  const { directory, checker } = await stage(t)
  const tenants = Array.from({ length: 4 }, newTenant)
  for (const tenantId of tenants) await directory.putTenant(tenantId, active)
  // Memory is believed for long, so that a busy machine does not decide what is asked here.
  const own = checker({ maximumTenants: 2, staleMs: 30_000 })
  for (const tenantId of tenants) t.is(await own.check(person(tenantId)), 'allowed')
  t.is(own.checkSync(person(tenants[0]!)), undefined)
  t.is(own.checkSync(person(tenants[3]!)), 'allowed')
  await directory.putTenant(tenants[0]!, { state: 'suspended', quota: {}, version: 2 })
  t.is(await own.check(person(tenants[0]!)), 'tenant-suspended')
})

test.serial('checker – what cannot be read allows nothing', async (t) => {
  const { directory, checker, redis } = await stage(t)
  const tenantId = newTenant()
  await redis.hset(accessKeys.tenant(tenantId), 'tenant', '{"state":"active"', 'tenantVersion', '1')
  t.is(await checker().check(person(tenantId)), 'unknown')
  await directory.putTenant(tenantId, { state: 'active', quota: {}, version: 2 })
  await redis.hset(accessKeys.tenant(tenantId), 'roles', '[]', 'rolesVersion', '1')
  await redis.hset(accessKeys.corrections(tenantId), 'ann:roles', `${Date.now()} nonsense`)
  t.is(await checker().check(person(tenantId, { roles: ['administrator'] }), 'orders.read'), 'forbidden')
})

test.serial('built-in – roles that every tenant has, and nothing else', async (t) => {
  const own = createBuiltInChecker()
  t.is(own.checkSync(person('acme', { roles: ['support'] }), 'orders.read'), 'allowed')
  t.is(own.checkSync(person('acme', { roles: ['support'] }), 'activities.manage'), 'forbidden')
  t.is(own.checkSync(person('acme', { roles: ['keeper'] }), 'stocks.read'), 'forbidden')
  t.is(own.checkSync(person('acme', { roles: ['platform-administrator'] }), 'tenants.read'), 'forbidden')
  t.is(await own.check(person('acme')), 'allowed')
  t.is(own.checkSync(person('acme', { kind: 'service' }), 'orders.read'), 'forbidden')
  t.like(await own.load('acme'), { state: 'active' })
})
