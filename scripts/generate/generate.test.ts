import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { staleFiles, writeGenerated } from './files.ts'
import { generateMigrations } from './migrations.ts'

async function folderWith(t: ExecutionContext, files: Record<string, string>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'stampede-generate-'))
  t.teardown(() => rm(root, { recursive: true }))
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), content)
  }
  return root
}

test('migrations – come out as a module with exactly the text of the files', async (t) => {
  const tricky = 'SELECT `a`, \'${b}\', "\\\\n";\r\nSELECT 2;\n'
  const root = await folderWith(t, {
    'functions/thing/migrations/0002-second.sql': tricky,
    'functions/thing/migrations/0001-first.sql': 'SELECT 1;\n',
    'functions/other/index.ts': '',
  })
  const [file, ...others] = await generateMigrations(root)
  t.is(others.length, 0)
  t.is(file?.path, 'functions/thing/generated/migrations.ts')
  const module = join(root, 'loaded.ts')
  await writeFile(module, file?.content ?? '')
  const { migrations } = (await import(module)) as { migrations: unknown }
  t.deepEqual(migrations, [
    { name: '0001-first', sql: 'SELECT 1;\n' },
    { name: '0002-second', sql: tricky.replaceAll('\r\n', '\n') },
  ])
})

test('migrations – a gap in the numbers is refused', async (t) => {
  const root = await folderWith(t, { 'functions/thing/migrations/0002-second.sql': '' })
  await t.throwsAsync(generateMigrations(root), { message: /0002-second\.sql should have the number 0001/ })
})

test('migrations – a name that is not one is refused', async (t) => {
  const root = await folderWith(t, { 'functions/thing/migrations/first.sql': '' })
  await t.throwsAsync(generateMigrations(root), { message: /not named like 0001/ })
})

test('generated files – changed, missing and orphaned ones are found, and written and deleted', async (t) => {
  const root = await folderWith(t, {
    'a/generated/same': '1',
    'a/generated/old': '1',
    'a/generated/deep/orphan': '1',
    'a/own': '1',
    'b/EVENTS.md': '1',
  })
  const files = [
    { path: 'a/generated/same', content: '1' },
    { path: 'a/generated/old', content: '2' },
    { path: 'a/generated/new', content: '2' },
    { path: 'b/EVENTS.md', content: '1' },
  ]
  const stale = await staleFiles(root, files)
  t.deepEqual(
    stale.changed.map(({ path }) => path),
    ['a/generated/old', 'a/generated/new'],
  )
  t.deepEqual(stale.orphans, ['a/generated/deep/orphan'])
  await writeGenerated(root, stale)
  t.deepEqual(await staleFiles(root, files), { changed: [], orphans: [] })
  t.is(await readFile(join(root, 'a/generated/new'), 'utf8'), '2')
  t.is(await readFile(join(root, 'a/own'), 'utf8'), '1')
})
