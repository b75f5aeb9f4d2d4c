/** A platform of which nobody says what is due: no schedule runs here, functions are woken by alarms alone. */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { accessKeys } from '@stampede/shared/access/keys.ts'
import { alarmKeys } from '@stampede/shared/alarms/alarm.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { caller, eventually, press, startCollection, type Body, type Call, type Collection } from './testing.ts'

let collection: Collection
test.before(async () => {
  collection = await startCollection({ ACCESS_CONTROL: 'directory', ALARM_LOOK_MS: '200' })
})
test.after.always(() => collection?.stop())

const newId = () => `t-${randomBytes(6).toString('hex')}`

/** A tenant with staff, and stock to sell. */
async function newTenant(): Promise<{ tenantId: string; staff: Call }> {
  const { identity } = collection
  const tenantId = newId()
  const root = await identity.token({ tenantId: 'platform', userId: 'root', roles: ['platform-administrator'] })
  const made = await eventually(
    () => caller(collection, root)('POST', '/api/v1/tenants', { tenantId, name: 'Acme' }),
    ({ status }) => status !== 503,
  )
  if (made.status !== 201) throw new Error(JSON.stringify(made))
  const staff = caller(collection, await identity.token({ tenantId, userId: 'chief', roles: ['administrator'] }))
  await staff('PUT', '/api/v1/stocks/phone', { version: 0, onHand: 50, reason: 'counted' })
  return { tenantId, staff }
}

test.serial('alarms – a sale opens, an unpaid order is cancelled, and the sale closes', async (t) => {
  const { tenantId, staff } = await newTenant()
  const startsAtMs = Date.now() + 2_000
  const created = await staff('POST', '/api/v1/activities', {
    name: 'Phones',
    variantId: 'phone',
    stock: 20,
    startsAt: new Date(startsAtMs).toISOString(),
    endsAt: new Date(startsAtMs + 12_000).toISOString(),
    priceCents: 19_900,
    currency: 'EUR',
    paymentTimeoutSeconds: 1,
  })
  const activityId = created.body['activityId'] as string
  const activity = async () => (await staff('GET', `/api/v1/activities/${activityId}`)).body
  t.is((await staff('POST', `/api/v1/activities/${activityId}/schedule`)).status, 200)
  await eventually(activity, ({ state }) => state === 'open')
  t.log(`open ${Date.now() - startsAtMs} ms after its beginning`)

  const pressed = await eventually(
    () => press(collection, { tenantId, userId: 'ann', activityId }),
    ({ status }) => status === 202,
  )
  const ann = caller(collection, await collection.identity.token({ tenantId, userId: 'ann' }))
  const order = async () => (await ann('GET', `/api/v1/orders/${pressed.body['orderNumber']}`)).body
  await eventually(order, ({ state }) => state === 'pending-payment')
  await eventually(order, ({ state }) => state === 'cancelled')
  // Settled a moment later, perhaps before anybody looks.
  await eventually(activity, ({ state }) => state === 'closed' || state === 'settled')
})

test.serial('alarms – an access directory that is gone is written again by itself', async (t) => {
  const { staff } = await newTenant()
  const asked = async () => (await staff('GET', '/api/v1/roles')).status
  t.is(await asked(), 200)
  const redis = connectRedis(collection.redisUrl)
  const keys = await redis.keys('{access}*')
  t.true(keys.includes(accessKeys.complete))
  await redis.del(...keys)
  // Whoever asks for a tenant that nobody remembers is told that it cannot be known, until it is known that there is none.
  const other = newId()
  const token = await collection.identity.token({ tenantId: other, userId: 'x', roles: ['administrator'] })
  await eventually(
    () => caller(collection, token)('GET', '/api/v1/roles'),
    ({ status }) => status === 403,
  )
  t.is(await redis.exists(accessKeys.complete), 1)
  t.is(await asked(), 200)
  redis.disconnect()
})

test.serial('alarms – a Redis that forgot them: every task looks what it has to do', async (t) => {
  const redis = connectRedis(collection.redisUrl)
  const rung = async () => {
    const found = collection.sink.events.filter(({ type }) => type === 'io.stampede.alarm.due.v1')
    return new Set(found.map(({ data }) => `${String((data as Body)['function'])}/${String((data as Body)['task'])}`))
  }
  await eventually(rung, (tasks) => tasks.has('audit/checkpoint') && tasks.has('notification/sweep'))
  collection.sink.events.length = 0
  await redis.del(...Object.values(alarmKeys))
  await eventually(rung, (tasks) => tasks.has('tenant/write-directory') && tasks.has('notification/sweep'))
  t.true((await rung()).size >= 15)
  redis.disconnect()
})
