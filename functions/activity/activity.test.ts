import test from 'ava'
import { inMs, now, runningActivity, startStage, type Body, type Stage } from './testing.ts'

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
