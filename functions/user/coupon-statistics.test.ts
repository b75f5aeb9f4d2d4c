import { randomUUID } from 'node:crypto'
import test from 'ava'
import {
  couponExpired,
  couponIssued,
  couponRedeemed,
  couponReturned,
} from '@stampede/eventing/catalogue/coupon-events.ts'
import { startStage, type Stage } from './testing.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage?.stop())

/** Three coupons: one is used; one was used, came back and expired; one is there. */
const history = [
  [couponIssued, 'a', 500],
  [couponIssued, 'b', 300],
  [couponIssued, 'c', 200],
  [couponRedeemed, 'a', 450],
  [couponRedeemed, 'b', 300],
  [couponReturned, 'b', 300],
  [couponExpired, 'b', 300],
] as const

test('coupons – the same sums in every order, with repeats, and all at once', async (t) => {
  const tenant = await stage.tenant()
  const orders: (readonly number[])[] = [
    [0, 1, 2, 3, 4, 5, 6],
    [6, 5, 4, 3, 2, 1, 0],
    [3, 0, 5, 6, 1, 4, 2],
  ]
  for (const order of orders) {
    const ann = await tenant.person()
    const events = history.map(([definition, couponId, amountCents], index) => ({
      definition,
      id: randomUUID(),
      subject: couponId,
      data: {
        tenantId: tenant.tenantId,
        userId: ann.userId,
        couponId,
        amountCents,
        at: new Date(Date.UTC(2026, 0, 1, 0, index)).toISOString(),
      },
    }))
    for (const index of order) t.is(await stage.deliver(events[index]!), 204)
    t.deepEqual([...new Set(await Promise.all(events.map((event) => stage.deliver(event))))], [204])
    t.deepEqual((await ann.me('GET')).body['coupons'], {
      issued: 3,
      redeemed: 2,
      returned: 1,
      expired: 1,
      available: 1,
      used: 1,
      savedCents: 450,
      lastAt: '2026-01-01T00:06:00.000Z',
    })
  }
})

test('coupons – of somebody who is not known yet, and of nobody else', async (t) => {
  const [tenant, other] = [await stage.tenant(), await stage.tenant()]
  const data = {
    tenantId: tenant.tenantId,
    userId: 'early',
    couponId: 'c',
    amountCents: 1,
    at: new Date().toISOString(),
  }
  t.is(await stage.deliver({ definition: couponIssued, subject: 'c', data }), 204)
  const issued = async (of: typeof tenant) =>
    (await of.call(await of.tokenOf('early'), 'GET', '/api/v1/users/me')).body['coupons'].issued as number
  t.is(await issued(tenant), 1)
  t.is(await issued(other), 0)
})
