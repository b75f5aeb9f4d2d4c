import test from 'ava'
import { tenantChanged } from '@stampede/eventing/catalogue/identity-events.ts'
import { tenantConfig } from './tenant.ts'
import { allowedCommands, nextState, tenantCommands, tenantStates } from './tenant-state.ts'
import { eventually, random, startStage, type Stage } from './testing.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage({
    BOOTSTRAP_TENANTS: JSON.stringify([{ tenantId: 'first', name: 'First', quota: { ordersPerDay: 7 } }]),
  })
})
test.after.always(() => stage?.stop())

const path = (tenantId: string, more = '') => `/api/v1/tenants/${tenantId}${more}`
const suspend = (tenantId: string) => stage.call('POST', path(tenantId, '/suspension'), { reason: 'unpaid' })
const resume = (tenantId: string) => stage.call('POST', path(tenantId, '/resumption'), { reason: 'paid' })
const settingsOf = async (tenantId: string, process = 0) =>
  stage.callAs(await stage.staffOf(tenantId), process)('GET', '/api/v1/tenant/settings')

test('tenant states – closed is final, and the table says all there is', (t) => {
  const table = tenantStates.flatMap((state) =>
    tenantCommands.map((command) => `${state} ${command} ${nextState(state, command) ?? '-'}`),
  )
  t.deepEqual(table, [
    'active suspend suspended',
    'active resume -',
    'active close closed',
    'suspended suspend -',
    'suspended resume active',
    'suspended close closed',
    'closed suspend -',
    'closed resume -',
    'closed close -',
  ])
  t.deepEqual(allowedCommands('suspended'), ['resume', 'close'])
})

test('tenant – is created once, told of, and written into the access directory', async (t) => {
  const tenantId = await stage.create({ requestsPerSecond: 100 })
  t.deepEqual(await stage.directoryOf(tenantId), { state: 'active', quota: { requestsPerSecond: 100 }, version: 1 })
  const again = await stage.call('POST', '/api/v1/tenants', { tenantId, name: 'Other' })
  t.like(again, { status: 409, body: { code: 'conflict' } })
  t.like((await stage.call('GET', path(tenantId))).body, { name: 'Acme', state: 'active', version: 1 })
  const told = await eventually(
    async () => stage.sink.events.filter(({ data }) => data['tenantId'] === tenantId),
    (events) => events.length === 2,
  )
  t.like(
    told.find(({ type }) => type === tenantChanged.type),
    { id: `${tenantId}:1`, data: { change: 'created', state: 'active', version: 1 } },
  )
  t.like(
    told.find(({ type }) => type.includes('audit')),
    {
      data: {
        action: 'tenant.created',
        subject: `tenant/${tenantId}`,
        actor: { kind: 'staff', id: 'root', tenantId: 'platform' },
      },
    },
  )
})

test('tenant – input that makes no sense is refused with pointers', async (t) => {
  for (const [body, pointer] of [
    [{ tenantId: 'a b', name: 'x' }, '/tenantId'],
    [{ tenantId: `t-${random()}`, name: ' ' }, '/name'],
    [{ tenantId: `t-${random()}`, name: 'x', quota: { requestsPerSecond: 0 } }, '/quota/requestsPerSecond'],
    [{ tenantId: `t-${random()}`, name: 'x', settings: { timeZone: 'Mars/Olympus' } }, '/settings/timeZone'],
  ] as const) {
    const { status, body: answer } = await stage.call('POST', '/api/v1/tenants', body)
    t.is(status, 400)
    t.is(answer['errors'][0].pointer, pointer)
  }
})

test('tenant – the list goes on after its cursor and knows states', async (t) => {
  const ids = [await stage.create(), await stage.create(), await stage.create()].sort()
  await suspend(ids[1]!)
  const listed: string[] = []
  let cursor: string | null = null
  do {
    const { body } = await stage.call('GET', `/api/v1/tenants?limit=1${cursor === null ? '' : `&cursor=${cursor}`}`)
    listed.push(...(body['tenants'] as { tenantId: string }[]).map(({ tenantId }) => tenantId))
    cursor = body['nextCursor'] as string | null
  } while (cursor !== null)
  t.deepEqual(
    listed.filter((id) => ids.includes(id)),
    ids,
  )
  t.true(listed.includes('platform') && listed.includes('first'))
  const { body } = await stage.call('GET', '/api/v1/tenants?state=suspended&limit=200')
  const suspended = (body['tenants'] as { tenantId: string }[]).map(({ tenantId }) => tenantId)
  t.true(suspended.includes(ids[1]!) && !suspended.includes(ids[0]!))
})

test('tenant – a suspension holds in the other process, and so does the resumption', async (t) => {
  const tenantId = await stage.create()
  t.is((await settingsOf(tenantId, 1)).status, 200)
  t.like(await suspend(tenantId), { status: 200, body: { state: 'suspended', reason: 'unpaid', version: 2 } })
  const refused = await eventually(
    () => settingsOf(tenantId, 1),
    ({ status }) => status !== 200,
  )
  t.is(refused.status, 403)
  t.is((await resume(tenantId)).status, 200)
  await eventually(
    () => settingsOf(tenantId, 1),
    ({ status }) => status === 200,
  )
  t.pass()
})

test('tenant – a command that the state does not allow says what is allowed', async (t) => {
  const tenantId = await stage.create()
  t.like(await resume(tenantId), { status: 409, body: { state: 'active', allowed: ['suspend', 'close'] } })
  t.is((await stage.call('POST', path(tenantId, '/closure'), { reason: 'over' })).status, 200)
  t.like(await resume(tenantId), { status: 409, body: { state: 'closed', allowed: [] } })
  const { status } = await stage.call('PUT', path(tenantId, '/quota'), { version: 2, quota: {} })
  t.is(status, 409)
  t.is((await suspend('nobody')).status, 404)
  t.is((await stage.call('POST', path(tenantId, '/closure'), {})).status, 400)
})

test("tenant – the platform's own stays active", async (t) => {
  t.is((await suspend('platform')).status, 422)
  t.is((await stage.call('POST', path('platform', '/closure'), { reason: 'x' })).status, 422)
  t.like((await stage.call('GET', path('platform'))).body, { state: 'active', version: 1 })
})

test('quota – of two who saw the same version one is refused', async (t) => {
  const tenantId = await stage.create({ activities: 1 })
  const answers = await Promise.all(
    [5, 6].map((ordersPerDay) => stage.call('PUT', path(tenantId, '/quota'), { version: 1, quota: { ordersPerDay } })),
  )
  t.deepEqual(answers.map(({ status }) => String(status)).sort(), ['200', '409'])
  const won = answers.find(({ status }) => status === 200)!.body
  t.is(answers.find(({ status }) => status === 409)!.body['version'], 2)
  t.deepEqual(await stage.directoryOf(tenantId), { state: 'active', quota: won['quota'], version: 2 })
})

test('settings – staff of a tenant read and change their own alone', async (t) => {
  const tenantId = await stage.create()
  const administrator = stage.callAs(await stage.staffOf(tenantId))
  const settings = { locale: 'de-DE', timeZone: 'Europe/Berlin', currency: 'EUR', custom: { theme: 'dark' } }
  const changed = await administrator('PUT', '/api/v1/tenant/settings', { version: 1, settings })
  t.like(changed, { status: 200, body: { tenantId, settings, version: 2 } })
  t.is((await administrator('PUT', '/api/v1/tenant/settings', { version: 1, settings })).status, 409)
  t.is((await administrator('PUT', path(tenantId, '/quota'), { version: 2, quota: {} })).status, 403)
  t.is((await administrator('GET', '/api/v1/tenants')).status, 403)
  const auditor = stage.callAs(await stage.staffOf(tenantId, ['auditor']))
  t.is((await auditor('GET', '/api/v1/tenant/settings')).status, 200)
  t.is((await auditor('PUT', '/api/v1/tenant/settings', { version: 2, settings })).status, 403)
  const service = stage.callAs(await stage.serviceOf(tenantId))
  t.deepEqual((await service('GET', '/api/v1/tenant-settings')).body, { settings, version: 2 })
})

test('tenants – a role with the right name in another tenant is not staff of the platform', async (t) => {
  const tenantId = await stage.create()
  const pretender = stage.callAs(await stage.staffOf(tenantId, ['platform-administrator']))
  t.is((await pretender('GET', '/api/v1/tenants')).status, 403)
})

test.serial('access directory – a change whose process died before it was written comes with its event', async (t) => {
  const tenantId = await stage.create()
  await stage.sql.query("UPDATE tenant_tenants SET state = 'suspended', version = 2 WHERE tenant_id = ?", [tenantId])
  t.is((await stage.directoryOf(tenantId))?.state, 'active')
  const at = new Date().toISOString()
  const data = { tenantId, change: 'suspended', state: 'suspended', quota: {}, version: 2, at } as const
  const event = { definition: tenantChanged, subject: tenantId, data, id: `${tenantId}:2` }
  t.is(await stage.deliver(event), 204)
  t.like(await stage.directoryOf(tenantId), { state: 'suspended', version: 2 })
  // Late and twice: what is older changes nothing.
  await resume(tenantId)
  t.is(await stage.deliver(event), 204)
  t.like(await stage.directoryOf(tenantId), { state: 'active', version: 3 })
})

test.serial('access directory – a Redis that forgot everything knows it again after the next pass', async (t) => {
  const tenantId = await stage.create({ activities: 3 })
  await stage.redis.flushall()
  t.is(await stage.directoryOf(tenantId), undefined)
  t.is(await stage.tick(), 204)
  t.deepEqual(await stage.directoryOf(tenantId), { state: 'active', quota: { activities: 3 }, version: 1 })
  t.true(await stage.isComplete())
  await eventually(
    () => settingsOf(tenantId, 1),
    ({ status }) => status === 200,
  )
  // From now on it is known that somebody does not exist.
  t.is((await settingsOf(`t-${random()}`, 1)).status, 403)
})

test.serial('bootstrap – makes what is not there and leaves what is', async (t) => {
  t.like((await stage.call('GET', path('first'))).body, { name: 'First', quota: { ordersPerDay: 7 }, version: 1 })
  await stage.call('PUT', path('first', '/quota'), { version: 1, quota: { ordersPerDay: 8 } })
  await stage.restart(1)
  t.is(await stage.tick(), 204)
  t.like((await stage.call('GET', path('first'))).body, { quota: { ordersPerDay: 8 }, version: 2 })
})

test('bootstrap – a list that makes no sense is said at start', (t) => {
  for (const text of ['[{"tenantId":"a b","name":"x"}]', 'first', '{}']) {
    const { error } = tenantConfig.safeParse({ BOOTSTRAP_TENANTS: text })
    t.regex(error?.issues.find(({ path }) => path[0] === 'BOOTSTRAP_TENANTS')?.message ?? '', /^is not/)
  }
})
