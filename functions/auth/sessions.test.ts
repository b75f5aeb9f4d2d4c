import test from 'ava'
import { userDeactivated, userErased, userReactivated } from '@stampede/eventing/catalogue/identity-events.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { startStage } from './testing.ts'

const stage = await startStage()
const redis = connectRedis(stage.redisUrl)
test.after.always(async () => {
  redis.disconnect()
  await stage.stop()
})
const revokedType = 'io.stampede.session.revoked.v1'

/** What the access directory says of a user. */
const corrections = async (tenantId: string, userId: string) => {
  const keys = await redis.keys(`*${tenantId}*`)
  const facts: string[] = []
  for (const key of keys) {
    if ((await redis.type(key)) !== 'hash') continue
    facts.push(...Object.keys(await redis.hgetall(key)).filter((field) => field.startsWith(`${userId}:`)))
  }
  return facts.map((fact) => fact.slice(userId.length + 1)).sort()
}

const stateEvent = (definition: typeof userDeactivated, tenantId: string, userId: string, at = new Date()) => ({
  definition,
  subject: userId,
  data: { tenantId, userId, at: at.toISOString() },
})

test('sessions – one that is ended is told to the access directory and gives no tokens', async (t) => {
  const { registered, inTenant, tenantId, said } = stage.tenant()
  const { contact, password, tokens } = await registered()
  const second = await inTenant('sessions', { contact, password })
  const sessionId = tokens['sessionId'] as string
  const token = second.body['accessToken'] as string
  t.is(await stage.status('DELETE', `/api/v1/sessions/${sessionId}`, token), 204)
  t.deepEqual(await corrections(tenantId, tokens.userId), [`session:${sessionId}`])
  t.is((await inTenant('tokens', { refreshToken: tokens['refreshToken'] })).status, 401)
  t.is((await inTenant('tokens', { refreshToken: second.body['refreshToken'] })).status, 201)
  t.is(await stage.status('DELETE', `/api/v1/sessions/${sessionId}`, token), 204, 'again is the same')
  await said()
  t.deepEqual(
    stage.published(tenantId, revokedType).map(({ data }) => data['reason']),
    ['signed-out'],
  )
  const stranger = await stage.tenant().registered()
  t.is(
    await stage.status('DELETE', `/api/v1/sessions/${second.body['sessionId']}`, stranger.tokens['accessToken']),
    404,
  )
  const neighbour = await stage.tenant().registered()
  t.is(
    await stage.status('DELETE', `/api/v1/sessions/${second.body['sessionId']}`, neighbour.tokens['accessToken']),
    404,
  )
})

test('sessions – signing out everywhere ends all', async (t) => {
  const { registered, inTenant, tenantId } = stage.tenant()
  const { contact, password, tokens } = await registered()
  const second = await inTenant('sessions', { contact, password })
  t.is(await stage.status('DELETE', '/api/v1/sessions', tokens['accessToken']), 204)
  for (const refreshToken of [tokens['refreshToken'], second.body['refreshToken']])
    t.is((await inTenant('tokens', { refreshToken })).status, 401)
  t.deepEqual(
    await corrections(tenantId, tokens.userId),
    [`session:${tokens['sessionId']}`, `session:${second.body['sessionId']}`].sort(),
  )
  t.is((await inTenant('sessions', { contact, password })).status, 201)
})

test('sessions – what the directory forgot, the event and the clock tell it again', async (t) => {
  const { registered, tenantId, said } = stage.tenant()
  const { tokens } = await registered()
  const fact = [`session:${tokens['sessionId']}`]
  t.is(await stage.status('DELETE', '/api/v1/sessions', tokens['accessToken']), 204)
  const forget = async () => {
    for (const key of await redis.keys(`*${tenantId}*`)) await redis.del(key)
    t.deepEqual(await corrections(tenantId, tokens.userId), [])
  }
  await said()
  await forget()
  t.is(await stage.tick('correct-access'), 204)
  t.deepEqual(await corrections(tenantId, tokens.userId), fact)
  // Passes of the sale live for two hours; after that nobody needs to know.
  for (const [hours, known] of [
    [2, fact],
    [24, []],
  ] as const) {
    await forget()
    await stage.sql.query('UPDATE auth_sessions SET revoked_at = ? WHERE session_id = ?', [
      new Date(Date.now() - hours * 3_600_000),
      tokens['sessionId'],
    ])
    t.is(await stage.tick('correct-access'), 204)
    t.deepEqual(await corrections(tenantId, tokens.userId), known)
  }
  await forget()
  const [event] = stage.published(tenantId, revokedType)
  const { sessionRevoked } = await import('@stampede/eventing/catalogue/identity-events.ts')
  t.is(await stage.deliver({ definition: sessionRevoked, subject: tokens.userId, data: event!.data }), 204)
  t.deepEqual(await corrections(tenantId, tokens.userId), fact)
})

test('sessions – a new password needs the old one and ends the others', async (t) => {
  const { registered, inTenant } = stage.tenant()
  const { contact, password, tokens } = await registered()
  const second = await inTenant('sessions', { contact, password })
  const change = (body: object) => stage.status('PUT', '/api/v1/password', tokens['accessToken'], body)
  t.is(await change({ currentPassword: 'wrong', newPassword: 'another password' }), 422)
  t.is(await change({ newPassword: 'another password' }), 422)
  t.is(await change({ currentPassword: password, newPassword: 'short' }), 400)
  t.is(await change({ currentPassword: password, newPassword: 'another password' }), 204)
  t.is((await inTenant('sessions', { contact, password })).status, 401)
  t.is((await inTenant('sessions', { contact, password: 'another password' })).status, 201)
  t.is((await inTenant('tokens', { refreshToken: second.body['refreshToken'] })).status, 401)
  t.is((await inTenant('tokens', { refreshToken: tokens['refreshToken'] })).status, 201, 'the own one stays')
})

test('sessions – an account without a password gets one by its owner', async (t) => {
  const { person, codeFor, inTenant } = stage.tenant()
  const contact = person()
  const made = await inTenant('registrations', { contact, code: await codeFor(contact, 'register') })
  t.is((await inTenant('sessions', { contact, password: 'anything at all' })).status, 401)
  const body = { newPassword: 'my first password' }
  t.is(await stage.status('PUT', '/api/v1/password', made.body['accessToken'], body), 204)
  t.is((await inTenant('sessions', { contact, password: 'my first password' })).status, 201)
})

test('sessions – who is deactivated is out until reactivated, in whatever order the events come', async (t) => {
  const { registered, inTenant, tenantId, codeFor } = stage.tenant()
  const { contact, password, tokens } = await registered()
  const beganMs = Date.now()
  const at = (seconds: number) => new Date(beganMs + seconds * 1_000)
  t.is(await stage.deliver(stateEvent(userDeactivated, tenantId, tokens.userId, at(10))), 204)
  t.is((await inTenant('tokens', { refreshToken: tokens['refreshToken'] })).status, 401)
  t.is((await inTenant('sessions', { contact, password })).status, 403)
  t.is((await inTenant('sessions', { contact, password: 'wrong' })).status, 401)
  t.is(await codeFor(contact, 'login'), '', 'no code is sent')
  t.deepEqual(await corrections(tenantId, tokens.userId), [`session:${tokens['sessionId']}`])

  t.is(await stage.deliver(stateEvent(userReactivated, tenantId, tokens.userId, at(5))), 204)
  t.is((await inTenant('sessions', { contact, password })).status, 403, 'an older event comes late')
  t.is(await stage.deliver(stateEvent(userReactivated, tenantId, tokens.userId, at(20))), 204)
  t.is((await inTenant('sessions', { contact, password })).status, 201)
})

test('sessions – of who is erased nothing is left to find, and the contact is free', async (t) => {
  const { registered, inTenant, tenantId, codeFor } = stage.tenant()
  const { contact, password, tokens } = await registered()
  const event = stateEvent(userErased, tenantId, tokens.userId)
  t.is(await stage.deliver(event), 204)
  t.is(await stage.deliver(event), 204)
  t.is((await inTenant('sessions', { contact, password })).status, 401)
  t.is((await inTenant('tokens', { refreshToken: tokens['refreshToken'] })).status, 401)
  const later = stateEvent(userReactivated, tenantId, tokens.userId, new Date(Date.now() + 60_000))
  t.is(await stage.deliver(later), 204)
  t.is((await inTenant('sessions', { contact, password })).status, 401, 'nobody comes back')
  const [contacts] = await stage.sql.query('SELECT * FROM auth_contacts WHERE tenant_id = ?', [tenantId])
  t.deepEqual(contacts, [])
  const again = await inTenant('registrations', { contact, code: await codeFor(contact, 'register') })
  t.is(again.status, 201)
  t.not(again.body['userId'], tokens.userId)
})

test('sessions – the oldest makes room when there are too many', async (t) => {
  const other = await stage.another({ SESSIONS_PER_USER: '3' })
  const { registered, inTenant, tenantId } = stage.tenant(other.url)
  const { contact, password, tokens } = await registered()
  for (let index = 0; index < 3; index++) t.is((await inTenant('sessions', { contact, password })).status, 201)
  t.is((await inTenant('tokens', { refreshToken: tokens['refreshToken'] })).status, 401)
  t.deepEqual(await corrections(tenantId, tokens.userId), [`session:${tokens['sessionId']}`])
})
