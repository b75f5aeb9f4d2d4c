/** How many activities a tenant may have. With a real access directory, which says so. */
import test from 'ava'
import { createAccessDirectory } from '@stampede/shared/access/directory.ts'
import { measureEveryMs } from '@stampede/shared/access/storage-quota.ts'
import type { TenantQuota } from '@stampede/shared/access/types.ts'
import { alarmsSet, ownAlarms } from '@stampede/shared/testing/alarms.ts'
import { startStage, type Stage } from './testing.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage({ ACCESS_CONTROL: 'directory' })
})
test.after.always(() => stage?.stop())

const draft = (activityId?: string) => ({
  ...(activityId === undefined ? {} : { activityId }),
  name: 'Phones',
  variantId: 'phone',
  stock: 20,
  startsAt: new Date(Date.now() + 3_600_000).toISOString(),
  endsAt: new Date(Date.now() + 7_200_000).toISOString(),
  priceCents: 19_900,
  currency: 'EUR',
})

async function tenantWith(activities: number | undefined) {
  const tenant = await stage.tenant()
  const directory = createAccessDirectory(stage.redis)
  const allow = (count: number | undefined, version: number) =>
    directory.putTenant(tenant.tenantId, { state: 'active', quota: { activities: count }, version })
  await allow(activities, 1)
  return {
    ...tenant,
    allow,
    make: (activityId?: string) => tenant.call('POST', '/api/v1/activities', draft(activityId)),
  }
}

test('activities – of many that are created at once as many pass as the quota allows', async (t) => {
  const tenant = await tenantWith(3)
  const other = await tenantWith(undefined)
  const answers = await Promise.all([...Array.from({ length: 8 }, () => tenant.make()), other.make(), other.make()])
  t.is(answers.slice(0, 8).filter(({ status }) => status === 201).length, 3)
  const refused = answers.slice(0, 8).filter(({ status }) => status !== 201)
  for (const { status, body } of refused) {
    t.is(status, 429)
    t.like(body, { code: 'quota-exceeded', quota: 3, activities: 3 })
  }
  t.true(answers.slice(8).every(({ status }) => status === 201))
})

test('activities – one that is cancelled makes room, and so does a greater quota', async (t) => {
  const tenant = await tenantWith(1)
  const first = await tenant.make()
  t.is((await tenant.make()).status, 429)
  t.is((await tenant.command(first.body['activityId'] as string, 'cancel')).status, 200)
  t.is((await tenant.make('second')).status, 201)
  // The same id again is a conflict, whatever the quota says.
  t.is((await tenant.make('second')).status, 409)
  t.is((await tenant.make()).status, 429)
  await tenant.allow(2, 2)
  for (let tries = 0; (await tenant.make()).status !== 201; tries++) {
    if (tries > 200) throw new Error('the greater quota does not count')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await tenant.allow(0, 3)
  for (let tries = 0; (await tenant.make()).status !== 429; tries++) {
    if (tries > 200) throw new Error('the smaller quota does not count')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  t.pass()
})

test('storage – a tenant over its quota of rows creates nothing more, and what it has goes on', async (t) => {
  const tenant = await tenantWith(undefined)
  const { activityId } = (await tenant.make()).body as { activityId: string }
  const directory = createAccessDirectory(stage.redis)
  const mark = (storageExceeded: boolean, version: number) =>
    directory.putTenant(tenant.tenantId, { state: 'active', quota: {}, version, storageExceeded })
  const until = async (status: number) => {
    for (let tries = 0; ; tries++) {
      const answer = await tenant.make()
      if (answer.status === status) return answer
      if (tries > 200) throw new Error(`still ${answer.status}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  await mark(true, 2)
  t.like((await until(429)).body, { code: 'quota-exceeded' })
  t.is((await tenant.command(activityId, 'cancel')).status, 200)
  await mark(false, 3)
  t.is((await until(201)).status, 201)
})

test('storage – what a tenant with a quota of rows creates is counted within minutes', async (t) => {
  const counts = () => alarmsSet('tenant/measure-storage', stage.redis)
  const create = async (quota: TenantQuota) => {
    const tenant = await stage.tenant()
    await createAccessDirectory(stage.redis).putTenant(tenant.tenantId, { state: 'active', quota, version: 1 })
    t.is((await tenant.call('POST', '/api/v1/activities', draft())).status, 201)
  }
  await create({ activities: 5 })
  t.deepEqual(await counts(), [], 'there is nothing to be counted')
  const beforeMs = Date.now()
  await create({ storageRows: 1_000 })
  const [dueMs = 0] = await ownAlarms('tenant/measure-storage', () => true, stage.redis)
  t.true(dueMs > beforeMs && dueMs <= Date.now() + 2 * measureEveryMs, String(dueMs - beforeMs))
  t.is(dueMs % measureEveryMs, 0, 'all who create in these minutes mean the same moment')
})
