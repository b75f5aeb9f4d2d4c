import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { failedContent, readDocument, watchFolderOf } from './read-file.ts'
import { temporaryFolder } from './testing.ts'

test('watching – goes on in the folder that took the place of the one before', async (t) => {
  const { folder, remove } = temporaryFolder()
  t.teardown(remove)
  const parts = join(folder, 'mount')
  const file = join(parts, 'sale.yaml')
  let heard: () => void = () => {}
  const watching = watchFolderOf(file, () => heard())
  t.teardown(() => watching.close())
  const change = () => new Promise<void>((resolve) => (heard = resolve))
  // Not there yet.
  await watching.renew()
  mkdirSync(parts)
  await watching.renew()
  const first = change()
  writeFileSync(file, '1')
  await first
  // The old folder still exists, so that the new one has another inode.
  renameSync(parts, join(folder, 'old'))
  mkdirSync(parts)
  await watching.renew()
  await new Promise((resolve) => setImmediate(resolve))
  const second = change()
  writeFileSync(file, '2')
  await second
  rmSync(parts, { recursive: true })
  await t.notThrowsAsync(watching.renew())
})

test('reading – tells absent from unreadable, and the same content from another', async (t) => {
  const { folder, remove } = temporaryFolder()
  t.teardown(remove)
  const file = join(folder, 'sale.yaml')
  t.is((await readDocument(file)).kind, 'absent')
  t.is((await readDocument(join(file, 'below'))).kind, 'absent')
  t.like(await readDocument(folder), { kind: 'unreadable', reason: 'it cannot be read (EISDIR)' })
  t.like(failedContent(Object.assign(new Error('no'), { code: 'EACCES' })), { kind: 'unreadable', key: 'EACCES' })
  writeFileSync(file, 'a')
  const { key } = await readDocument(file)
  t.is((await readDocument(file)).key, key)
  writeFileSync(file, 'b')
  t.not((await readDocument(file)).key, key)
})
