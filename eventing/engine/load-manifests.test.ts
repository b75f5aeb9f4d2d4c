import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { checkManifests, ManifestError, readManifests } from './load-manifests.ts'
import { planEngine } from './plan.ts'

async function folderOf(t: ExecutionContext, files: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'manifests-'))
  t.teardown(() => rm(folder, { recursive: true }))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), text)
  }
  return folder
}
const problemsOf = async (t: ExecutionContext, files: Record<string, string>): Promise<readonly string[]> => {
  const error = await t.throwsAsync<ManifestError>(
    folderOf(t, files).then(async (folder) => planEngine(await readManifests(folder))),
    { instanceOf: ManifestError },
  )
  return error?.problems ?? []
}
const trigger = (broker: string) => `
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: { name: orders, namespace: shop }
spec: { broker: ${broker}, subscriber: { uri: 'http://127.0.0.1:1/' } }
`

test('readManifests – takes all documents of all YAML files, in the order of their names, and says where each is from', async (t) => {
  const folder = await folderOf(t, {
    'b.yaml': 'kind: B1\n---\nkind: B2\n---\n',
    'a/c.yml': 'kind: C',
    'kustomization.yaml': 'kind: Kustomization',
    'a/kustomization.yml': 'kind: Kustomization',
    'empty.yaml': '# nothing\n',
    'notes.txt': 'kind: [',
  })
  t.deepEqual(await readManifests(folder), [
    { origin: 'a/c.yml', value: { kind: 'C' } },
    { origin: 'b.yaml', value: { kind: 'B1' } },
    { origin: 'b.yaml', value: { kind: 'B2' } },
  ])
})

test('readManifests – a mounted ConfigMap, which is links into a hidden folder, is read once', async (t) => {
  const folder = await folderOf(t, {
    '..2026_01_02_03_04_05.678/a.yaml': 'kind: A',
    '..2026_01_02_03_04_05.678/b.yaml': 'kind: B',
  })
  await symlink('..2026_01_02_03_04_05.678', join(folder, '..data'))
  for (const name of ['a.yaml', 'b.yaml']) await symlink(`..data/${name}`, join(folder, name))
  t.deepEqual(await readManifests(folder), [
    { origin: 'a.yaml', value: { kind: 'A' } },
    { origin: 'b.yaml', value: { kind: 'B' } },
  ])
})

test('readManifests – broken files are named with the line, all of them at once', async (t) => {
  const problems = await problemsOf(t, {
    'first.yaml': 'kind: Broker\nmetadata: { name: a\n',
    'second.yaml': 'a: 1\na: 2\n',
    'right.yaml': trigger('default'),
  })
  t.is(new Set(problems.map((problem) => problem.split(':', 1)[0])).size, 2)
  t.true(problems.some((problem) => /^first\.yaml: .* at line \d/.test(problem)))
  t.true(problems.some((problem) => problem.startsWith('second.yaml: Map keys must be unique at line 2')))
})

test('readManifests – an alias without its anchor, and one that grows without end, are problems of their file', async (t) => {
  const level = (name: string, of: string) =>
    `${name}: &${name} [${Array.from({ length: 9 }, () => `*${of}`).join(', ')}]`
  const bomb = ['a: &a [1]', level('b', 'a'), level('c', 'b'), level('d', 'c'), level('e', 'd')].join('\n')
  const problems = await problemsOf(t, { 'alias.yaml': 'kind: *nowhere\n', 'bomb.yaml': bomb })
  t.true(problems.some((problem) => /^alias\.yaml: .*nowhere/.test(problem)))
  t.true(problems.some((problem) => /^bomb\.yaml: .*alias/i.test(problem)))
})

test('readManifests – an unknown kind is named with its file', async (t) => {
  const problems = await problemsOf(t, {
    'x.yaml': 'apiVersion: flows.knative.dev/v1\nkind: Parallel\nmetadata: { name: p }',
  })
  t.is(problems.length, 1)
  t.regex(problems[0]!, /^x\.yaml: Parallel p: the engine does not know this kind; it runs ConfigMap, Broker/)
})

test('readManifests – a Trigger of a Broker that is nowhere', async (t) => {
  t.deepEqual(await problemsOf(t, { 'trigger.yaml': trigger('other') }), [
    'Trigger orders: there is no Broker shop/other',
  ])
})

test('checkManifests – values that are no manifests are problems, not exceptions', (t) => {
  const { manifests, problems } = checkManifests(
    [null, 7, 'text', ['kind'], { kind: 7 }, { kind: 'Broker', metadata: 'x' }].map((value, index) => ({
      origin: `file${index}`,
      value,
    })),
  )
  t.deepEqual(manifests, [])
  for (let index = 0; index < 6; index += 1) t.true(problems.some((problem) => problem.startsWith(`file${index}: `)))
})

test('checkManifests – a manifest with an error is declared all the same', (t) => {
  const { declared, problems } = checkManifests([
    { origin: 'a', value: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' }, data: { a: 1 } } },
  ])
  t.deepEqual([...declared], ['ConfigMap default/c'])
  t.regex(problems[0]!, /^a: ConfigMap c: data\.a: /)
})

test('ManifestError – its message lists every problem', (t) => {
  t.is(new ManifestError(['one', 'two']).message, 'The manifests cannot be run:\n  - one\n  - two')
})
