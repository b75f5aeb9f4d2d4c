/** The function whole: events, clock, lease, storage, HTTP; real Redis and MySQL, the other functions as their contract. */
import test from 'ava'
import { activityCancelled, activitySettled, inventoryAllocated } from '@stampede/eventing/catalogue/events.ts'
import { connectDatabase } from '@stampede/shared/database/connect.ts'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { createLock } from '@stampede/shared/redis/lock.ts'
import { bucketKeys } from '@stampede/shared/sale/keys.ts'
import { deliver } from '@stampede/shared/testing/events.ts'
import { completedType, startStage, type Stage } from './stage.fixture.ts'
import { beginRun, finishRun } from './store.ts'
import { alarmsSet, ownAlarms } from '@stampede/shared/testing/alarms.ts'
import { alarmKeys } from '@stampede/shared/alarms/alarm.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage?.stop())

// One after the other: a tick goes over every sale, and one test takes order away.
test.serial('run – repairs, stores the findings and tells them', async (t) => {
  const sale = await stage.sale()
  const missing = sale.order('u1')
  const rejected = await sale.buy('u2')
  sale.reject(rejected)
  const unknown = await sale.buy('u3')
  const { status, body } = await sale.run()
  t.is(status, 200)
  t.deepEqual(
    (body['findings'] as { kind: string; repaired: number; orderNumbers: string[] }[]).map(
      ({ kind, repaired, orderNumbers: numbers }) => [kind, repaired, numbers],
    ),
    [
      ['ended-in-orders', 1, [rejected]],
      ['not-in-orders', 1, [unknown]],
      ['missing-in-redis', 1, [missing]],
    ],
  )
  t.like(await stage.store.snapshot(sale.ref), { left: 8, sold: 2, confirmed: 1, outboxLength: 1 })
  const shown = (await sale.call('GET', `/api/v1/reconciliation-runs/${body['runId']}`)).body
  t.like(shown, { state: 'done', outcome: 'compared', repaired: 3, open: 0 })
  t.is((shown['findings'] as unknown[]).length, 3)
  await stage.sink.waitFor(completedType)
  t.like(sale.told()[0], { repaired: 3, open: 0, runId: body['runId'] })

  const metrics = await (await fetch(`${stage.pods[0]!.url}/metrics`)).text()
  t.regex(
    metrics,
    /stampede_reconciliation_findings_total\{[^}]*kind="missing-in-redis"[^}]*repaired="yes"[^}]*\} [1-9]/,
  )
})

test.serial(
  'run – told when findings are open and when they are gone, silent while there is nothing to tell',
  async (t) => {
    const sale = await stage.sale()
    const open = async () => {
      await sale.run()
      await stage.said()
      return sale.told().map((data) => data['open'])
    }
    await sale.run()
    await stage.redis.hincrby(bucketKeys(sale.ref).sale, 'left', -1)
    await stage.sink.waitFor(completedType)
    t.deepEqual(await open(), [0, 1])
    await stage.redis.hincrby(bucketKeys(sale.ref).sale, 'left', 1)
    t.deepEqual(await open(), [0, 1, 0])
    t.deepEqual(await open(), [0, 1, 0])
  },
)

test.serial('run – twice: the second finds nothing; resends are counted in MySQL', async (t) => {
  const sale = await stage.sale()
  const unknown = await sale.buy('u1')
  await sale.run()
  const { body } = await sale.run(1)
  t.deepEqual(body['findings'], [], 'the message is on its way')
  const [rows] = await stage.sql.query(
    'SELECT order_number AS orderNumber, resends FROM reconciliation_resends WHERE tenant_id = ?',
    [sale.terms.tenantId],
  )
  t.deepEqual(rows, [{ orderNumber: unknown, resends: 1 }] as never)
})

test.serial('clock – two pods at once: one run of each sale at a time, tokens grow', async (t) => {
  const sale = await stage.sale()
  await Promise.all([stage.tick(0), stage.tick(1), stage.tick(0), stage.tick(1)])
  await stage.tick(0)
  const runs = (await sale.runs()).toReversed()
  t.true(runs.length >= 1)
  t.true(runs.every((run) => run['state'] === 'done'))
  for (const [index, run] of runs.entries()) {
    const next = runs[index + 1]
    if (!next) continue
    t.true(Number(next['fencingToken']) > Number(run['fencingToken']))
    t.true(String(run['finishedAt']) <= String(next['startedAt']), 'they do not overlap')
  }
})

test.serial('lease – another runner holds it: staff is told, the clock goes on without', async (t) => {
  const sale = await stage.sale()
  const held = await createLock(stage.redis).acquire(`reconciliation:${sale.terms.tenantId}:${sale.terms.activityId}`)
  t.is((await sale.run()).status, 409)
  t.is(await stage.tick(), 204)
  t.deepEqual(await sale.runs(), [])
  await held!.release()
  t.is((await sale.run()).status, 200)
})

test.serial('fencing – a runner that lost its lease can neither begin nor finish after a newer one', async (t) => {
  const sale = await stage.sale()
  const database = connectDatabase(stage.database.url)
  t.teardown(() => database.close())
  const at = new Date()
  const nextId = orderNumbers()
  const [older, newer] = [5, 9].map((fencingToken) => ({ runId: nextId(), fencingToken }))
  const begin = (run: { runId: string; fencingToken: number }) =>
    database.transaction((tx) => beginRun(tx.forTenant(sale.terms.tenantId), sale.terms.activityId, { ...run, at }))
  const result = {
    state: 'done',
    outcome: 'compared',
    buyers: 1,
    orders: 1,
    repaired: 0,
    open: 0,
    failure: null,
    findings: [],
  } as const
  t.true(await begin(older!))
  t.true(await begin(newer!))
  t.false(
    await database.transaction((tx) =>
      finishRun(tx.forTenant(sale.terms.tenantId), sale.terms.activityId, older!, result, at),
    ),
  )
  t.true(
    await database.transaction((tx) =>
      finishRun(tx.forTenant(sale.terms.tenantId), sale.terms.activityId, newer!, result, at),
    ),
  )
  t.false(await begin({ runId: nextId(), fencingToken: 7 }))
  t.deepEqual(
    (await sale.runs()).map((run) => [run['fencingToken'], run['state']]),
    [
      [9, 'done'],
      [5, 'failed'],
    ],
  )
})

test.serial('clock – order does not answer: the run fails, nothing is repaired, the next one works', async (t) => {
  const sale = await stage.sale()
  const orderNumber = await sale.buy('u1')
  stage.orderDown(true)
  t.is(await stage.tick(), 204)
  stage.orderDown(false)
  t.like((await sale.runs())[0], { state: 'failed' })
  t.like(await stage.store.snapshot(sale.ref), { left: 9, outboxLength: 0 })
  sale.order('u1', 'paid', orderNumber)
  await stage.tick()
  t.like((await sale.runs())[0], { state: 'done', repaired: 1 })
})

test.serial('clock – Redis lost a running sale: rebuilt, buyers of before keep their place', async (t) => {
  const sale = await stage.sale()
  const orderNumber = await sale.buy('u1')
  sale.order('u1', 'paid', orderNumber)
  await sale.lose()
  await stage.tick()
  t.like((await sale.runs())[0], { outcome: 'rebuilt' })
  t.like(await stage.store.snapshot(sale.ref), { state: 'open', left: 9, sold: 1, confirmed: 1 })
  const { verdicts } = await stage.store.purchase(sale.ref, [
    { userId: 'u1', quantity: 1, orderNumber: stage.youngNumber() },
  ])
  t.is(verdicts[0]?.outcome, 'duplicate')
})

test.serial('clock – Redis lost a sale that never was warmed up, just was, or has not begun: left alone', async (t) => {
  const never = await stage.sale()
  stage.warmUps.set(never.terms.activityId, null)
  const justNow = await stage.sale()
  stage.warmUps.set(justNow.terms.activityId, new Date().toISOString())
  const later = await stage.sale({ startsAt: new Date(Date.now() + 600_000).toISOString() })
  for (const sale of [never, justNow, later]) {
    await sale.lose()
    t.like((await sale.run()).body, { outcome: 'not-in-redis' })
    t.is(await stage.store.snapshot(sale.ref), undefined)
  }
})

for (const definition of [activitySettled, activityCancelled]) {
  test.serial(
    `${definition.type} – the sale is looked after no more; also before its allocation, and twice`,
    async (t) => {
      const sale = await stage.sale()
      await sale.run()
      const { tenantId, activityId, variantId } = sale.terms
      const at = new Date().toISOString()
      const event = {
        definition,
        subject: activityId,
        data: { tenantId, activityId, variantId, allocated: 10, sold: 0, unsold: 10, at } as never,
      }
      t.is(await deliver(stage.pods[0]!, 'reconciliation', event), 204)
      t.is(await deliver(stage.pods[1]!, 'reconciliation', event), 204)
      // The allocation comes late.
      await deliver(stage.pods[0]!, 'reconciliation', {
        definition: inventoryAllocated,
        subject: activityId,
        data: sale.terms,
      })
      t.is((await sale.run()).status, 404)
      await stage.tick()
      t.is((await sale.runs()).length, 1)
    },
  )
}

test.serial('tenants – runs of another are neither seen nor started', async (t) => {
  const [one, other] = [await stage.sale(), await stage.sale()]
  const { runId } = (await one.run()).body
  t.is((await other.call('GET', `/api/v1/reconciliation-runs/${runId}`)).status, 404)
  t.deepEqual(
    (await other.call('GET', `/api/v1/reconciliation-runs?activityId=${one.terms.activityId}`)).body['runs'],
    [],
  )
  t.is((await other.call('POST', '/api/v1/reconciliation-runs', { activityId: one.terms.activityId })).status, 404)
})

test.serial('alarm – a sale is compared from its beginning on, each minute, until there is none', async (t) => {
  const beginsAtMs = (Math.floor(Date.now() / 1_000) + 300_000) * 1_000
  await stage.sql.query('UPDATE reconciliation_sales SET ended_at = NOW()')
  const sale = await stage.sale({ startsAt: new Date(beginsAtMs).toISOString() })
  await ownAlarms('reconciliation/compare', (atMs) => atMs === beginsAtMs, stage.redis)
  await stage.redis.del(alarmKeys.due)
  await stage.tick()
  // Redis had forgotten it.
  t.deepEqual(await ownAlarms('reconciliation/compare', () => true, stage.redis), [beginsAtMs])

  const { activityId, tenantId } = sale.terms
  await stage.sale()
  await stage.redis.del(alarmKeys.due)
  const beforeMs = Date.now()
  await stage.tick()
  const [nextMs, ...more] = await ownAlarms('reconciliation/compare', () => true, stage.redis)
  t.deepEqual(more, [])
  t.is(nextMs! % 60_000, 0)
  t.true(nextMs! > beforeMs && nextMs! < Date.now() + 80_000)

  await stage.sql.query('UPDATE reconciliation_sales SET ended_at = NOW()')
  await stage.redis.del(alarmKeys.due)
  await stage.tick()
  t.deepEqual(await alarmsSet('reconciliation/compare', stage.redis), [], `${tenantId} ${activityId} has ended`)
})
