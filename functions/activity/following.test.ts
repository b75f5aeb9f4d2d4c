/** What happens elsewhere because of an activity, and the other way round: the sale in Redis follows it, and events of inventory change it. */
import test from 'ava'
import {
  inventoryAllocated,
  inventoryAllocationRefused,
  inventoryWarmedUp,
} from '@stampede/eventing/catalogue/events.ts'
import { followActivity } from './sale.ts'
import type { Activity } from './store.ts'
import { buy, now, runningActivity, startStage, typesOf, type Body, type Stage } from './testing.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage?.stop())

test('open – before the window: not started', async (t) => {
  const tenant = await stage.tenant()
  const { activityId } = await tenant.create()
  await stage.force(activityId, 'warmed-up')
  t.is((await tenant.command(activityId, 'open')).status, 425)
})

test('pause, resume, close – the sale in Redis follows at once', async (t) => {
  const { tenant, activityId, states } = await runningActivity(stage)
  await tenant.command(activityId, 'pause')
  t.deepEqual(await states(), ['paused', 'paused'])
  await tenant.command(activityId, 'resume')
  t.deepEqual(await states(), ['open', 'open'])
  await tenant.command(activityId, 'close')
  t.deepEqual(await states(), ['closed', 'closed'])
  t.deepEqual(typesOf(await stage.published(tenant.tenantId)), [
    'activity.paused',
    'activity.resumed',
    'activity.closed',
  ])
})

test('pause and resume at once from many sides – Redis ends as the activity does', async (t) => {
  const { tenant, activityId, states } = await runningActivity(stage)
  await Promise.all(
    Array.from({ length: 12 }, (_, index) => tenant.command(activityId, index % 2 ? 'pause' : 'resume')),
  )
  const { state } = await tenant.get(activityId)
  t.deepEqual(await states(), [state, state])
})

test('followActivity – another decision came while this one was on its way to Redis: the later one holds', async (t) => {
  const { activity, tenant, states } = await runningActivity(stage)
  const decided = (version: number, state: string) =>
    ({ ...activity, tenantId: tenant.tenantId, version, state }) as unknown as Activity
  // Paused as version 2 and resumed as version 3, but version 2 reaches Redis last.
  await followActivity(stage.sales, decided(2, 'paused'), async () => decided(3, 'open'))
  t.deepEqual(await states(), ['open', 'open'])
})

test('cancel – something was sold: conflict, and the sale goes on', async (t) => {
  const { tenant, activityId, states, ref } = await runningActivity(stage)
  await stage.force(activityId, 'warmed-up')
  await buy(stage, ref(0), 'early-bird')
  const { status, body } = await tenant.command(activityId, 'cancel')
  t.is(status, 409)
  t.is(body['sold'], 1)
  t.deepEqual(await states(), ['open', 'open'])
})

test('cancel – nothing was sold: the sale is closed before the answer', async (t) => {
  const { tenant, activityId, states } = await runningActivity(stage)
  await stage.force(activityId, 'warmed-up')
  t.is((await tenant.command(activityId, 'cancel')).status, 200)
  t.deepEqual(await states(), ['closed', 'closed'])
})

const allocated = (tenantId: string, activity: Body) => ({
  definition: inventoryAllocated,
  subject: activity['activityId'] as string,
  data: {
    ...Object.fromEntries(
      [
        'activityId',
        'name',
        'variantId',
        'stock',
        'perUserLimit',
        'buckets',
        'startsAt',
        'endsAt',
        'priceCents',
        'currency',
        'paymentTimeoutSeconds',
      ].map((field) => [field, activity[field]]),
    ),
    tenantId,
  } as never,
})
const warmedUp = (tenantId: string, activity: Body, id?: string) => ({
  definition: inventoryWarmedUp,
  subject: activity['activityId'] as string,
  data: { tenantId, activityId: activity['activityId'] as string, stock: 20, buckets: 2, at: now() },
  ...(id === undefined ? {} : { id }),
})
const refused = (tenantId: string, activityId: string) => ({
  definition: inventoryAllocationRefused,
  subject: activityId,
  data: { tenantId, activityId, variantId: 'phone', wanted: 20, available: 3, at: now() },
})

test('events of inventory – in order, twice, and out of order', async (t) => {
  const tenant = await stage.tenant()
  const activity = await tenant.create()
  const id = activity['activityId'] as string
  await tenant.command(id, 'schedule')
  // Out of order: warmed up before allocated.
  t.is(await stage.deliver(warmedUp(tenant.tenantId, activity, 'w-1')), 204)
  t.is(await stage.deliver(allocated(tenant.tenantId, activity)), 204)
  t.is(await stage.deliver(warmedUp(tenant.tenantId, activity, 'w-1')), 204)
  t.is(await stage.deliver(warmedUp(tenant.tenantId, activity)), 204)
  const after = await tenant.get(id)
  t.like(after, { state: 'warmed-up', version: 3 })
  t.truthy(after['allocatedAt'])
  t.is(await stage.deliver(refused(tenant.tenantId, id)), 204, 'an old refusal changes nothing now')
  t.like(await tenant.get(id), { state: 'warmed-up', version: 3 })
  t.is(await stage.deliver(warmedUp(tenant.tenantId, { activityId: 'unknown' })), 204)
})

test('allocation refused – the activity says why; changed it is a draft again and can be scheduled', async (t) => {
  const tenant = await stage.tenant()
  const { activityId } = await tenant.create()
  await tenant.command(activityId, 'schedule')
  await stage.deliver(refused(tenant.tenantId, activityId))
  const after = await tenant.get(activityId)
  t.like(after, { state: 'allocation-refused', refusal: { wanted: 20, available: 3 } })
  t.like(
    (await tenant.call('PATCH', `/api/v1/activities/${activityId}`, { version: after['version'], stock: 3 })).body,
    {
      state: 'draft',
      refusal: null,
    },
  )
  t.is((await tenant.command(activityId, 'schedule')).status, 200)
})
