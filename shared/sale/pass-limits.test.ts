import { randomBytes } from 'node:crypto'
import test from 'ava'
import { connectRedis } from '../redis/connect.ts'
import { serviceAddresses } from '../testing/services.ts'
import { admitApplicant, type PassApplicant, type PassLimits } from './pass-limits.ts'

const redis = connectRedis(serviceAddresses().redisUrl)
test.after.always(() => redis.disconnect())

const none: PassLimits = { windowMs: 60_000, byUser: 0, byDevice: 0, byAddress: 0, usersByDevice: 0 }
const random = (prefix: string) => `${prefix}-${randomBytes(6).toString('hex')}`

function stage(limits: Partial<PassLimits>) {
  const tenantId = random('tenant')
  const ask = (applicant: Partial<PassApplicant> = {}, rememberMs = 60_000) =>
    admitApplicant(
      redis,
      { tenantId, activityId: 'sale', userId: 'anna', device: 'phone', address: '192.0.2.1', ...applicant },
      { ...none, ...limits },
      rememberMs,
    )
  return { ask, keys: () => redis.keys(`seckill:{${tenantId}:*`) }
}

for (const [name, limits, other] of [
  ['user', { byUser: 3 }, { userId: 'bert' }],
  ['device', { byDevice: 3 }, { device: 'tablet' }],
  ['address', { byAddress: 3 }, { address: '192.0.2.2' }],
] as const) {
  test(`the limit of the ${name} – lets exactly so many through, however many ask at once`, async (t) => {
    const { ask } = stage(limits)
    const answers = await Promise.all(Array.from({ length: 40 }, () => ask()))
    t.is(answers.filter(({ admitted }) => admitted).length, 3)
    const refused = answers.find((answer) => !answer.admitted)!
    t.like(refused, { limit: name })
    t.true('retryAfterMs' in refused && refused.retryAfterMs > 0 && refused.retryAfterMs <= 60_000)
    t.true((await ask(other)).admitted)
  })
}

test('the limit of users – counts people of a device, not their passes', async (t) => {
  const { ask } = stage({ usersByDevice: 2 })
  const answers = await Promise.all(Array.from({ length: 30 }, (_none, index) => ask({ userId: `user-${index % 10}` })))
  const admitted = new Set(answers.flatMap((answer, index) => (answer.admitted ? [index % 10] : [])))
  t.is(admitted.size, 2)
  // All three passes of each of the two.
  t.is(answers.filter((answer) => answer.admitted).length, 6)
  t.like(await ask({ userId: 'another' }), { admitted: false, limit: 'users-of-device' })
  t.true((await ask({ userId: 'another', device: 'tablet' })).admitted)
})

test('a refusal – counts for nobody', async (t) => {
  const { ask } = stage({ byUser: 1, byAddress: 2 })
  t.true((await ask()).admitted)
  for (let attempt = 0; attempt < 5; attempt++) t.like(await ask(), { admitted: false, limit: 'user' })
  t.true((await ask({ userId: 'bert' })).admitted)
  t.like(await ask({ userId: 'carl' }), { admitted: false, limit: 'address' })
})

test('another activity and another tenant – have counts of their own', async (t) => {
  const { ask } = stage({ byUser: 1 })
  t.true((await ask()).admitted)
  t.true((await ask({ activityId: 'other' })).admitted)
  t.true((await stage({ byUser: 1 }).ask()).admitted)
})

test('what is unknown – has no limit', async (t) => {
  const { ask, keys } = stage({ byDevice: 1, byAddress: 1, usersByDevice: 1 })
  for (const userId of ['anna', 'bert']) t.true((await ask({ userId, device: '', address: '' })).admitted)
  t.deepEqual(await keys(), [])
})

test('the window – ends by Redis’ own clock, and nothing stays behind', async (t) => {
  const { ask, keys } = stage({ byUser: 1, byDevice: 1, byAddress: 1, usersByDevice: 1, windowMs: 40 })
  t.true((await ask({}, 40)).admitted)
  // Asked until it is let in again: that takes as long as the window, not as long as this test thinks.
  for (;;) if ((await ask({}, 40)).admitted) break
  for (;;) if ((await keys()).length === 0) break
  t.pass()
})
