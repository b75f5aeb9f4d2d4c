import test from 'ava'
import { toCloudEvent } from '@stampede/shared/events/publish.ts'
import { random, startStage, type Stage } from './testing.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage?.stop())

type RecordView = { sequence: number; recordId: string; hash: string; previousHash: string; subject: string }
const list = async (tenant: Awaited<ReturnType<Stage['tenant']>>, query = '') =>
  (await tenant.call('GET', `/api/v1/audit-records${query}`)).body as {
    records: RecordView[]
    nextCursor: number | null
  }

test('record – a fact is in the chain of its tenant, with who told it', async (t) => {
  const tenant = await stage.tenant()
  t.is(await tenant.tell({ recordId: 'r-1' }), 204)
  const { records } = await list(tenant)
  t.is(records.length, 1)
  t.like(records[0], {
    sequence: 1,
    recordId: 'r-1',
    source: '/functions/tenant',
    actor: { kind: 'staff', id: 'keeper', tenantId: tenant.tenantId },
    action: 'thing.changed',
    subject: 'thing/1',
    details: { from: 1, to: 'two', note: 'ü😀 "quoted"' },
    previousHash: '0'.repeat(64),
  })
})

test('record – told many times at once, a fact is recorded once', async (t) => {
  const tenant = await stage.tenant()
  const event = toCloudEvent(tenant.fact())
  // The broker repeats an event with its id; a function that tells again makes a new one.
  const again = { ...event, id: random() }
  const statuses = await Promise.all(
    Array.from({ length: 20 }, (_, index) => stage.deliver(index % 2 === 0 ? event : again)),
  )
  t.deepEqual([...new Set(statuses)], [204])
  t.is((await tenant.records()).length, 1)
})

test('record – 120 facts of two tenants at once: two chains without a gap', async (t) => {
  const tenants = [await stage.tenant(), await stage.tenant()]
  const statuses = await Promise.all(
    Array.from({ length: 120 }, (_, index) => tenants[index % 2]!.tell({ recordId: `r-${index}` })),
  )
  t.deepEqual([...new Set(statuses)], [204])
  for (const tenant of tenants) {
    const rows = await tenant.records()
    t.deepEqual(
      rows.map((row) => Number(row['sequence'])),
      Array.from({ length: 60 }, (_, index) => index + 1),
    )
    t.like(await tenant.verify(), { ok: true, checked: 60, complete: true })
  }
})

test('record – what can never be written down is refused for good', async (t) => {
  const tenant = await stage.tenant()
  const event = toCloudEvent(tenant.fact())
  const wrong = [
    { subject: 'lone \ud800' },
    { details: { note: 'lone \ud800' } },
    { at: '0999-01-01T00:00:00.000Z' },
    { tenantId: 'not an id' },
  ]
  for (const change of wrong) {
    const status = await stage.deliver({ ...event, id: random(), data: { ...event.data, ...change } })
    t.true(status === 400 || status === 422, JSON.stringify(change))
  }
  t.is(await stage.deliver({ ...event, source: `/functions/${'x'.repeat(300)}` }), 422)
  t.is((await tenant.records()).length, 0)
})

test('list – pages, newest first, and filters', async (t) => {
  const tenant = await stage.tenant()
  const atMs = Date.UTC(2026, 0, 1)
  for (let index = 1; index <= 7; index++) {
    await tenant.tell({
      recordId: `r-${index}`,
      atMs: atMs + index * 1_000,
      actor: { kind: 'staff', id: index % 2 === 0 ? 'ann' : 'bob', tenantId: tenant.tenantId },
      action: index > 4 ? 'thing.removed' : 'thing.changed',
      subject: `thing/${index}`,
    })
  }
  const seen: number[] = []
  for (let cursor = ''; ;) {
    const { records, nextCursor } = await list(tenant, `?limit=3${cursor}`)
    seen.push(...records.map((record) => record.sequence))
    if (nextCursor === null) break
    cursor = `&cursor=${nextCursor}`
  }
  t.deepEqual(seen, [7, 6, 5, 4, 3, 2, 1])
  const sequences = async (query: string) => (await list(tenant, query)).records.map((record) => record.sequence)
  t.deepEqual(await sequences('?actor=ann'), [6, 4, 2])
  t.deepEqual(await sequences('?action=thing.removed&actor=bob'), [7, 5])
  t.deepEqual(await sequences('?subject=thing/3'), [3])
  t.deepEqual(await sequences(`?since=${new Date(atMs + 3_000).toISOString()}&until=2026-01-01T00:00:05Z`), [4, 3])
  t.is((await tenant.call('GET', '/api/v1/audit-records?since=yesterday')).status, 400)
})

test('tenants – one sees and verifies nothing of another', async (t) => {
  const [one, other] = [await stage.tenant(), await stage.tenant()]
  await one.fill(3)
  t.deepEqual(await list(other), { records: [], nextCursor: null })
  const { body } = await other.call('POST', '/api/v1/audit-records/verifications', {})
  t.like(body, { ok: true, checked: 0 })
})

test('verify – by request: right, from a record on, and where it is broken', async (t) => {
  const tenant = await stage.tenant()
  await tenant.fill(4)
  const verify = async (body?: unknown) => tenant.call('POST', '/api/v1/audit-records/verifications', body)
  t.like(await verify({}), {
    status: 200,
    body: { ok: true, checked: 4, throughSequence: 4, complete: true, finding: null },
  })
  t.like(await verify({ fromSequence: 3 }), { status: 200, body: { ok: true, checked: 2, throughSequence: 4 } })
  t.is((await verify({ fromSequence: 0 })).status, 400)
  await stage.sql.query("UPDATE audit_records SET subject = 'thing/x' WHERE tenant_id = ? AND sequence = 3", [
    tenant.tenantId,
  ])
  t.like(await verify({}), {
    status: 200,
    body: { ok: false, checked: 2, finding: { kind: 'changed', sequence: 3, recordId: 'r-3' } },
  })
})

test('access – needs audit.read', async (t) => {
  const tenant = await stage.tenant()
  const operator = await stage.host.identity.token({ tenantId: tenant.tenantId, roles: ['operator'] })
  t.is((await tenant.call('GET', '/api/v1/audit-records', undefined, operator)).status, 403)
  t.is((await tenant.call('POST', '/api/v1/audit-records/verifications', {}, operator)).status, 403)
  const user = await stage.host.identity.token({ tenantId: tenant.tenantId })
  t.is((await tenant.call('GET', '/api/v1/audit-records', undefined, user)).status, 403)
})
