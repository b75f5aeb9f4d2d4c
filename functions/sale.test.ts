/** A whole life: every function in one process on real Redis, MySQL and Kafka, from the draft to the returned stock. */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { paymentSucceeded } from '@stampede/eventing/catalogue/events.ts'
import { deliver } from '@stampede/shared/testing/events.ts'
import { caller, eventually, press as pressBuy, startCollection, type Collection } from './testing.ts'

let collection: Collection
test.before(async () => {
  collection = await startCollection()
})
test.after.always(() => collection?.stop())

test('collection – draft, schedule, warm-up, sale, orders, payment, cancellation, settlement, stock returned', async (t) => {
  const tenantId = `t-${randomBytes(6).toString('hex')}`
  const staff = await collection.identity.token({ tenantId, userId: 'chief', roles: ['administrator'] })
  const call = caller(collection, staff)
  t.is((await call('PUT', '/api/v1/stocks/phone', { version: 0, onHand: 50, reason: 'counted' })).status, 200)

  const startsAtMs = Date.now() + 3_000
  const { activityId } = (
    await call('POST', '/api/v1/activities', {
      name: 'Phones',
      variantId: 'phone',
      stock: 30,
      buckets: 2,
      startsAt: new Date(startsAtMs).toISOString(),
      endsAt: new Date(startsAtMs + 600_000).toISOString(),
      priceCents: 19_900,
      currency: 'EUR',
    })
  ).body
  const activity = async () => (await call('GET', `/api/v1/activities/${activityId}`)).body
  const command = (name: string) => call('POST', `/api/v1/activities/${activityId}/${name}`)
  t.is((await command('schedule')).status, 200)
  await eventually(activity, ({ state }) => state === 'warmed-up')
  const check = await eventually(
    async () => (await command('pre-check')).body,
    ({ ok }) => ok === true,
  )
  t.is(check['items'].length, 6)

  await eventually(
    async () => Date.now(),
    (nowMs) => nowMs > startsAtMs + 200,
  )
  await collection.tick('activity', 'clock')
  t.is((await activity())['state'], 'open')

  const press = (userId: string) => pressBuy(collection, { tenantId, userId, activityId })
  const answers = await Promise.all(Array.from({ length: 25 }, (_, index) => press(`user-${index}`)))
  t.deepEqual(
    answers.map(({ status }) => status),
    Array.from({ length: 25 }, () => 202),
  )

  const live = () => call('GET', `/api/v1/seckill/${activityId}/live`)
  await eventually(
    async () => (await live()).body,
    ({ confirmed }) => confirmed === 25,
  )
  t.is((await command('close')).status, 200)
  t.is((await press('late')).status, 410)
  t.is((await command('settle')).status, 422, 'orders wait for payment')

  // Two buyers change their minds, the others pay.
  for (const { userId, body } of answers.slice(0, 2)) {
    const token = await collection.identity.token({ tenantId, userId })
    t.is((await call('POST', `/api/v1/orders/${body['orderNumber']}/cancel`, undefined, token)).status, 200)
  }
  for (const { body } of answers.slice(2)) {
    const orderNumber = body['orderNumber'] as string
    const paidAt = new Date().toISOString()
    const data = { tenantId, orderNumber, paymentId: `p-${orderNumber}`, amountCents: 19_900, currency: 'EUR', paidAt }
    t.is(await deliver(collection.host, 'order', { definition: paymentSucceeded, subject: orderNumber, data }), 204)
  }
  await eventually(
    async () => (await live()).body,
    ({ sold }) => sold === 23,
  )

  const run = (await call('POST', '/api/v1/reconciliation-runs', { activityId })).body
  t.like(run, { outcome: 'compared', open: 0 })
  await collection.tick('activity', 'clock')
  t.like(await activity(), { state: 'settled', sold: 23, unsold: 7 })
  await eventually(
    async () => (await call('GET', '/api/v1/stocks/phone')).body,
    ({ reserved }) => reserved === 0,
  )
  t.like((await call('GET', '/api/v1/stocks/phone')).body, { onHand: 27, reserved: 0 })

  const report = (await call('GET', `/api/v1/activities/${activityId}/report`)).body
  t.like(report, {
    units: { allocated: 30, sold: 23, unsold: 7, oversold: 0 },
    funnel: { accepted: 25, stored: 25, paid: 23, cancelled: 2, pending: 0 },
    revenueCents: 23 * 19_900,
  })
  t.is(report['soldOverTime'].points.at(-1).cumulative, 25)
})
