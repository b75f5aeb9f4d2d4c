import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { Problem } from '../http/problem.ts'
import { tokenFromFile } from './sink-token.ts'

test('token from a file – is the one that is there now', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'stampede-token-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const file = join(folder, 'token')
  const token = tokenFromFile(file)
  await t.throwsAsync(token(), { instanceOf: Problem, message: /cannot be read/ })
  await writeFile(file, '')
  await t.throwsAsync(token(), { instanceOf: Problem, message: /is empty/ })
  await writeFile(file, 'first\n')
  t.is(await token(), 'first')
  await writeFile(file, 'second')
  t.is(await token(), 'second')
})
