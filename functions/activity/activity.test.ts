import test from 'ava'
import {
  inventoryAllocated,
  inventoryAllocationRefused,
  inventoryWarmedUp,
} from '@stampede/eventing/catalogue/events.ts'
import { followActivity } from './sale.ts'
import type { Activity } from './store.ts'
import { buy, inMs, now, runningActivity, startStage, typesOf, type Body, type Stage } from './testing.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage?.stop())

/** What staff may do in each state, written down a second time: the table in the code is what is tested. */
const allowed: Record<string, Record<string, string>> = {
  draft: { schedule: 'scheduled', cancel: 'cancelled' },
  scheduled: { close: 'closed', cancel: 'cancelled' },
  'allocation-refused': { schedule: 'scheduled', cancel: 'cancelled' },
  'warmed-up': { open: 'open', close: 'closed', cancel: 'cancelled' },
  open: { pause: 'paused', close: 'closed' },
  paused: { resume: 'open', close: 'closed' },
  closed: { settle: 'settled' },
  settled: {},
  cancelled: {},
}

for (const [state, commands] of Object.entries(allowed)) {
  for (const command of ['schedule', 'open', 'pause', 'resume', 'close', 'settle', 'cancel']) {
    const to = commands[command]
    test(`${command} – when ${state}: ${to ?? 'conflict, nothing changes'}`, async (t) => {
      const tenant = await stage.tenant()
      const activity = await tenant.create({ startsAt: inMs(60_000) })
      const id = activity['activityId'] as string
      if (command === 'settle') {
        await stage.warm(activity, tenant.tenantId)
        const facts = stage.elsewhere(id)
        facts.totals.allocated = 20
        facts.allocation = { state: 'allocated', quantity: 20, warmUpBegunAt: now(), warmedAt: now() }
      }
      await stage.force(id, state, command === 'open' ? { startsAt: inMs(-1_000) } : {})
      const { status, body } = await tenant.command(id, command)
      t.is(status, to === undefined ? 409 : 200, JSON.stringify(body))
      t.is(body['state'], to ?? state)
      t.like(await tenant.get(id), { state: to ?? state, version: to === undefined ? 1 : 2 })
      const events = await stage.published(tenant.tenantId)
      t.is(events.length, to === undefined || (state === 'draft' && command === 'cancel') ? 0 : 1)
      t.is(
        (await tenant.call('GET', `/api/v1/activities/${id}/history`)).body['transitions'].length,
        to === undefined ? 0 : 1,
      )
    })
  }
}

test('create – defaults, own id or a made one; the same id again: conflict', async (t) => {
  const tenant = await stage.tenant()
  const made = await tenant.create()
  t.like(made, { state: 'draft', version: 1, perUserLimit: 1, paymentTimeoutSeconds: 900, sold: null })
  const own = await tenant.create({ activityId: 'summer' })
  t.is(own['activityId'], 'summer')
  await t.throwsAsync(tenant.create({ activityId: 'summer' }), { message: /^409/ })
  await t.throwsAsync(tenant.create({ endsAt: inMs(1_000) }), { message: /^400.*endsAt/ })
})

test('create – bad input: each a problem document, no state', async (t) => {
  const tenant = await stage.tenant()
  const bad: Body[] = [
    { stock: 0 },
    { stock: 1.5 },
    { stock: 1e15 },
    { name: '' },
    { name: 'a\u0000b' },
    { name: 'x\ud800' },
    { name: 'x'.repeat(201) },
    { currency: 'euro' },
    { buckets: 65 },
    { startsAt: 'tomorrow' },
    { unknown: 1 },
    { variantId: "v'; DROP TABLE" },
    { tenantId: 'other' },
  ]
  for (const overrides of bad)
    await t.throwsAsync(tenant.create(overrides), { message: /^400/ }, JSON.stringify(overrides))
  t.deepEqual((await tenant.call('GET', '/api/v1/activities')).body['activities'], [])
})

test('change – a draft, with the version that was seen; 8 at once: one wins', async (t) => {
  const tenant = await stage.tenant()
  const { activityId } = await tenant.create()
  const change = (body: Body) => tenant.call('PATCH', `/api/v1/activities/${activityId}`, body)
  t.like((await change({ version: 1, stock: 30, name: 'New' })).body, {
    stock: 30,
    name: 'New',
    version: 2,
    state: 'draft',
  })
  const answers = await Promise.all(Array.from({ length: 8 }, (_, index) => change({ version: 2, stock: 40 + index })))
  t.is(answers.filter(({ status }) => status === 200).length, 1)
  t.is(answers.filter(({ status, body }) => status === 409 && body['version'] === 3).length, 7)
  t.is((await change({ version: 3 })).status, 400)
  t.is((await change({ version: 3, endsAt: inMs(60_000) })).status, 400)
  await stage.force(activityId, 'scheduled')
  t.is((await change({ version: 3, stock: 1 })).status, 409)
})

test('schedule – validates and says each error; then tells the terms', async (t) => {
  const tenant = await stage.tenant()
  const past = await tenant.create({ startsAt: inMs(-60_000), stock: 1, perUserLimit: 2, buckets: 3 })
  const { status, body } = await tenant.command(past['activityId'], 'schedule')
  t.is(status, 422)
  t.deepEqual(
    (body['errors'] as { pointer: string }[]).map((error) => error.pointer),
    ['/startsAt', '/perUserLimit', '/buckets'],
  )
  const { activityId, startsAt, endsAt } = await tenant.create()
  await tenant.command(activityId, 'schedule')
  const [event] = await stage.published(tenant.tenantId)
  t.is(event?.type, 'io.stampede.activity.scheduled.v1')
  t.is(event?.partitionkey, `${tenant.tenantId}:${activityId}`)
  t.deepEqual(event?.data, {
    tenantId: tenant.tenantId,
    activityId,
    name: 'Phones',
    variantId: 'phone',
    stock: 20,
    perUserLimit: 1,
    buckets: 2,
    startsAt,
    endsAt,
    priceCents: 19_900,
    currency: 'EUR',
    paymentTimeoutSeconds: 900,
  })
})

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

test('pre-check – everything ready: ok; each fault is named with what to do', async (t) => {
  const { tenant, activity, activityId, facts, ref } = await runningActivity(stage)
  const faults = async () => {
    const { body } = await tenant.command(activityId, 'pre-check')
    const bad = (body['items'] as { item: string; ok: boolean; action: string | null }[]).filter((item) => !item.ok)
    t.true(bad.every((item) => item.action !== null))
    t.is(body['ok'], bad.length === 0)
    return bad.map((item) => item.item)
  }
  t.deepEqual(await faults(), [])
  stage.seckillAnswers(503)
  t.deepEqual(await faults(), ['seckill'])
  stage.seckillAnswers(200)
  facts.totals.allocated = null
  facts.allocation = undefined
  t.deepEqual(await faults(), ['allocation', 'order'])
  facts.totals.allocated = 20
  facts.allocation = { state: 'allocated', quantity: 20, warmUpBegunAt: null, warmedAt: null }
  facts.live = { refused: {}, kafkaLag: 1_000_000 }
  t.deepEqual(await faults(), ['messages'])
  facts.live = undefined
  await stage.sales.setState(ref(1), 'paused')
  t.deepEqual(await faults(), ['sale-in-redis'])
  await stage.sales.setState(ref(1), 'open')
  await stage.sql.query('UPDATE activity_activities SET ends_at = ? WHERE activity_id = ?', [inMs(120_000), activityId])
  t.deepEqual(await faults(), ['sale-in-redis'], 'another window')
  await stage.sql.query('UPDATE activity_activities SET ends_at = ? WHERE activity_id = ?', [
    new Date(activity['endsAt']),
    activityId,
  ])
  await stage.force(activityId, 'scheduled')
  t.deepEqual(await faults(), ['activity', 'sale-in-redis'])
})

test('warm-up – asks inventory; only while it is scheduled or warm', async (t) => {
  const tenant = await stage.tenant()
  const { activityId } = await tenant.create()
  t.is((await tenant.command(activityId, 'warm-up')).status, 409)
  await tenant.command(activityId, 'schedule')
  t.deepEqual((await tenant.command(activityId, 'warm-up')).body, { outcome: 'warmed-up' })
})

test('tenants – one sees and changes nothing of another', async (t) => {
  const [one, other] = [await stage.tenant(), await stage.tenant()]
  const { activityId } = await one.create()
  t.is((await other.call('GET', `/api/v1/activities/${activityId}`)).status, 404)
  t.deepEqual((await other.call('GET', '/api/v1/activities')).body['activities'], [])
  for (const command of ['schedule', 'pre-check', 'warm-up', 'open', 'pause', 'resume', 'close', 'settle', 'cancel']) {
    t.is((await other.command(activityId, command)).status, 404, command)
  }
  t.is((await other.call('PATCH', `/api/v1/activities/${activityId}`, { version: 1, stock: 1 })).status, 404)
  t.is((await other.call('GET', `/api/v1/activities/${activityId}/report`)).status, 404)
  t.is((await other.call('GET', `/api/v1/activities/${activityId}/history`)).status, 404)
  t.is((await other.create({ activityId }))['activityId'], activityId, 'the same id is free elsewhere')
  t.like(await one.get(activityId), { state: 'draft', version: 1 })
})

test('list – keyset pages show everything once, newest first, by state', async (t) => {
  const tenant = await stage.tenant()
  const made: string[] = []
  for (let index = 0; index < 5; index++) made.push((await tenant.create())['activityId'])
  await tenant.command(made[0]!, 'cancel')
  const seen: string[] = []
  for (let cursor = ''; ;) {
    const { body } = await tenant.call('GET', `/api/v1/activities?limit=2${cursor && `&cursor=${cursor}`}`)
    seen.push(...(body['activities'] as Body[]).map((activity) => activity['activityId'] as string))
    if (body['nextCursor'] === null) break
    cursor = body['nextCursor'] as string
  }
  t.deepEqual(seen, made.toReversed())
  const { body } = await tenant.call('GET', '/api/v1/activities?state=cancelled')
  t.is(body['activities'].length, 1)
})

test('audit – is told what staff did, in the transaction in which they did it', async (t) => {
  const tenant = await stage.tenant()
  const activity = await tenant.create({ startsAt: inMs(60_000) })
  const id = activity['activityId'] as string
  await tenant.call('PATCH', `/api/v1/activities/${id}`, { version: 1, name: 'New' })
  await tenant.call('PATCH', `/api/v1/activities/${id}`, { version: 1, name: 'Refused' })
  await tenant.command(id, 'cancel')
  const records = await stage.audited(tenant.tenantId)
  t.deepEqual(
    records.map(({ action, subject, details }) => [action, subject, (details as Body)['version']]),
    [
      ['activity.created', `activity/${id}`, 1],
      ['activity.changed', `activity/${id}`, 2],
      ['activity.cancelled', `activity/${id}`, 3],
    ],
  )
  for (const { actor } of records) t.deepEqual(actor, { kind: 'staff', id: 'chief', tenantId: tenant.tenantId })
})
