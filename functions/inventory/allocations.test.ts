import test from 'ava'
import { bucketKeys } from '@stampede/shared/sale/keys.ts'
import { allocatedType, cancelled, refusedType, scheduled, settled, startStage, warmedUpType } from './testing.ts'
import { ownAlarms } from '@stampede/shared/testing/alarms.ts'
import { alarmKeys } from '@stampede/shared/alarms/alarm.ts'

let stage: Awaited<ReturnType<typeof startStage>>
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage?.stop())

test('activity.scheduled – twice and with another event id: one allocation, one event', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 150)
  const terms = tenant.terms()
  t.is(await stage.deliver(scheduled(terms, 'first')), 204)
  t.is(await stage.deliver(scheduled(terms, 'first')), 204)
  t.is(await stage.deliver(scheduled(terms, 'second')), 204)
  await stage.said()
  t.deepEqual(
    stage.published(tenant.tenantId, allocatedType).map((event) => event.data),
    [terms],
  )
  t.like(await tenant.look('phone'), { onHand: 150, reserved: 100 })
  t.like((await tenant.asService('GET', `/api/v1/allocations/${terms.activityId}`)).body, {
    state: 'allocated',
    quantity: 100,
    warmedAt: null,
  })
})

test('activity.scheduled – more than there is: refused with both numbers, and again with fewer: allocated', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 50)
  const terms = tenant.terms()
  await stage.deliver(scheduled(terms))
  await stage.said()
  t.like(stage.published(tenant.tenantId, refusedType)[0]?.data, { wanted: 100, available: 50 })
  t.like(await tenant.look('phone'), { reserved: 0 })
  await stage.deliver(scheduled({ ...terms, stock: 40 }))
  await stage.said()
  t.is(stage.published(tenant.tenantId, allocatedType).length, 1)
  t.like(await tenant.look('phone'), { reserved: 40 })
})

test('activity.scheduled – 10 activities at once for a stock of 3: exactly 3 are allocated', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 300)
  await Promise.all(Array.from({ length: 10 }, () => stage.deliver(scheduled(tenant.terms()))))
  await stage.said()
  t.is(stage.published(tenant.tenantId, allocatedType).length, 3)
  t.is(stage.published(tenant.tenantId, refusedType).length, 7)
  t.like(await tenant.look('phone'), { onHand: 300, reserved: 300 })
})

test('activity.cancelled – returns all once; before the schedule: the schedule is ignored', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 100)
  const terms = tenant.terms()
  await stage.deliver(scheduled(terms))
  t.is(await stage.deliver(cancelled(terms)), 204)
  t.is(await stage.deliver(cancelled(terms)), 204)
  t.like(await tenant.look('phone'), { onHand: 100, reserved: 0 })

  const overtaken = tenant.terms()
  await stage.deliver(cancelled(overtaken))
  await stage.deliver(scheduled(overtaken))
  t.like(await tenant.look('phone'), { onHand: 100, reserved: 0 })
  t.like((await tenant.asService('GET', `/api/v1/allocations/${overtaken.activityId}`)).body, { state: 'cancelled' })
})

test('activity.settled – the sale in Redis ends after a while, and is no longer looked after', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 100)
  const terms = tenant.terms(soon())
  await stage.deliver(scheduled(terms))
  const { sale } = bucketKeys({ ...terms, bucket: 1 })
  t.is(await stage.redis.ttl(sale), -1)
  t.is(await stage.deliver(settled(terms, 70)), 204)
  const ttlSeconds = await stage.redis.ttl(sale)
  t.true(ttlSeconds > 600_000 && ttlSeconds <= 604_800, `${ttlSeconds}`)
  t.false((await stage.sales.listSales()).some(({ activityId }) => activityId === terms.activityId))
})

test('activity.settled – sold units leave, unsold go back, once; a cancellation afterwards changes nothing', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 120)
  const terms = tenant.terms()
  t.is(await stage.deliver(settled(terms, 70)), 503, 'the allocation may be on its way')
  await stage.deliver(scheduled(terms))
  t.is(await stage.deliver({ ...settled(terms, 70), data: { ...settled(terms, 70).data, unsold: 31 } }), 422)
  t.is(await stage.deliver(settled(terms, 70)), 204)
  t.is(await stage.deliver(settled(terms, 70)), 204)
  t.is(await stage.deliver(cancelled(terms)), 204)
  t.like(await tenant.look('phone'), { onHand: 50, reserved: 0 })
  t.like((await tenant.asService('GET', `/api/v1/allocations/${terms.activityId}`)).body, {
    state: 'settled',
    sold: 70,
    returned: 30,
  })
})

const soon = () => ({ startsAt: new Date(Date.now() + 60_000).toISOString() })
const running = () => ({ startsAt: new Date(Date.now() - 60_000).toISOString() })

// Serial: a schedule does not overlap itself, so a tick during another one is none.
test.serial(
  'warm-up – right after the allocation when the start is near: exact terms in Redis, told once',
  async (t) => {
    const tenant = await stage.tenant()
    await tenant.stock('phone', 101)
    const terms = tenant.terms({ ...soon(), stock: 101 })
    await stage.deliver(scheduled(terms))
    const [one, other] = await Promise.all([0, 1].map((bucket) => stage.sales.snapshot({ ...terms, bucket })))
    t.is(one!.total + other!.total, 101)
    t.like(one, {
      state: 'open',
      perUserLimit: 1,
      buckets: 2,
      startsAtMs: Date.parse(terms.startsAt),
      endsAtMs: Date.parse(terms.endsAt),
    })
    t.is(await stage.tick(), 204)
    t.deepEqual((await tenant.asService('POST', `/api/v1/allocations/${terms.activityId}/warm-up`)).body, {
      outcome: 'already-warm',
    })
    await stage.said()
    t.like(
      stage.published(tenant.tenantId, warmedUpType).map((event) => event.data),
      [{ activityId: terms.activityId, stock: 101, buckets: 2 }],
    )
    t.is(stage.published(tenant.tenantId, warmedUpType).length, 1)
  },
)

test.serial('warm-up – by the clock: what begins within the horizon, not what begins later', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 200)
  const near = tenant.terms()
  const far = tenant.terms()
  await stage.deliver(scheduled(near))
  await stage.deliver(scheduled(far))
  t.is(await stage.sales.snapshot({ ...near, bucket: 0 }), undefined)
  await stage.sql.query('UPDATE inventory_allocations SET starts_at = ? WHERE activity_id = ?', [
    new Date(Date.now() + 60_000),
    near.activityId,
  ])
  await stage.tick()
  t.truthy(await stage.sales.snapshot({ ...near, bucket: 1 }))
  t.is(await stage.sales.snapshot({ ...far, bucket: 0 }), undefined)
})

test('warm-up – Redis lost the sale before its start and nothing is ordered: created again', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 100)
  const terms = tenant.terms(soon())
  await stage.deliver(scheduled(terms))
  await stage.forget(terms)
  t.deepEqual((await tenant.asService('POST', `/api/v1/allocations/${terms.activityId}/warm-up`)).body, {
    outcome: 'warmed-up',
  })
  t.is((await stage.sales.snapshot({ ...terms, bucket: 0 }))?.left, 50)
})

test('warm-up – Redis lost the sale before its start but there are orders: not created fresh', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 100)
  const terms = tenant.terms(soon())
  await stage.deliver(scheduled(terms))
  await stage.forget(terms)
  stage.ordered.set(terms.activityId, 1)
  t.deepEqual((await tenant.asService('POST', `/api/v1/allocations/${terms.activityId}/warm-up`)).body, {
    outcome: 'needs-rebuild',
  })
  t.is(await stage.sales.snapshot({ ...terms, bucket: 0 }), undefined)
})

test.serial(
  'warm-up – Redis lost a sale whose window began: never created fresh, neither by the clock nor by hand',
  async (t) => {
    const tenant = await stage.tenant()
    await tenant.stock('phone', 100)
    const terms = tenant.terms(running())
    await stage.deliver(scheduled(terms))
    t.truthy(await stage.sales.snapshot({ ...terms, bucket: 0 }))
    await stage.forget(terms)
    await stage.tick()
    t.deepEqual((await tenant.asService('POST', `/api/v1/allocations/${terms.activityId}/warm-up`)).body, {
      outcome: 'needs-rebuild',
    })
    t.is(await stage.sales.snapshot({ ...terms, bucket: 0 }), undefined)
  },
)

test('warm-up – the process died between Redis and MySQL: completed without a second creation', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 100)
  const terms = tenant.terms(running())
  await stage.deliver(scheduled(terms))
  await stage.said()
  // As if it had died before it wrote that the sale is warm; one unit was sold meanwhile.
  await stage.sql.query('UPDATE inventory_allocations SET warmed_at = NULL WHERE activity_id = ?', [terms.activityId])
  await stage.redis.hincrby(bucketKeys({ ...terms, bucket: 0 }).sale, 'left', -1)
  t.deepEqual((await tenant.asService('POST', `/api/v1/allocations/${terms.activityId}/warm-up`)).body, {
    outcome: 'warmed-up',
  })
  t.is((await stage.sales.snapshot({ ...terms, bucket: 0 }))?.left, 49)
})

test('activity.cancelled – closes the sale in Redis; it is not warmed up again', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 100)
  const terms = tenant.terms(soon())
  await stage.deliver(scheduled(terms))
  await stage.deliver(cancelled(terms))
  t.is((await stage.sales.snapshot({ ...terms, bucket: 1 }))?.state, 'closed')
  t.deepEqual((await tenant.asService('POST', `/api/v1/allocations/${terms.activityId}/warm-up`)).body, {
    outcome: 'not-allocated',
  })
})

test.serial('warm-up – its alarm is set with the allocation, and by each look for the next sale', async (t) => {
  const tenant = await stage.tenant()
  await tenant.stock('phone', 200)
  const startsAtMs = (Math.floor(Date.now() / 1_000) + 400_000) * 1_000
  const terms = tenant.terms({
    startsAt: new Date(startsAtMs).toISOString(),
    endsAt: new Date(startsAtMs + 60_000).toISOString(),
  })
  await stage.deliver(scheduled(terms))
  // Half an hour before it begins.
  const warmUpMs = startsAtMs - 1_800_000
  await ownAlarms('inventory/warm-up', (atMs) => atMs === warmUpMs, stage.redis)
  await stage.redis.del(alarmKeys.due)
  await stage.sql.query("UPDATE inventory_allocations SET state = 'settled' WHERE activity_id <> ?", [terms.activityId])
  await stage.tick()
  // Redis had forgotten it.
  t.deepEqual(await ownAlarms('inventory/warm-up', () => true, stage.redis), [warmUpMs])
  // One that runs is looked after every five minutes.
  await stage.sql.query('UPDATE inventory_allocations SET starts_at = ? WHERE activity_id = ?', [
    new Date(Date.now() - 1_000),
    terms.activityId,
  ])
  const beforeMs = Date.now()
  await stage.tick()
  const [nextMs] = await ownAlarms('inventory/warm-up', (atMs) => atMs !== warmUpMs, stage.redis)
  t.is(nextMs! % 300_000, 0)
  t.true(nextMs! > beforeMs && nextMs! < Date.now() + 400_000)
})
