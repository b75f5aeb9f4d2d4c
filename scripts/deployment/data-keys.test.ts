import { randomBytes } from 'node:crypto'
import test from 'ava'
import { DeployError } from './context.ts'
import { init } from './init.ts'
import { changes, memoryCluster, secretOf, storeSecret, testContext, type MemoryCluster } from './testing.ts'

const overlay = `
apiVersion: v1
kind: Namespace
metadata: { name: stampede }
`
const start = () => memoryCluster({ 'overlays/local': overlay })
const newKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`
const run = async (cluster: MemoryCluster, environment: Record<string, string> = {}, newDataKeys = false) => {
  const { context, said } = testContext(cluster, { environment })
  await init(context, { settings: [], newDataKeys })
  return said
}
const keysOf = (cluster: MemoryCluster) => secretOf(cluster, 'stampede-data-keys')
const withDatabase = (cluster: MemoryCluster) =>
  storeSecret(cluster, 'stampede-database', { url: 'mysql://shop:secret@db.example.com/shop' })

test('data keys – made once, apart from the other keys, with the advice to keep a copy', async (t) => {
  const cluster = start()
  const said = await run(cluster)
  const made = keysOf(cluster)
  t.deepEqual(Object.keys(made).sort(), ['audit-key', 'data-keys', 'index-key'])
  t.is(new Set(Object.values(made)).size, 3)
  t.deepEqual(
    Object.keys(secretOf(cluster, 'stampede-identity')).filter((key) => key in made),
    [],
  )
  t.true(said.some((line) => /copy of the Secret stampede-data-keys apart from the database/.test(line)))
  withDatabase(cluster)
  await run(cluster)
  t.deepEqual(keysOf(cluster), made)
})

test('data keys – with a database and no keys nothing is made or changed, and the ways out are said', async (t) => {
  const cluster = start()
  await run(cluster)
  withDatabase(cluster)
  cluster.objects.delete('Secret/stampede-data-keys')
  cluster.calls.length = 0
  const error = await t.throwsAsync(run(cluster), {
    instanceOf: DeployError,
    message: /data-keys, index-key, audit-key/,
  })
  t.regex(error.message, /DATA_KEYS=… INDEX_KEY=… AUDIT_KEY=… scripts\/deploy init --overlay local\n/)
  t.regex(error.message, /--new-data-keys$/)
  t.deepEqual(changes(cluster), [])

  // A backup of two of the three is not the backup.
  const backup = { DATA_KEYS: newKey('d1'), INDEX_KEY: newKey('i1') }
  await t.throwsAsync(run(cluster, backup), { message: /: audit-key\. New ones/ })
  t.deepEqual(changes(cluster), [])

  const whole = { ...backup, AUDIT_KEY: newKey('a1') }
  await run(cluster, whole)
  t.deepEqual(keysOf(cluster), {
    'data-keys': whole.DATA_KEYS,
    'index-key': whole.INDEX_KEY,
    'audit-key': whole.AUDIT_KEY,
  })
})

test('data keys – one that is missing is not made beside the others, database or not', async (t) => {
  const cluster = start()
  await run(cluster)
  delete cluster.objects.get('Secret/stampede-data-keys')?.data?.['index-key']
  await t.throwsAsync(run(cluster), { instanceOf: DeployError, message: /index-key.*data-keys, audit-key are there/s })
  t.false('index-key' in keysOf(cluster))

  const empty = start()
  await t.throwsAsync(run(empty, { DATA_KEYS: newKey('d1') }), { message: /INDEX_KEY=… AUDIT_KEY=…/ })
  t.deepEqual(changes(empty), [])
})

test('data keys – new ones beside a database when a person says that it holds nothing; stored ones stay', async (t) => {
  const cluster = start()
  withDatabase(cluster)
  await run(cluster, {}, true)
  const made = keysOf(cluster)
  t.is(Object.keys(made).length, 3)
  delete cluster.objects.get('Secret/stampede-data-keys')?.data?.['index-key']
  await run(cluster, {}, true)
  const { 'index-key': again, ...others } = keysOf(cluster)
  t.true(again !== undefined && again !== made['index-key'])
  t.deepEqual(others, { 'data-keys': made['data-keys'], 'audit-key': made['audit-key'] })
})

test('data keys – the environment rotates; what is taken out is said by its id, never by its value', async (t) => {
  const cluster = start()
  const [first, second] = [newKey('d1'), newKey('d2')]
  await run(cluster, { DATA_KEYS: first, INDEX_KEY: newKey('i1'), AUDIT_KEY: newKey('a1') })
  withDatabase(cluster)
  const wider = await run(cluster, { DATA_KEYS: `${second},${first}` })
  t.is(keysOf(cluster)['data-keys'], `${second},${first}`)
  t.false(wider.some((line) => /without d1/.test(line)))
  const narrower = await run(cluster, { DATA_KEYS: second })
  t.true(narrower.some((line) => /data-keys: without d1\./.test(line)))
  const seen = [...wider, ...narrower, ...cluster.calls.flatMap(({ args }) => args)].join('\n')
  for (const key of [first, second]) t.false(seen.includes(key.slice(3)))
})

test('data keys – a value that is no key is refused before anything is changed', async (t) => {
  const cluster = start()
  await t.throwsAsync(run(cluster, { DATA_KEYS: 'd1:c2hvcnQ=' }), {
    instanceOf: DeployError,
    message: /DATA_KEYS key "d1" has 5 bytes instead of 32/,
  })
  t.deepEqual(changes(cluster), [])
})

test('data keys – an installation from before keeps its keys, and no copy that has become another key', async (t) => {
  const cluster = start()
  await run(cluster)
  const before = { 'data-keys': newKey('d1'), 'index-key': newKey('i1'), 'audit-key': newKey('a1') }
  storeSecret(cluster, 'stampede-identity', { ...secretOf(cluster, 'stampede-identity'), ...before })
  cluster.objects.delete('Secret/stampede-data-keys')
  withDatabase(cluster)
  await run(cluster)
  t.deepEqual(keysOf(cluster), before)
  t.like(secretOf(cluster, 'stampede-identity'), before, 'revisions from before start with it')

  await run(cluster, { DATA_KEYS: `${newKey('d2')},${before['data-keys']}` })
  const { 'data-keys': gone, ...copies } = secretOf(cluster, 'stampede-identity')
  t.is(gone, undefined)
  t.like(copies, { 'index-key': before['index-key'], 'audit-key': before['audit-key'] })
})

test('data keys – put back by hand they get the labels that the other steps look for', async (t) => {
  const cluster = start()
  withDatabase(cluster)
  const backup = { 'data-keys': newKey('d1'), 'index-key': newKey('i1'), 'audit-key': newKey('a1') }
  storeSecret(cluster, 'stampede-data-keys', backup)
  await run(cluster)
  t.deepEqual(keysOf(cluster), backup)
  t.like(cluster.objects.get('Secret/stampede-data-keys')?.metadata.labels, {
    'stampede.io/stage': 'init',
    'app.kubernetes.io/part-of': 'stampede',
  })
})
