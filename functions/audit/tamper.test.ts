/** What somebody with all rights in the database, but without the key, can do to a chain, and what of it is found. */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { canonicalJson } from './canonical-json.ts'
import { beginning, chain, type Fact } from './chain.ts'
import { createMacs } from './macs.ts'
import { findingOf, startStage, type Stage, type Tenant } from './testing.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage?.stop())

const run: Stage['run'] = (...parameters) => stage.run(...parameters)
const filled = (count?: number) => stage.filled(count)

const columns: [string, string][] = [
  ['record_id', "'r-99'"],
  ['source', "'/functions/other'"],
  ['actor_kind', "'user'"],
  ['actor_id', "'somebody'"],
  ['actor_tenant_id', "'somewhere'"],
  ['action', "'thing.praised'"],
  ['subject', "CONCAT(subject, ' ')"],
  ['details', `'{"from":1,"note":"","to":"three"}'`],
  ['details', "REPLACE(details, ',', ', ')"],
  ['details', `REPLACE(details, '{', '{"from":2,')`],
  ['details', "''"],
  ['at', 'at + INTERVAL 1 SECOND'],
  ['recorded_at', 'recorded_at - INTERVAL 1 SECOND'],
]
test('tamper – any column of a record is changed', async (t) => {
  for (const [column, value] of columns) {
    const tenant = await filled()
    await run(tenant, `UPDATE audit_records SET ${column} = ${value} WHERE tenant_id = $T AND sequence = 3`)
    t.like(await findingOf(tenant), { kind: 'changed', sequence: 3 }, `${column} = ${value}`)
  }
  for (const column of ['hash', 'previous_hash']) {
    const tenant = await filled()
    await run(tenant, `UPDATE audit_records SET ${column} = REVERSE(${column}) WHERE tenant_id = $T AND sequence = 3`)
    t.is((await findingOf(tenant))?.sequence, 3, column)
  }
})

test('tamper – a record is removed: the first, one in between, the last, all', async (t) => {
  const [first, middle, last, all] = [await filled(), await filled(), await filled(), await filled()]
  await run(first, 'DELETE FROM audit_records WHERE tenant_id = $T AND sequence = 1')
  t.like(await findingOf(first), { kind: 'missing', sequence: 1 })
  await run(middle, 'DELETE FROM audit_records WHERE tenant_id = $T AND sequence = 4')
  t.like(await findingOf(middle), { kind: 'missing', sequence: 4 })
  await run(last, 'DELETE FROM audit_records WHERE tenant_id = $T AND sequence = 6')
  t.like(await findingOf(last), { kind: 'truncated', sequence: 6 })
  await run(all, 'DELETE FROM audit_records WHERE tenant_id = $T')
  t.like(await findingOf(all), { kind: 'truncated', sequence: 1 })
})

test('tamper – a record is removed and the numbers are closed up', async (t) => {
  const tenant = await filled()
  await run(tenant, 'DELETE FROM audit_records WHERE tenant_id = $T AND sequence = 3')
  await run(
    tenant,
    'UPDATE audit_records SET sequence = sequence - 1 WHERE tenant_id = $T AND sequence > 3 ORDER BY sequence',
  )
  t.like(await findingOf(tenant), { kind: 'out-of-order', sequence: 3, recordId: 'r-4' })
})

test('tamper – two records change places', async (t) => {
  const tenant = await filled()
  for (const [from, to] of [
    [3, 100],
    [4, 3],
    [100, 4],
  ])
    await run(tenant, 'UPDATE audit_records SET sequence = ? WHERE tenant_id = $T AND sequence = ?', to, from)
  t.like(await findingOf(tenant), { kind: 'out-of-order', sequence: 3, recordId: 'r-4' })
})

const factsOf = (tenant: Tenant, ids: readonly string[]): Fact[] =>
  ids.map((recordId) => ({ ...tenant.fact({ recordId }).data, source: '/functions/tenant' }))
async function insert(tenant: Tenant, end: { sequence: number; hash: string }, ids: readonly string[]) {
  const records = chain(end, factsOf(tenant, ids), new Date().toISOString())
  for (const record of records) {
    await run(
      tenant,
      `INSERT INTO audit_records (tenant_id, sequence, record_id, source, actor_kind, actor_id, actor_tenant_id, action, subject, details, at,
         recorded_at, previous_hash, hash) VALUES ($T, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      record.sequence,
      record.recordId,
      record.source,
      record.actor.kind,
      record.actor.id,
      record.actor.tenantId,
      record.action,
      record.subject,
      canonicalJson(record.details),
      new Date(record.at),
      new Date(record.recordedAt),
      record.previousHash,
      record.hash,
    )
  }
  return records
}
const endOf = async (tenant: Tenant, sequence: number) => {
  const row = (await tenant.records()).find((record) => Number(record['sequence']) === sequence)
  return { sequence, hash: String(row?.['hash']) }
}

test('tamper – a record is inserted: behind the end, and in between', async (t) => {
  const [behind, between] = [await filled(), await filled()]
  await insert(behind, await endOf(behind, 6), ['forged'])
  t.like(await findingOf(behind), { kind: 'inserted', sequence: 7 })
  await run(
    between,
    'UPDATE audit_records SET sequence = sequence + 1 WHERE tenant_id = $T AND sequence > 3 ORDER BY sequence DESC',
  )
  await insert(between, await endOf(between, 3), ['forged'])
  t.like(await findingOf(between), { kind: 'out-of-order', sequence: 5, recordId: 'r-4' })
})

test('tamper – the chain is written again from a record on, with right hashes', async (t) => {
  for (const from of [0, 3]) {
    const tenant = await filled()
    const end = from === 0 ? beginning : await endOf(tenant, from)
    await run(tenant, 'DELETE FROM audit_records WHERE tenant_id = $T AND sequence > ?', from)
    const records = await insert(tenant, end, ['x-1', 'x-2', 'x-3', 'x-4', 'x-5', 'x-6'].slice(from))
    t.like(await findingOf(tenant), { kind: 'rewritten', sequence: 6 })
    // With the end as well, for which the key is missing.
    await run(tenant, 'UPDATE audit_chains SET hash = ? WHERE tenant_id = $T', records.at(-1)!.hash)
    t.like(await findingOf(tenant), { kind: 'forged' })
    const stranger = createMacs(`a1:${randomBytes(32).toString('base64')}`)
    const { keyId, mac } = stranger.signHead({ tenantId: tenant.tenantId, sequence: 6, hash: records.at(-1)!.hash })
    await run(tenant, 'UPDATE audit_chains SET key_id = ?, mac = ? WHERE tenant_id = $T', keyId, mac)
    t.like(await findingOf(tenant), { kind: 'forged' })
  }
})

test('tamper – the end is removed, moved back, or taken from another tenant', async (t) => {
  const [removed, back, taken, other] = [await filled(), await filled(), await filled(), await filled()]
  await run(removed, 'DELETE FROM audit_chains WHERE tenant_id = $T')
  t.like(await findingOf(removed), { kind: 'end-missing', sequence: 6 })
  // Nothing is recorded behind it: that would hide it.
  t.is(await removed.tell(), 503)
  const { sequence, hash } = await endOf(back, 4)
  await run(back, 'DELETE FROM audit_records WHERE tenant_id = $T AND sequence > 4')
  await run(back, 'UPDATE audit_chains SET sequence = ?, hash = ? WHERE tenant_id = $T', sequence, hash)
  t.like(await findingOf(back), { kind: 'forged' })
  t.is(await back.tell(), 503)
  await run(
    taken,
    `UPDATE audit_chains a JOIN audit_chains b ON b.tenant_id = ? SET a.hash = b.hash, a.mac = b.mac WHERE a.tenant_id = $T`,
    other.tenantId,
  )
  t.like(await findingOf(taken), { kind: 'forged' })
})

test('tamper – two tenants are exchanged, or a record is', async (t) => {
  const [one, other] = [await filled(), await filled()]
  for (const table of ['audit_records', 'audit_chains']) {
    await run(one, `UPDATE ${table} SET tenant_id = 'between' WHERE tenant_id = $T`)
    await run(other, `UPDATE ${table} SET tenant_id = ? WHERE tenant_id = $T`, one.tenantId)
    await stage.sql.query(`UPDATE ${table} SET tenant_id = ? WHERE tenant_id = 'between'`, [other.tenantId])
  }
  t.like(await findingOf(one), { kind: 'forged' })
  t.like(await findingOf(other), { kind: 'forged' })
  const [third, fourth] = [await filled(), await filled()]
  await run(third, "UPDATE audit_records SET tenant_id = 'between' WHERE tenant_id = $T AND sequence = 2")
  await run(fourth, 'UPDATE audit_records SET tenant_id = ? WHERE tenant_id = $T AND sequence = 2', third.tenantId)
  t.like(await findingOf(third), { sequence: 2 })
  t.like(await findingOf(fourth), { kind: 'missing', sequence: 2 })
  await stage.sql.query("DELETE FROM audit_records WHERE tenant_id = 'between'")
})

test('keys – a rotated key still verifies; without it, it is said which one is missing', async (t) => {
  const tenant = await filled(2)
  const next = `a2:${randomBytes(32).toString('base64')}`
  t.like(await tenant.verify({}, createMacs(`${next},${stage.auditKey}`)), { ok: true, checked: 2 })
  const { finding } = await tenant.verify({}, createMacs(next))
  t.like(finding, { kind: 'unknown-key' })
  t.regex(finding!.detail, /key "a1"/)
})
