/** A pass ends with the session that it was given in, as the token does. On an own Redis with an access directory. */
import test from 'ava'
import { createAccessDirectory } from '@stampede/shared/access/directory.ts'
import { maximumPassMs } from '@stampede/shared/identity/pass.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { startRedis } from '@stampede/shared/testing/services.ts'
import { accessToken, startStage, type TokenOptions } from './testing.ts'

const server = await startRedis()
const redis = connectRedis(server.url)
const directory = createAccessDirectory(redis)
// A machine that is busy for a moment is not what this is about: memory is believed for longer.
const stage = await startStage({
  REDIS_URL: server.url,
  ACCESS_CONTROL: 'directory',
  ACCESS_STALE_MS: '5000',
  PASS_TTL_SECONDS: '3600',
})
const { tenantId } = stage
await directory.putTenant(tenantId, { state: 'active', quota: {}, version: 1 })
const { activityId } = await stage.sale({ stock: 1_000, perUserLimit: 100 })
test.after.always(async () => {
  await stage.stop()
  redis.disconnect()
  await server.stop()
})

const json = { 'content-type': 'application/json' }
const path = (what: string, activity = activityId) => `/api/v1/seckill/${activity}/${what}`
const askForPass = async (userId: string, token: TokenOptions, activity = activityId) =>
  stage.post(path('pass', activity), {
    authorization: `Bearer ${await accessToken(tenantId, userId, token)}`,
  })
/** What the function gives for a token. */
async function passOf(userId: string, token: TokenOptions = {}): Promise<Record<string, string>> {
  const { status, body } = await askForPass(userId, token)
  if (status !== 200) throw new Error(`answered ${status}: ${JSON.stringify(body)}`)
  return { ...json, 'stampede-pass': String(body['pass']) }
}

/** By every way that a pass opens. */
async function statuses(userId: string, pass: Record<string, string>): Promise<number[]> {
  const create = JSON.stringify({ userId, activityId })
  const answers = [
    await stage.post(path('purchases'), pass, '{}'),
    await stage.post('/api/flash-sale/order/create', pass, create),
    await stage.get(path('result'), pass),
  ]
  return answers.map(({ status }) => status)
}
const open = [202, 202, 200]
const shut = [401, 401, 401]

async function until(look: () => Promise<number[]>, wanted: number[]): Promise<number[]> {
  const endMs = performance.now() + 10_000
  for (;;) {
    const seen = await look()
    if (String(seen) === String(wanted) || performance.now() > endMs) return seen
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

test.serial('a pass – ends with its session; others of the same user go on buying', async (t) => {
  const [first, second, none] = [
    await passOf('ann', { sessionId: 's1' }),
    await passOf('ann', { sessionId: 's2' }),
    await passOf('ann'),
  ]
  for (const pass of [first, second, none]) t.deepEqual(await statuses('ann', pass), open)
  await directory.correct(tenantId, 'ann', { atMs: Date.now(), revokedSessions: ['s1'] })
  t.deepEqual(await until(() => statuses('ann', first), shut), shut)
  const refused = await stage.post(path('purchases'), first, '{}')
  t.like(refused.body, { code: 'unauthenticated' })
  t.is(refused.headers.get('www-authenticate'), 'Bearer')
  t.deepEqual(await statuses('ann', second), open)
  t.deepEqual(await statuses('ann', none), open, 'of a token that belongs to no session')
  t.deepEqual(await statuses('bob', await passOf('bob', { sessionId: 's1' })), open)
})

test.serial('a pass – ends when its buyer signs out everywhere, whatever its session', async (t) => {
  const tokenAtMs = Date.now() - 60_000
  const passes = [
    await passOf('cat', { sessionId: 's1', issuedAtMs: tokenAtMs }),
    await passOf('cat', { sessionId: 's2', issuedAtMs: tokenAtMs }),
    await passOf('cat', { issuedAtMs: tokenAtMs }),
  ]
  // The pass is younger than this, the token behind it is not.
  await directory.correct(tenantId, 'cat', { atMs: tokenAtMs + 30_000, signedOut: true })
  for (const pass of passes) t.deepEqual(await until(() => statuses('cat', pass), shut), shut)
  t.is((await askForPass('cat', { sessionId: 's1', issuedAtMs: tokenAtMs })).status, 401)
  t.deepEqual(await statuses('cat', await passOf('cat', { sessionId: 's3' })), open, 'signed in again')
})

test.serial('a pass – lives no longer than it is remembered what has ended', async (t) => {
  const hourMs = 3_600_000
  const far = await stage.sale({ startsAtMs: Date.now() + 3 * hourMs, endsAtMs: Date.now() + 30 * hourMs })
  const early = await askForPass('ann', { sessionId: 's9' }, far.activityId)
  t.like(early, { status: 425, body: { code: 'not-started' } })
  t.is(early.body['opensAt'], new Date(far.startsAtMs - maximumPassMs / 2).toISOString())
  const soon = await stage.sale({ startsAtMs: Date.now() + hourMs - 1_000, endsAtMs: Date.now() + 30 * hourMs })
  const given = await askForPass('ann', { sessionId: 's9' }, soon.activityId)
  t.is(given.status, 200)
  const expiresAtMs = Date.parse(String(given.body['expiresAt']))
  t.true(expiresAtMs > soon.startsAtMs && expiresAtMs <= Date.now() + maximumPassMs)
  await t.throwsAsync(startStage({ REDIS_URL: server.url, PASS_TTL_SECONDS: '3601' }), { message: /PASS_TTL_SECONDS/ })
})
