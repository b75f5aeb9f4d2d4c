/** What time does, on a stage of its own: a tick touches every activity of the database. */
import test from 'ava'
import { reconciliationCompleted } from '@stampede/eventing/catalogue/events.ts'
import { buy, inMs, now, runningActivity, startStage, typesOf, type Stage } from './testing.ts'
import { alarmKeys } from '@stampede/shared/alarms/alarm.ts'
import { alarmsSet, ownAlarms } from '@stampede/shared/testing/alarms.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage?.stop())

test.serial('clock – a sale that says otherwise is set right; one that is rebuilt is left alone', async (t) => {
  const { activityId, states, ref } = await runningActivity(stage)
  await stage.force(activityId, 'paused')
  await stage.tick()
  t.deepEqual(await states(), ['paused', 'paused'])
  await stage.sales.setState(ref(0), 'rebuilding')
  await stage.force(activityId, 'open')
  await stage.tick()
  t.deepEqual(await states(), ['rebuilding', 'open'])
})

test.serial('clock – opens when the window began, closes when it ended, also when it is asked twice', async (t) => {
  const { tenant, activityId, facts } = await runningActivity(stage)
  await stage.force(activityId, 'warmed-up')
  await stage.tick()
  await stage.tick()
  t.is((await tenant.get(activityId))['state'], 'open')
  facts.totals.states['pending-payment'] = { orders: 1, units: 1 }
  await stage.force(activityId, 'open', { endsAt: inMs(-1_000) })
  await stage.tick()
  await stage.tick()
  t.is((await tenant.get(activityId))['state'], 'closed')
  t.deepEqual(typesOf(await stage.published(tenant.tenantId)), ['activity.opened', 'activity.closed'])
})

test.serial('clock – nothing before the window begins', async (t) => {
  const tenant = await stage.tenant()
  const activity = await tenant.create()
  await stage.warm(activity, tenant.tenantId)
  await stage.force(activity['activityId'], 'warmed-up')
  await stage.tick()
  t.is((await tenant.get(activity['activityId']))['state'], 'warmed-up')
})

test.serial('clock – the warmed-up event is late but the sale is there: opens', async (t) => {
  const { tenant, activityId } = await runningActivity(stage)
  await stage.force(activityId, 'scheduled')
  await stage.tick()
  t.is((await tenant.get(activityId))['state'], 'open')
})

test.serial('clock – the window passed and nothing was ever warmed up: cancelled; was it begun: closed', async (t) => {
  const tenant = await stage.tenant()
  const make = async (warmUpBegunAt: string | null) => {
    const { activityId } = await tenant.create()
    await stage.force(activityId, 'scheduled', { startsAt: inMs(-60_000), endsAt: inMs(-1_000) })
    stage.elsewhere(activityId).allocation = { state: 'allocated', quantity: 20, warmUpBegunAt, warmedAt: null }
    return activityId as string
  }
  const [never, begun] = [await make(null), await make(now())]
  await stage.tick()
  t.is((await tenant.get(never))['state'], 'cancelled')
  t.is((await tenant.get(begun))['state'], 'closed')
})

test.serial('settle – only when everything agrees; each disagreement is named', async (t) => {
  const { tenant, activityId, facts, ref } = await runningActivity(stage)
  const orderNumber = await buy(stage, ref(0), 'buyer')
  await stage.force(activityId, 'closed')
  const failed = async () => {
    const { status, body } = await tenant.command(activityId, 'settle')
    return status === 422 ? (body['failed'] as { check: string }[]).map((check) => check.check) : status
  }
  t.deepEqual(await failed(), ['outbox-empty', 'redis-and-orders'])
  const entries = await stage.sales.readOutbox(ref(0), 'test', 10)
  await stage.sales.acknowledgeOutbox(
    ref(0),
    entries.map((entry) => entry.id),
  )
  t.deepEqual(await failed(), ['redis-and-orders'])
  facts.totals = { allocated: 20, sold: 1, states: { 'pending-payment': { orders: 1, units: 1 } }, rejected: {} }
  t.deepEqual(await failed(), ['nothing-pending'])
  facts.totals.states = { paid: { orders: 1, units: 1 } }
  facts.totals.sold = 2
  t.deepEqual(await failed(), ['orders-and-allocation'])
  facts.totals.sold = 1
  facts.allocation!.quantity = 19
  t.deepEqual(await failed(), ['allocation'])
  const reconciled = (runId: string, kind: string, repaired: boolean) => ({
    definition: reconciliationCompleted,
    subject: activityId,
    data: {
      tenantId: tenant.tenantId,
      activityId,
      runId,
      repaired: 0,
      open: 1,
      findings: [{ kind, count: 1, repaired }],
      at: now(),
    },
  })
  await stage.deliver(reconciled('02', 'never-stored', false))
  await stage.deliver(reconciled('01', 'never-stored', true))
  facts.allocation!.quantity = 20
  t.deepEqual(await failed(), ['reconciliation'], 'an older run that comes late changes nothing')
  await stage.deliver(reconciled('03', 'left-too-low', false))
  await stage.tick()
  t.like(await tenant.get(activityId), { state: 'settled', sold: 1, unsold: 19 })
  const events = await stage.published(tenant.tenantId)
  t.like(events.at(-1)?.data, { allocated: 20, sold: 1, unsold: 19, variantId: 'phone' })
  t.truthy(orderNumber)
})

test.serial('clock – its alarm is set when an activity is scheduled, and by each look for the next', async (t) => {
  const tenant = await stage.tenant()
  const startsAtMs = (Math.floor(Date.now() / 1_000) + 500_000) * 1_000
  const { activityId } = await tenant.create({ startsAt: new Date(startsAtMs), endsAt: new Date(startsAtMs + 60_000) })
  t.false((await alarmsSet('activity/clock', stage.redis)).includes(startsAtMs))
  t.is((await tenant.command(activityId as string, 'schedule')).status, 200)
  await ownAlarms('activity/clock', (atMs) => atMs === startsAtMs, stage.redis)
  await stage.redis.del(alarmKeys.due)
  await stage.sql.query('UPDATE activity_activities SET state = "settled" WHERE activity_id <> ?', [activityId])
  await stage.tick()
  // Redis had forgotten it.
  t.deepEqual(await ownAlarms('activity/clock', () => true, stage.redis), [startsAtMs])
})
