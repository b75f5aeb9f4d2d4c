/** Deactivation, erasure, and what other functions learn of them. */
import test from 'ava'
import { couponIssued } from '@stampede/eventing/catalogue/coupon-events.ts'
import { userDeactivated } from '@stampede/eventing/catalogue/identity-events.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { address, startStage, type Stage, type Tenant } from './testing.ts'
import { ownAlarms } from '@stampede/shared/testing/alarms.ts'

let stage: Stage
let redis: ReturnType<typeof connectRedis>
test.before(async () => {
  stage = await startStage()
  redis = connectRedis(stage.redisUrl)
})
test.after.always(async () => {
  redis?.disconnect()
  await stage?.stop()
})

/** `1`: blocked; `0`: not any more; undefined: nothing is said. */
async function blocked({ tenantId }: Tenant, userId: string): Promise<string | undefined> {
  const [key] = (await redis.keys(`*${tenantId}*`)).filter((name) => name.includes('corrections'))
  return key === undefined ? undefined : (await redis.hget(key, `${userId}:blocked`))?.split(' ')[1]
}
async function forget({ tenantId }: Tenant) {
  for (const key of await redis.keys(`*${tenantId}*`)) await redis.del(key)
}
const statePath = (userId: string, change: string) => `/api/v1/users/${userId}/${change}`
const why = { reason: 'asked by phone' }

test('deactivation – by staff and back: the directory, the events and the record follow', async (t) => {
  const tenant = await stage.tenant()
  const ann = await tenant.person()
  t.like(await tenant.asStaff('POST', statePath(ann.userId, 'deactivation'), why), {
    status: 200,
    body: { state: 'deactivated' },
  })
  t.is(await blocked(tenant, ann.userId), '1')
  t.is((await ann.me('PATCH', '', { name: 'x' })).status, 409)
  // Again: nothing more is said.
  t.is((await tenant.asStaff('POST', statePath(ann.userId, 'deactivation'), why)).status, 200)
  t.like(await tenant.asStaff('POST', statePath(ann.userId, 'activation'), why), {
    status: 200,
    body: { state: 'active' },
  })
  t.is(await blocked(tenant, ann.userId), '0')
  t.is((await tenant.said('user.reactivated')).length, 1)
  t.is((await tenant.said('user.deactivated')).length, 1)
  t.like((await tenant.audited('user.deactivated'))[0], { details: why, subject: `user/${ann.userId}` })
  t.is((await tenant.asStaff('POST', statePath('nobody', 'deactivation'), why)).status, 404)
  t.is((await tenant.asStaff('POST', statePath(ann.userId, 'deactivation'), {})).status, 400)
})

test('deactivation – its event brings the state as it is now, however late it comes', async (t) => {
  const tenant = await stage.tenant()
  const ann = await tenant.person()
  const at = new Date().toISOString()
  await tenant.asStaff('POST', statePath(ann.userId, 'deactivation'), why)
  await forget(tenant)
  const event = {
    definition: userDeactivated,
    subject: ann.userId,
    data: { tenantId: tenant.tenantId, userId: ann.userId, at },
  }
  t.is(await stage.deliver(event), 204)
  t.is(await blocked(tenant, ann.userId), '1')
  await tenant.asStaff('POST', statePath(ann.userId, 'activation'), why)
  await forget(tenant)
  t.is(await stage.deliver(event), 204)
  t.is(await blocked(tenant, ann.userId), '0')
})

test('deactivation – the clock writes the directory again', async (t) => {
  const tenant = await stage.tenant()
  const ann = await tenant.person()
  t.like(await ann.me('POST', '/deactivation'), { status: 200, body: { state: 'deactivated' } })
  t.like((await tenant.audited('user.deactivated'))[0], { actor: { kind: 'user', id: ann.userId } })
  await forget(tenant)
  t.is(await stage.tick('write-directory'), 204)
  t.is(await blocked(tenant, ann.userId), '1')
})

test('erasure – destroys the key and all data, and late events bring nothing back', async (t) => {
  const tenant = await stage.tenant()
  const ann = await tenant.person('ann@example.com')
  await ann.me('PATCH', '', { name: 'Ann Lee', locale: 'de' })
  await ann.me('POST', '/addresses', address)
  const coupon = {
    tenantId: tenant.tenantId,
    userId: ann.userId,
    couponId: 'c-1',
    amountCents: 5,
    at: new Date().toISOString(),
  }
  await stage.deliver({ definition: couponIssued, subject: 'c-1', data: coupon })
  t.is((await ann.me('GET')).body['coupons'].issued, 1)

  t.like(await tenant.asStaff('POST', statePath(ann.userId, 'erasure'), why), {
    status: 200,
    body: { state: 'erased', email: null, name: null, locale: null },
  })
  t.is(await blocked(tenant, ann.userId), '1')
  t.is((await tenant.said('user.erased')).length, 1)
  t.like((await tenant.audited('user.erased'))[0], { actor: { kind: 'staff' } })
  t.is(
    await stage.deliver(tenant.registered(ann.userId, 'ann@example.com', new Date(Date.now() + 60_000).toISOString())),
    204,
  )
  t.is(await stage.deliver({ definition: couponIssued, subject: 'c-2', data: { ...coupon, couponId: 'c-2' } }), 204)

  const stored = JSON.parse(await tenant.stored()) as Record<string, unknown>[]
  t.is(stored.length, 1)
  const kept = Object.entries(stored[0]!).filter(([, value]) => value !== null)
  t.deepEqual(kept.map(([column]) => column).sort(), [
    'created_at',
    'state',
    'state_at',
    'tenant_id',
    'updated_at',
    'user_id',
    'version',
  ])
  t.deepEqual((await tenant.asStaff('GET', '/api/v1/users?email=ann@example.com')).body['users'], [])
  t.like(await tenant.asStaff('GET', `/api/v1/users/${ann.userId}?reveal=true`), {
    status: 200,
    body: { state: 'erased', email: null },
  })
  t.is((await tenant.asService('GET', `/api/v1/users/${ann.userId}/contact`)).status, 404)
  t.is((await tenant.asStaff('POST', statePath(ann.userId, 'activation'), why)).status, 409)
  t.is((await tenant.asStaff('POST', statePath(ann.userId, 'deactivation'), why)).status, 409)
  t.is((await tenant.asStaff('POST', statePath(ann.userId, 'erasure'), why)).status, 200)
  t.is((await ann.me('GET')).status, 404)
  t.is((await ann.me('POST', '/addresses', address)).status, 409)
  t.is((await tenant.said('user.erased')).length, 1)
})

test('erasure – asked for by the person: deactivated at once, erased when its time has come, not when it was taken back', async (t) => {
  const tenant = await stage.tenant()
  const [ann, bob] = [await tenant.person(), await tenant.person()]
  for (const person of [ann, bob]) {
    const { status, body } = await person.me('POST', '/erasure')
    t.like({ status, state: body['state'] }, { status: 202, state: 'deactivated' })
    const days = (Date.parse(body['erasureDueAt'] as string) - Date.now()) / 86_400_000
    t.true(days > 13.9 && days < 14.1)
    t.is(await blocked(tenant, person.userId), '1')
  }
  await tenant.asStaff('POST', statePath(bob.userId, 'activation'), why)
  t.is(await stage.tick('erase-due'), 204)
  t.is((await tenant.asStaff('GET', `/api/v1/users/${ann.userId}`)).body['state'], 'deactivated')
  await stage.sql.query(
    'UPDATE user_users SET erasure_due_at = NOW() - INTERVAL 1 DAY WHERE tenant_id = ? AND erasure_due_at IS NOT NULL',
    [tenant.tenantId],
  )
  t.is(await stage.tick('erase-due'), 204)
  t.is((await tenant.asStaff('GET', `/api/v1/users/${ann.userId}`)).body['state'], 'erased')
  t.is((await tenant.asStaff('GET', `/api/v1/users/${bob.userId}`)).body['state'], 'active')
  t.like((await tenant.audited('user.erased'))[0], { actor: { kind: 'system', id: 'user' } })
})

test.serial('erasure – its alarm is set when it is asked for', async (t) => {
  const tenant = await stage.tenant()
  const ann = await tenant.person()
  const { body } = await ann.me('POST', '/erasure')
  const dueAtMs = Date.parse(body['erasureDueAt'] as string)
  const isOwn = (atMs: number) => atMs >= dueAtMs && atMs < dueAtMs + 1_000
  t.is((await ownAlarms('user/erase-due', isOwn, stage.redisUrl)).length, 1)
})
