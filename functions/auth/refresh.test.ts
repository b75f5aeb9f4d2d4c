import test from 'ava'
import { decodeJwt } from 'jose'
import { startStage } from './testing.ts'

const stage = await startStage()
test.after.always(() => stage.stop())
const revokedType = 'io.stampede.session.revoked.v1'

test('refresh – gives new tokens of the same session, with the roles of now', async (t) => {
  const { registered, inTenant } = stage.tenant()
  const { tokens } = await registered()
  stage.permission.roles.set(tokens.userId, ['operator'])
  const { status, body } = await inTenant('tokens', { refreshToken: tokens['refreshToken'] })
  t.is(status, 201)
  t.like(body, { sessionId: tokens['sessionId'], userId: tokens.userId })
  t.not(body['refreshToken'], tokens['refreshToken'])
  t.deepEqual(decodeJwt(body['accessToken'])['roles'], ['operator'])
})

test('refresh – a token that is used twice ends its session, and no other', async (t) => {
  const { registered, inTenant, tenantId, said } = stage.tenant()
  const { contact, password, tokens } = await registered()
  const other = await inTenant('sessions', { contact, password })
  const second = await inTenant('tokens', { refreshToken: tokens['refreshToken'] })
  t.is((await inTenant('tokens', { refreshToken: tokens['refreshToken'] })).status, 401)
  t.is((await inTenant('tokens', { refreshToken: second.body['refreshToken'] })).status, 401, 'the family is dead')
  t.is((await inTenant('tokens', { refreshToken: other.body['refreshToken'] })).status, 201)
  await said()
  const events = stage.published(tenantId, revokedType)
  t.is(events.length, 1)
  t.like(events[0]?.data, { reason: 'refresh-token-reused', sessionIds: [tokens['sessionId']] })
})

test('refresh – of many uses at once at most one wins, and the family dies', async (t) => {
  for (let round = 0; round < 3; round++) {
    const { registered, inTenant, tenantId, said } = stage.tenant()
    const { tokens } = await registered()
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => inTenant('tokens', { refreshToken: tokens['refreshToken'] })),
    )
    const winners = answers.filter(({ status }) => status === 201)
    t.is(answers.filter(({ status }) => status === 401).length, answers.length - winners.length)
    t.true(winners.length <= 1)
    for (const { body } of winners)
      t.is((await inTenant('tokens', { refreshToken: body['refreshToken'] })).status, 401, 'what was won is dead, too')
    await said()
    t.is(stage.published(tenantId, revokedType).length, 1)
  }
})

test('refresh – tokens of another tenant, made up ones and old ones are refused and end nothing', async (t) => {
  const { registered, inTenant, tenantId } = stage.tenant()
  const { tokens } = await registered()
  const refreshToken = tokens['refreshToken']
  t.is((await stage.tenant().inTenant('tokens', { refreshToken })).status, 401)
  t.is((await inTenant('tokens', { refreshToken: `${refreshToken}x` })).status, 401)
  t.is((await inTenant('tokens', { refreshToken: tokens['accessToken'].slice(0, 200) })).status, 401)
  const next = await inTenant('tokens', { refreshToken })
  t.is(next.status, 201)
  await stage.sql.query('UPDATE auth_refresh_tokens SET expires_at = UTC_TIMESTAMP(3) WHERE tenant_id = ?', [tenantId])
  t.is((await inTenant('tokens', { refreshToken: next.body['refreshToken'] })).status, 401)
})
