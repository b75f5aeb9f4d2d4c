import { randomBytes } from 'node:crypto'
import test from 'ava'
import { notificationRequested } from '@stampede/eventing/catalogue/identity-events.ts'
import { serve } from '@stampede/shared/function/serve.ts'
import { notificationContext } from '@stampede/shared/personal-data/event-context.ts'
import { createKeyRing } from '@stampede/shared/personal-data/key-ring.ts'
import { withPage } from '@stampede/shared/testing/browser.ts'
import { call } from '@stampede/shared/testing/call.ts'
import { deliver, ping } from '@stampede/shared/testing/events.ts'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { freshDatabase, serviceAddresses } from '@stampede/shared/testing/services.ts'
import mysql from 'mysql2/promise'
import { notificationFunction } from './index.ts'
import { alarmKeys, alarmOf } from '@stampede/shared/alarms/alarm.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { alarmsSet, ownAlarms } from '@stampede/shared/testing/alarms.ts'

const random = () => randomBytes(6).toString('hex')
const newKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`
const identity = await createTestIdentity()
const database = await freshDatabase()
const dataKeys = newKey('d1')
const environment = {
  ...identity.environment,
  DATABASE_URL: database.url,
  REDIS_URL: serviceAddresses().redisUrl,
  K_SINK: 'http://127.0.0.1:9',
  DATA_KEYS: dataKeys,
  LOG_LEVEL: 'silent',
}
const start = (more: Record<string, string>) =>
  serve([notificationFunction], { port: 0, host: '127.0.0.1', environment: { ...environment, ...more } })
const withChannel = await start({ NOTIFICATION_CHANNEL: 'outbox' })
const withoutChannel = await start({})
const sql = await mysql.createConnection({ uri: database.url })
test.after.always(async () => {
  await withChannel.stop()
  await withoutChannel.stop()
  await sql.end()
  await database.drop()
})

const ring = createKeyRing(dataKeys)
function requested(
  tenantId: string,
  overrides: Record<string, unknown> = {},
  parameters: unknown = { code: '123456', minutes: '10' },
) {
  const notificationId = `n-${random()}`
  const seal = (column: 'recipient' | 'parameters', text: string) =>
    ring.seal(text, notificationContext(tenantId, notificationId, column))
  const data = {
    tenantId,
    notificationId,
    channel: 'email' as const,
    template: 'login-code',
    locale: 'en',
    sealedRecipient: seal('recipient', 'ann@example.com'),
    sealedParameters: seal('parameters', JSON.stringify(parameters)),
    expiresAt: new Date(Date.now() + 600_000).toISOString(),
    ...overrides,
  }
  return { definition: notificationRequested, id: notificationId, subject: notificationId, data }
}
const send = (event: ReturnType<typeof requested>, at = withChannel.url) =>
  deliver({ url: at, identity }, 'notification', event)
const messages = async (tenantId: string, query = '') => {
  const token = await identity.token({ tenantId, roles: ['support'] })
  return call(`${withChannel.url}/api/v1/notifications/outbox${query}`, 'GET', token)
}

test('notification – a message that comes twice is shown once, to staff of its tenant alone', async (t) => {
  const tenantId = `t-${random()}`
  const event = requested(tenantId)
  t.is(await send(event), 204)
  t.is(await send(event), 204)
  const { status, body } = await messages(tenantId)
  t.is(status, 200)
  t.is(body['messages'].length, 1)
  t.like(body['messages'][0], { recipient: 'ann@example.com', template: 'login-code', subject: 'Your code to sign in' })
  t.regex(body['messages'][0]['body'], /^123456 is your code/)
  t.is((await messages(tenantId, '?recipient=bob%40example.com')).body['messages'].length, 0)
  t.is((await messages(`t-${random()}`)).body['messages'].length, 0)
  const operator = await identity.token({ tenantId, roles: ['operator'] })
  t.is((await call(`${withChannel.url}/api/v1/notifications/outbox`, 'GET', operator)).status, 403)
  const [rows] = await sql.query('SELECT * FROM notification_messages WHERE tenant_id = ?', [tenantId])
  t.false(/ann@example|123456/.test(JSON.stringify(rows)))
})

test('notification – without a channel a message is not taken, and can be delivered again when there is one', async (t) => {
  const tenantId = `t-${random()}`
  const event = requested(tenantId)
  t.is(await send(event, withoutChannel.url), 503)
  t.is((await messages(tenantId)).body['messages'].length, 0)
  t.is(await send(event), 204)
  t.is((await messages(tenantId)).body['messages'].length, 1)
})

test('notification – what can never be read is refused, what cannot be read yet is tried again', async (t) => {
  const tenantId = `t-${random()}`
  const other = requested(tenantId)
  t.is(await send(requested(tenantId, { sealedRecipient: other.data.sealedRecipient })), 422, 'of another message')
  t.is(await send(requested(tenantId, { sealedRecipient: 'rubbish' })), 422)
  t.is(await send(requested(tenantId, { template: 'no-such-template' })), 422)
  t.is(await send(requested(tenantId, {}, ['not', 'an', 'object'])), 422)
  const event = requested(tenantId)
  const newer = createKeyRing(newKey('d9'))
  const sealedRecipient = newer.seal(
    'x@example.com',
    notificationContext(tenantId, event.data.notificationId, 'recipient'),
  )
  t.is(await send({ ...event, data: { ...event.data, sealedRecipient } }), 503)
  t.is((await messages(tenantId)).body['messages'].length, 0)
})

test('notification – messages are gone after an hour', async (t) => {
  const tenantId = `t-${random()}`
  t.is(await send(requested(tenantId)), 204)
  await sql.query(
    'UPDATE notification_messages SET received_at = received_at - INTERVAL 61 MINUTE WHERE tenant_id = ?',
    [tenantId],
  )
  t.is((await messages(tenantId)).body['messages'].length, 0)
  t.is(await ping({ url: withChannel.url, identity }, 'notification', 'sweep'), 204)
  const [rows] = await sql.query('SELECT * FROM notification_messages WHERE tenant_id = ?', [tenantId])
  t.deepEqual(rows, [])
})

test('notification – the page shows messages as text, and says what is wrong', async (t) => {
  const tenantId = `t-${random()}`
  t.is(await send(requested(tenantId, {}, { code: '<b>1</b>', minutes: '10' })), 204)
  const token = await identity.token({ tenantId, roles: ['support'] })
  await withPage(async (page, errors) => {
    await page.goto(`${withChannel.url}/notifications/outbox`)
    await page.getByLabel(/Access token/).fill(token)
    await page.getByRole('button', { name: 'Show' }).click()
    await page.getByText('<b>1</b> is your code').waitFor()
    await page.getByText('ann@example.com').waitFor()
    t.deepEqual(errors, [])
    await page.getByLabel(/Access token/).fill('nonsense')
    await page.getByRole('button', { name: 'Show' }).click()
    await page.getByText('The token is not valid.').waitFor()
  })
})

test.serial('notification – the alarm for the end of its hour is set when a message comes', async (t) => {
  const redis = connectRedis(serviceAddresses().redisUrl)
  t.teardown(() => redis.disconnect())
  for (const atMs of await alarmsSet('notification/sweep', redis))
    await redis.zrem(alarmKeys.due, alarmOf('notification/sweep', atMs).alarm)
  const beforeMs = Date.now()
  t.is(await send(requested(`t-${random()}`)), 204)
  const untilMs = Date.now() + 4_200_000
  const own = await ownAlarms('notification/sweep', (atMs) => atMs >= beforeMs + 3_600_000 && atMs <= untilMs)
  t.is(own[0]! % 600_000, 0)
})
