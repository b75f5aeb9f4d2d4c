import test from 'ava'
import { assignmentChanged, rolesChanged, userErased } from '@stampede/eventing/catalogue/identity-events.ts'
import { eventually, random, startStage, type Stage, type Tenant } from './testing.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage({
    BOOTSTRAP_ADMINISTRATORS: JSON.stringify([{ tenantId: 'platform', userId: 'first-of-all' }]),
  })
})
test.after.always(() => stage?.stop())

const rolesOf = async (tenant: Tenant, userId: string) =>
  (await tenant.ask('GET', `/api/v1/users/${userId}/roles`)).body['roles'] as string[]

test('roles – are made, shown with what they inherit, changed and deleted', async (t) => {
  const tenant = await stage.tenant()
  const made = await tenant.role('clerk', ['orders.read'], ['support'])
  t.like(made, { status: 201, body: { role: 'clerk', builtIn: false, version: 1 } })
  t.true((made.body['allPermissions'] as string[]).includes('users.read'))
  t.is((await tenant.role('clerk', [])).status, 409)
  t.deepEqual(Object.keys((await tenant.rolesInDirectory())!), ['clerk'])

  const changed = await tenant.ask('PUT', '/api/v1/roles/clerk', { version: 1, permissions: ['audit.read'] })
  t.like(changed, { status: 200, body: { version: 2, allPermissions: ['audit.read'], inherits: [] } })
  t.like(await tenant.ask('PUT', '/api/v1/roles/clerk', { version: 1 }), { status: 409, body: { version: 2 } })
  t.deepEqual(await tenant.rolesInDirectory(), { clerk: ['audit.read'] })

  const { body } = await tenant.ask('GET', '/api/v1/roles')
  const names = (body['roles'] as { role: string }[]).map(({ role }) => role)
  t.deepEqual(names, ['administrator', 'operator', 'support', 'auditor', 'clerk'])
  t.is((await tenant.ask('DELETE', '/api/v1/roles/clerk?version=1')).status, 409)
  t.is((await tenant.ask('DELETE', '/api/v1/roles/clerk?version=2')).status, 204)
  t.is((await tenant.ask('GET', '/api/v1/roles/clerk')).status, 404)
  t.deepEqual(await tenant.rolesInDirectory(), {})
})

test('roles – those that are built in cannot be taken, changed or deleted', async (t) => {
  const tenant = await stage.tenant()
  for (const name of ['administrator', 'operator', 'platform-administrator', 'service', 'staff']) {
    t.is((await tenant.role(name, [])).status, 422, name)
    t.is((await tenant.ask('PUT', `/api/v1/roles/${name}`, { version: 1 })).status, 422, name)
    t.is((await tenant.ask('DELETE', `/api/v1/roles/${name}?version=1`)).status, 422, name)
  }
})

test('roles – a cycle is refused however it is made', async (t) => {
  const tenant = await stage.tenant()
  await tenant.role('first', [])
  await tenant.role('second', [], ['first'])
  const answer = await tenant.ask('PUT', '/api/v1/roles/first', { version: 1, inherits: ['second'] })
  t.like(answer, { status: 422, body: { chain: ['first', 'second', 'first'] } })
  // Two changes at once, each of which is right alone.
  await tenant.role('third', [])
  const both = await Promise.all([
    tenant.ask('PUT', '/api/v1/roles/first', { version: 1, inherits: ['third'] }),
    tenant.ask('PUT', '/api/v1/roles/third', { version: 1, inherits: ['first'] }),
  ])
  t.deepEqual(both.map(({ status }) => String(status)).sort(), ['200', '422'])
})

test('roles – one that is in use is not deleted', async (t) => {
  const tenant = await stage.tenant()
  await tenant.role('base', [])
  await tenant.role('derived', [], ['base'])
  t.like(await tenant.ask('DELETE', '/api/v1/roles/base?version=1'), {
    status: 409,
    body: { users: 0, inheritedBy: ['derived'] },
  })
  await tenant.assign('anna', ['derived'])
  t.like(await tenant.ask('DELETE', '/api/v1/roles/derived?version=1'), { status: 409, body: { users: 1 } })
  await tenant.assign('anna', [])
  t.is((await tenant.ask('DELETE', '/api/v1/roles/derived?version=1')).status, 204)
  t.is((await tenant.ask('DELETE', '/api/v1/roles/base?version=1')).status, 204)
})

test('grants – nobody gives or takes what they do not hold', async (t) => {
  const tenant = await stage.tenant()
  await tenant.role('personnel', ['roles.read', 'roles.manage', 'orders.read'])
  await tenant.role('strong', ['audit.read'])
  await tenant.assign('paula', ['personnel'])
  const paula = await tenant.person('paula', ['personnel'])
  const made = await paula.ask('POST', '/api/v1/roles', { role: 'mine', permissions: ['orders.read', 'audit.read'] })
  t.like(made, { status: 403, body: { missing: ['audit.read'] } })
  t.is((await paula.ask('POST', '/api/v1/roles', { role: 'mine', inherits: ['strong'] })).status, 403)
  t.is((await paula.ask('POST', '/api/v1/roles', { role: 'mine', permissions: ['orders.read'] })).status, 201)
  t.is((await paula.ask('PUT', '/api/v1/roles/strong', { version: 1, permissions: [] })).status, 403)
  t.is((await paula.ask('DELETE', '/api/v1/roles/strong?version=1')).status, 403)
  const put = (userId: string, version: number, roles: string[]) =>
    paula.ask('PUT', `/api/v1/users/${userId}/roles`, { version, roles })
  t.is((await put('paula', 1, ['personnel', 'administrator'])).status, 403)
  t.is((await put('chief', 1, [])).status, 403)
  t.is((await put('otto', 0, ['mine'])).status, 200)
  // Her token still says that she is an administrator; the rows say otherwise.
  const pretending = await tenant.person('paula', ['administrator'])
  t.is((await pretending.ask('PUT', '/api/v1/users/otto/roles', { version: 1, roles: ['strong'] })).status, 403)
})

test('assignments – name the version, exist, and show who has a role', async (t) => {
  const tenant = await stage.tenant()
  t.like(await tenant.assign('anna', ['support', 'auditor']), {
    status: 200,
    body: { userId: 'anna', roles: ['auditor', 'support'], version: 1 },
  })
  t.is((await tenant.ask('PUT', '/api/v1/users/anna/roles', { version: 0, roles: [] })).status, 409)
  t.is((await tenant.assign('anna', ['no-such-role'])).status, 422)
  t.is((await tenant.assign('anna', ['platform-administrator'])).status, 422)
  await tenant.assign('bert', ['support'])
  const page = await tenant.ask('GET', '/api/v1/role-assignments?role=support&limit=1')
  t.deepEqual(page.body, { users: ['anna'], nextCursor: 'anna' })
  const next = await tenant.ask('GET', '/api/v1/role-assignments?role=support&limit=1&cursor=anna')
  t.deepEqual(next.body['users'], ['bert'])
  t.deepEqual((await tenant.asService('GET', '/api/v1/role-assignments/anna')).body, {
    userId: 'anna',
    roles: ['auditor', 'support'],
  })
  t.deepEqual((await tenant.asService('GET', '/api/v1/role-assignments/nobody')).body, { userId: 'nobody', roles: [] })
})

test('assignments – the last administrator stays one, also when two leave at once', async (t) => {
  const tenant = await stage.tenant()
  t.is((await tenant.assign('chief', ['support'])).status, 409)
  await tenant.assign('deputy', ['administrator'])
  const deputy = await tenant.person('deputy', ['administrator'])
  const answers = await Promise.all([
    tenant.ask('PUT', '/api/v1/users/deputy/roles', { version: 1, roles: [] }),
    deputy.ask('PUT', '/api/v1/users/chief/roles', { version: 1, roles: [] }),
  ])
  const rolesNow = async (userId: string) =>
    (await tenant.asService('GET', `/api/v1/role-assignments/${userId}`)).body['roles'] as string[]
  const left = [...(await rolesNow('chief')), ...(await rolesNow('deputy'))]
  t.deepEqual(left, ['administrator'], JSON.stringify(answers))
})

test('administrators – made by staff of the platform alone, for tenants that are there', async (t) => {
  const tenant = await stage.tenant()
  const path = `/api/v1/tenants/${tenant.tenantId}/administrators`
  t.is((await tenant.ask('POST', path, { userId: 'friend' })).status, 403)
  t.like(await stage.root.ask('POST', path, { userId: 'friend' }), {
    status: 200,
    body: { userId: 'friend', roles: ['administrator'], version: 1 },
  })
  t.like(await stage.root.ask('POST', path, { userId: 'friend' }), { status: 200, body: { version: 1 } })
  const closed = `t-${random()}`
  await stage.directory.putTenant(closed, { state: 'closed', quota: {}, version: 1 })
  t.is((await stage.root.ask('POST', `/api/v1/tenants/${closed}/administrators`, { userId: 'x' })).status, 409)
})

test("administrators – the platform's first comes from the environment", async (t) => {
  const path = '/api/v1/role-assignments?role=platform-administrator'
  const { body } = await eventually(
    () => stage.root.ask('GET', path),
    ({ body: found }) => (found['users'] as string[]).length > 0,
  )
  t.deepEqual(body['users'], ['first-of-all'])
})

test('changes – hold in the other process for tokens that are still valid', async (t) => {
  const tenant = await stage.tenant()
  await tenant.assign('anna', ['support'])
  // The token says nothing of roles: what it may do comes from the directory.
  const anna = await tenant.person('anna', [])
  const look = () => anna.elsewhere('GET', '/api/v1/roles')
  t.is((await look()).status, 403)
  await tenant.role('reader', [])
  await tenant.assign('anna', ['reader'])
  await tenant.ask('PUT', '/api/v1/roles/reader', { version: 1, permissions: ['roles.read'] })
  await eventually(look, ({ status }) => status === 200)
  await tenant.ask('PUT', '/api/v1/roles/reader', { version: 2, permissions: [] })
  await eventually(look, ({ status }) => status === 403)
  await tenant.assign('anna', ['auditor'])
  await eventually(look, ({ status }) => status === 200)
  await tenant.assign('anna', [])
  await eventually(look, ({ status }) => status === 403)
  t.deepEqual(await tenant.correctionOf('anna'), [])
})

test('changes – are told once each, with who did it', async (t) => {
  const tenant = await stage.tenant()
  await tenant.role('clerk', ['orders.read'])
  await tenant.assign('anna', ['clerk'])
  const told = await eventually(
    async () => stage.sink.events.filter(({ data }) => data['tenantId'] === tenant.tenantId),
    (events) => events.length === 6,
  )
  t.like(
    told.find(({ type }) => type === rolesChanged.type),
    { id: `${tenant.tenantId}:roles:1`, data: { roles: { clerk: ['orders.read'] }, version: 1 } },
  )
  t.deepEqual(
    told.filter(({ type }) => type === assignmentChanged.type).map(({ data }) => [data['userId'], data['roles']]),
    [
      ['chief', ['administrator']],
      ['anna', ['clerk']],
    ],
  )
  const audited = told.filter(({ type }) => type.includes('audit')).map(({ data }) => [data['action'], data['actor']])
  t.deepEqual(audited, [
    ['user.made-administrator', { kind: 'staff', id: 'root', tenantId: 'platform' }],
    ['role.created', { kind: 'staff', id: 'chief', tenantId: tenant.tenantId }],
    ['user.roles-changed', { kind: 'staff', id: 'chief', tenantId: tenant.tenantId }],
  ])
})

test('decisions – of functions and of staff, with the way to them', async (t) => {
  const tenant = await stage.tenant()
  await tenant.role('clerk', [], ['support'])
  await tenant.assign('anna', ['clerk'])
  const question = { userId: 'anna', permission: 'orders.read' }
  const yes = { allowed: true, because: { reason: 'granted', role: 'clerk', through: ['support'] } }
  t.deepEqual((await tenant.asService('POST', '/api/v1/decisions', question)).body, yes)
  t.deepEqual((await tenant.ask('POST', '/api/v1/users/anna/decisions', { permission: 'orders.read' })).body, yes)
  t.like((await tenant.asService('POST', '/api/v1/decisions', { ...question, permission: 'audit.read' })).body, {
    allowed: false,
    because: { reason: 'no-role' },
  })
  t.is((await tenant.asService('POST', '/api/v1/decisions', { ...question, permission: 'anything' })).status, 400)
  await stage.directory.putTenant(tenant.tenantId, { state: 'suspended', quota: {}, version: 2 })
  await eventually(
    async () => (await tenant.asService('POST', '/api/v1/decisions', question)).body,
    ({ because }) => (because as { reason: string }).reason === 'tenant-suspended',
  )
})

test('other tenants – their roles and users are out of reach', async (t) => {
  const [one, other] = [await stage.tenant(), await stage.tenant()]
  await one.role('clerk', ['orders.read'])
  await one.assign('anna', ['clerk'])
  t.is((await other.ask('GET', '/api/v1/roles/clerk')).status, 404)
  t.deepEqual(await rolesOf(other, 'anna'), [])
  t.is((await other.assign('anna', ['clerk'])).status, 422)
  t.is((await other.ask('DELETE', '/api/v1/roles/clerk?version=1')).status, 404)
  t.deepEqual(await rolesOf(one, 'anna'), ['clerk'])
})

test.serial('access directory – changes whose process died before it was written come with their events', async (t) => {
  const tenant = await stage.tenant()
  const { tenantId } = tenant
  await tenant.role('clerk', ['orders.read'])
  await tenant.assign('anna', ['clerk'])
  await stage.redis.hdel(`{access}:tenant:${tenantId}`, 'roles', 'rolesVersion')
  await stage.redis.del(`{access}:corrections:${tenantId}`)
  const at = new Date().toISOString()
  const roles = { definition: rolesChanged, subject: tenantId, data: { tenantId, roles: {}, version: 1, at } }
  const users = { definition: assignmentChanged, subject: 'anna', data: { tenantId, userId: 'anna', roles: [], at } }
  for (let times = 0; times < 2; times++) {
    t.is(await stage.deliver(roles), 204)
    t.is(await stage.deliver(users), 204)
    // As the rows are, whatever an old event says.
    t.deepEqual(await tenant.rolesInDirectory(), { clerk: ['orders.read'] })
    t.deepEqual(await tenant.correctionOf('anna'), ['clerk'])
  }
})

test.serial('access directory – a Redis that forgot everything knows it again after the next pass', async (t) => {
  const tenant = await stage.tenant()
  await tenant.role('clerk', ['orders.read'])
  await tenant.assign('anna', ['clerk'])
  await stage.redis.flushall()
  t.is(await stage.tick(), 204)
  t.deepEqual(await tenant.rolesInDirectory(), { clerk: ['orders.read'] })
  t.deepEqual(await tenant.correctionOf('anna'), ['clerk'])
})

test.serial('erasure – takes all roles, also of the last administrator, and may come twice', async (t) => {
  const tenant = await stage.tenant()
  const at = new Date().toISOString()
  const event = { definition: userErased, subject: 'chief', data: { tenantId: tenant.tenantId, userId: 'chief', at } }
  t.is(await stage.deliver(event), 204)
  t.is(await stage.deliver({ ...event, id: random() }), 204)
  t.deepEqual((await tenant.asService('GET', '/api/v1/role-assignments/chief')).body['roles'], [])
  t.deepEqual(await tenant.correctionOf('chief'), [])
  const saved = await stage.root.ask('POST', `/api/v1/tenants/${tenant.tenantId}/administrators`, { userId: 'heir' })
  t.is(saved.status, 200)
})
