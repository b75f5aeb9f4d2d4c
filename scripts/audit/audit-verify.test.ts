import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { startStage, type Stage } from '../../functions/audit/testing.ts'

let stage: Stage
test.before(async () => {
  stage = await startStage()
})
test.after.always(() => stage?.stop())

type Outcome = { code: number; out: string; err: string }
const command = (args: readonly string[], environment: Record<string, string> = {}) =>
  new Promise<Outcome>((resolve) => {
    const { DATABASE_URL: _database, ...inherited } = process.env
    const env = { ...inherited, AUDIT_KEY: stage.auditKey, ...environment }
    const script = join(import.meta.dirname, '..', 'audit-verify.ts')
    execFile(process.execPath, [script, ...args], { env }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
  })

test.serial('audit:verify – all right, then a record is changed, then its tenant is gone', async (t) => {
  const [good, bad] = [await stage.filled(5), await stage.filled(5)]
  const database = ['--database', stage.databaseUrl]
  const right = await command(database)
  t.is(right.code, 0, right.err)
  t.regex(right.err, /10 records of 2 tenants: all right/)

  await stage.run(bad, "UPDATE audit_records SET subject = 'thing/x' WHERE tenant_id = $T AND sequence = 4")
  const broken = await command(database)
  t.is(broken.code, 1)
  t.regex(broken.err, new RegExp(`BROKEN ${bad.tenantId}: changed at record 4 \\(r-4\\)`))
  const one = await command([...database, '--tenant', good.tenantId])
  t.is(one.code, 0)
  t.regex(one.err, /5 records are right/)
  const json = await command([...database, '--tenant', bad.tenantId, '--json'])
  t.like(JSON.parse(json.out), { tenantId: bad.tenantId, ok: false, finding: { kind: 'changed', sequence: 4 } })

  // Everything of a tenant is removed: only what is kept elsewhere tells of it.
  await stage.checkpoint()
  const kept = (await stage.sink.waitFor('io.stampede.audit.checkpointed.v1')).filter(
    ({ tenantId }) => tenantId === good.tenantId,
  )
  const folder = await mkdtemp(join(tmpdir(), 'audit-verify-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const file = join(folder, 'checkpoints.jsonl')
  await writeFile(
    file,
    ['no JSON', '{"level":"info"}', ...kept.map((checkpoint) => JSON.stringify({ checkpoint }))].join('\n'),
  )
  t.is((await command([...database, '--tenant', good.tenantId, '--checkpoints', file])).code, 0)
  for (const table of ['audit_records', 'audit_chains', 'audit_checkpoints'])
    await stage.run(good, `DELETE FROM ${table} WHERE tenant_id = $T`)
  t.notRegex((await command(database)).err, new RegExp(`BROKEN ${good.tenantId}`))
  const gone = await command([...database, '--checkpoints', file])
  t.is(gone.code, 1)
  t.regex(gone.err, new RegExp(`BROKEN ${good.tenantId}: truncated at record 1`))
})

test.serial('audit:verify – says what is missing, and needs the right key', async (t) => {
  await stage.filled(1)
  const nothing = await command([], { AUDIT_KEY: '' })
  t.is(nothing.code, 2)
  t.regex(nothing.err, /Give --database[\s\S]*AUDIT_KEY is not set/)
  const wrong = await command(['--database', stage.databaseUrl], { AUDIT_KEY: 'a1:short' })
  t.is(wrong.code, 2)
  t.regex(wrong.err, /AUDIT_KEY: key "a1" has/)
  const other = await command(['--database', stage.databaseUrl], {
    AUDIT_KEY: `a1:${Buffer.from('x'.repeat(31) + 'y').toString('base64')}`,
  })
  t.is(other.code, 1)
  t.regex(other.err, /forged/)
})
