/** auth with the access directory: what it decides, and what decides about it. */
import test from 'ava'
import { createAccessDirectory } from '@stampede/shared/access/directory.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { random, startStage } from './testing.ts'

const stage = await startStage({ ACCESS_CONTROL: 'directory' })
const redis = connectRedis(stage.redisUrl)
const directory = createAccessDirectory(redis)
test.before(() => directory.markComplete())
test.after.always(async () => {
  redis.disconnect()
  await stage.stop()
})
let version = 0
const put = (tenantId: string, state: 'active' | 'suspended' | 'closed') =>
  directory.putTenant(tenantId, { state, quota: {}, version: (version += 1) })

const eventually = async <T>(look: () => Promise<T>, wanted: T) => {
  const limitMs = performance.now() + 10_000
  for (;;) {
    const seen = await look()
    if (seen === wanted || performance.now() > limitMs) return seen
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

test('access – no tokens in a tenant that is suspended, closed or unknown, by whatever way', async (t) => {
  const tenant = stage.tenant()
  const { tenantId, inTenant } = tenant
  t.is((await inTenant('codes', { contact: tenant.person(), purpose: 'register' })).status, 403, 'unknown')
  await put(tenantId, 'active')
  await eventually(async () => (await inTenant('codes', { contact: tenant.person(), purpose: 'register' })).status, 202)
  const { contact, password, tokens } = await tenant.registered()
  const openId = () => fetch(`${stage.url}/oidc/${tenantId}/.well-known/openid-configuration`)
  t.is((await openId()).status, 200)
  for (const state of ['suspended', 'closed'] as const) {
    await put(tenantId, state)
    t.is(await eventually(async () => (await inTenant('sessions', { contact, password })).status, 403), 403)
    t.is((await inTenant('tokens', { refreshToken: tokens['refreshToken'] })).status, 403)
    t.is((await inTenant('codes', { contact, purpose: 'login' })).status, 403)
    t.is((await inTenant('registrations', { contact, code: '000000' })).status, 403)
    t.is((await inTenant('password-resets', { contact, code: '000000', password: 'another one' })).status, 403)
    t.is((await openId()).status, 403)
    t.is(await stage.status('GET', '/api/v1/sessions', tokens['accessToken']), 403)
  }
  await put(tenantId, 'active')
  await eventually(async () => (await openId()).status, 200)
  t.is((await inTenant('tokens', { refreshToken: tokens['refreshToken'] })).status, 201, 'nothing was used up')
})

test('access – the token of an ended session is refused, others of the person are not', async (t) => {
  const tenant = stage.tenant()
  await put(tenant.tenantId, 'active')
  await eventually(
    async () => (await tenant.inTenant('codes', { contact: tenant.person(), purpose: 'login' })).status,
    202,
  )
  const { contact, password, tokens } = await tenant.registered()
  const second = (await tenant.inTenant('sessions', { contact, password })).body
  const ask = (token: string) => stage.status('GET', '/api/v1/sessions', token)
  t.is(await ask(tokens['accessToken']), 200)
  t.is(await stage.status('DELETE', `/api/v1/sessions/${tokens['sessionId']}`, second['accessToken']), 204)
  t.is(await eventually(() => ask(tokens['accessToken']), 401), 401)
  t.is(await ask(second['accessToken']), 200)
  t.is(await stage.status('DELETE', '/api/v1/sessions', second['accessToken']), 204)
  t.is(await eventually(() => ask(second['accessToken']), 401), 401)
  const again = await tenant.inTenant('sessions', { contact, password })
  t.is(again.status, 201)
  t.is(await ask(again.body['accessToken']), 200, 'who signs in again right away is in')
})

test('access – who is blocked gets no tokens, although auth was not told yet', async (t) => {
  const tenant = stage.tenant()
  await put(tenant.tenantId, 'active')
  await eventually(
    async () => (await tenant.inTenant('codes', { contact: tenant.person(), purpose: 'login' })).status,
    202,
  )
  const { contact, password, tokens } = await tenant.registered()
  await directory.correct(tenant.tenantId, tokens.userId, { atMs: Date.now(), blocked: true })
  const signIn = async () => (await tenant.inTenant('sessions', { contact, password })).status
  t.is(await eventually(signIn, 403), 403)
  t.is((await tenant.inTenant('tokens', { refreshToken: tokens['refreshToken'] })).status, 403)
  t.is((await tenant.inTenant('sessions', { contact, password: `wrong-${random()}` })).status, 401)
})
