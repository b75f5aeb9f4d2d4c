/** Who may not buy any more, although their pass or token is right. On an own Redis with an access directory. */
import test from 'ava'
import { createAccessDirectory } from '@stampede/shared/access/directory.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { startRedis } from '@stampede/shared/testing/services.ts'
import { accessToken, randomId, serviceToken, startStage, type Answer } from './testing.ts'

async function until(look: () => Promise<Answer>, status: number): Promise<Answer> {
  const endMs = performance.now() + 20_000
  for (;;) {
    const answer = await look()
    if (answer.status === status) return answer
    if (performance.now() > endMs) throw new Error(`still ${answer.status}, not ${status}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

test.serial('access – suspended tenants, blocked buyers and ended sessions are refused on every way in', async (t) => {
  const server = await startRedis()
  const redis = connectRedis(server.url)
  const directory = createAccessDirectory(redis)
  const stage = await startStage({
    REDIS_URL: server.url,
    ACCESS_CONTROL: 'directory',
    ACCESS_STALE_MS: '3000',
    RELAY_SWEEP_MS: '60000',
  })
  t.teardown(async () => {
    await stage.stop()
    redis.disconnect()
    await server.stop()
  })
  const { tenantId } = stage
  const sale = await stage.sale({ stock: 100 })
  const { activityId } = sale
  const withToken = (token: string) => ({ authorization: `Bearer ${token}`, 'content-type': 'application/json' })
  const byPass = (userId: string) => stage.press(activityId, userId)
  const byToken = async (userId: string) =>
    stage.post(`/api/v1/seckill/${activityId}/purchases`, withToken(await accessToken(tenantId, userId)), '{}')
  const resultOf = async (userId: string) =>
    stage.get(`/api/v1/seckill/${activityId}/result`, withToken(await accessToken(tenantId, userId)))

  // Nobody wrote the tenant yet: it is not known who it is.
  for (const answer of [await byPass('ann'), await byToken('ann'), await resultOf('ann')]) {
    t.is(answer.status, 503)
    t.like(answer.body, { code: 'dependency-unavailable' })
    t.is(answer.headers.get('retry-after'), '1')
  }
  await directory.putTenant(tenantId, { state: 'active', quota: {}, version: 1 })
  t.is((await until(() => byPass('ann'), 202)).status, 202)
  t.is((await byToken('bob')).status, 202)
  t.is((await resultOf('bob')).status, 200)

  await directory.correct(tenantId, 'cat', { atMs: Date.now(), blocked: true })
  for (const look of [byPass, byToken, resultOf]) {
    const answer = await until(() => look('cat'), 401)
    t.like(answer.body, { code: 'unauthenticated' })
    t.is(answer.headers.get('www-authenticate'), 'Bearer')
  }
  await directory.correct(tenantId, 'dan', { atMs: Date.now() + 4_000, signedOut: true })
  t.is((await until(() => byToken('dan'), 401)).status, 401)

  await directory.putTenant(tenantId, { state: 'suspended', quota: {}, version: 2 })
  for (const look of [byPass, byToken, resultOf]) {
    t.like((await until(() => look('eve'), 403)).body, { code: 'tenant-suspended' })
  }
  const asService = await stage.post(
    `/api/v1/seckill/${activityId}/purchases`,
    withToken(await serviceToken(tenantId)),
    '{}',
  )
  t.is(asService.status, 403)

  await directory.putTenant(tenantId, { state: 'active', quota: {}, version: 3 })
  t.is((await until(() => byPass('fay'), 202)).status, 202)
  t.is((await stage.press(randomId('activity'), 'fay')).status, 404)
})
