/** Checkpoints show what the database alone cannot. One after the other: a tick looks at the chains of all tenants. */
import test from 'ava'
import type { Checkpoint } from './macs.ts'
import { checkpointedType, findingOf, startStage, type Stage, type Tenant } from './testing.ts'
import { ownAlarms } from '@stampede/shared/testing/alarms.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage?.stop())
const run: Stage['run'] = (...parameters) => stage.run(...parameters)
const filled = (count?: number) => stage.filled(count)

test.serial(
  'tamper – an old state of everything is put back: a checkpoint shows it, also one that is kept elsewhere',
  async (t) => {
    const [withStored, withoutStored] = [await filled(4), await filled(4)]
    for (const tenant of [withStored, withoutStored]) {
      const [[old]] = (await run(tenant, 'SELECT * FROM audit_chains WHERE tenant_id = $T')) as unknown as [
        { mac: string; hash: string; sequence: number }[],
      ]
      for (const recordId of ['late-1', 'late-2']) await tenant.tell({ recordId })
      t.is(await stage.checkpoint(), 204)
      // What was signed once is put back whole: this alone cannot be told from the past.
      await run(tenant, 'DELETE FROM audit_records WHERE tenant_id = $T AND sequence > 4')
      await run(
        tenant,
        'UPDATE audit_chains SET sequence = ?, hash = ?, mac = ? WHERE tenant_id = $T',
        old!.sequence,
        old!.hash,
        old!.mac,
      )
    }
    t.like(await findingOf(withStored), { kind: 'truncated', sequence: 5 })
    await run(withoutStored, 'DELETE FROM audit_checkpoints WHERE tenant_id = $T')
    t.is(await findingOf(withoutStored), null)
    const kept = (await waitForCheckpoints(withoutStored, 1)).filter(({ sequence }) => sequence === 6)
    t.is(kept.length, 1)
    t.like(await findingOf(withoutStored, { outside: kept }), { kind: 'truncated', sequence: 5 })
    // Going on as if nothing had been: other records stand in the place of those that were cut off.
    for (const recordId of ['new-1', 'new-2', 'new-3']) await withoutStored.tell({ recordId })
    t.is(await findingOf(withoutStored), null)
    t.like(await findingOf(withoutStored, { outside: kept }), { kind: 'rewritten', sequence: 6, recordId: 'new-2' })
  },
)

/** The published checkpoints of a tenant, as soon as there are so many. */
async function waitForCheckpoints(tenant: Tenant, count: number): Promise<Checkpoint[]> {
  for (let all = 1; ; all++) {
    const published = (await stage.sink.waitFor(checkpointedType, all)) as Checkpoint[]
    const own = published.filter(({ tenantId }) => tenantId === tenant.tenantId)
    if (own.length >= count) return own
  }
}

test.serial('tamper – a checkpoint is forged or changed', async (t) => {
  const tenant = await filled()
  await stage.checkpoint()
  t.like(await tenant.verify(), { ok: true, checkpoints: 1 })
  await run(tenant, 'UPDATE audit_checkpoints SET at = at + INTERVAL 1 DAY WHERE tenant_id = $T')
  t.like(await findingOf(tenant), { kind: 'forged', sequence: 6 })
})

test.serial('checkpoint – made of what has grown and is right, once; a broken chain gets none', async (t) => {
  const [growing, broken] = [await filled(3), await filled(3)]
  await stage.checkpoint()
  await stage.checkpoint()
  await growing.tell()
  await broken.tell()
  await run(broken, "UPDATE audit_records SET subject = 'thing/x' WHERE tenant_id = $T AND sequence = 3")
  t.is(await stage.checkpoint(), 204)
  const sequences = async (tenant: Tenant) => {
    const [rows] = await run(tenant, 'SELECT sequence FROM audit_checkpoints WHERE tenant_id = $T ORDER BY sequence')
    return (rows as { sequence: number }[]).map(({ sequence }) => sequence)
  }
  t.deepEqual(await sequences(growing), [3, 4])
  t.deepEqual(await sequences(broken), [3])
  t.like(await growing.verify(), { ok: true, checked: 4, checkpoints: 2 })
})

test.serial('checkpoint – its alarm is set before a record is stored: five minutes later, about', async (t) => {
  const beforeMs = Date.now()
  await filled(1)
  const untilMs = Date.now() + 400_000
  const own = await ownAlarms('audit/checkpoint', (atMs) => atMs >= beforeMs + 300_000 && atMs <= untilMs)
  t.is(own[0]! % 60_000, 0)
})
