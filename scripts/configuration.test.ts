import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { temporaryFolder } from '@stampede/shared/configuration/testing.ts'
import { deployedDocuments } from './configuration/deployed.ts'

const run = async (...given: string[]) => {
  const entry = join(import.meta.dirname, 'configuration.ts')
  const result = await promisify(execFile)(process.execPath, [entry, ...given]).catch(
    (error: unknown) => error as { code: number; stdout: string; stderr: string },
  )
  return { code: 'code' in result ? result.code : 0, text: result.stdout + result.stderr }
}

test('configuration check – every document that is deployed is valid', async (t) => {
  const { code, text } = await run('check')
  t.is(code, 0, text)
  for (const name of ['retries', 'seckill']) t.true(text.includes(`(${name}, version `), text)
})

test('configuration check – tells all that is wrong, each at its place', async (t) => {
  const { folder, remove } = temporaryFolder()
  t.teardown(remove)
  const file = join(folder, 'seckill.yaml')
  writeFileSync(file, 'passes: { byUser: -1, byuser: 3 }\nchallenge: { policy: captcha }\n')
  const { code, text } = await run('check', file)
  t.is(code, 1)
  for (const pointer of ['/version', '/passes/byUser', '/passes/byuser']) t.true(text.includes(`${pointer}: `), text)
  writeFileSync(file, 'version: 1\nchallenge: { policy: captcha }\n')
  t.regex((await run('check', file)).text, /\/challenge\/captcha: /)
  writeFileSync(join(folder, 'seckil.yaml'), 'version: 1\n')
  t.regex((await run('check', join(folder, 'seckil.yaml'))).text, /there is no document "seckil"/)
  t.is((await run('check', join(folder, 'seckil.yaml'), '--as', 'seckill')).code, 0)
  t.is((await run('check', join(folder, 'none', 'seckill.yaml'))).code, 1)
})

test('configuration show – has what the document does not say itself', async (t) => {
  const { folder, remove } = temporaryFolder()
  t.teardown(remove)
  writeFileSync(join(folder, 'retries.yaml'), 'version: 3\noutbox: { firstPauseMs: 50 }\n')
  const { code, text } = await run('show', join(folder, 'retries.yaml'))
  t.is(code, 0)
  t.regex(text, /version: "3"[\s\S]*firstPauseMs: 50[\s\S]*longestPauseMs: 5000/)
})

test('documents – one name has one place', async (t) => {
  const { folder, remove } = temporaryFolder()
  t.teardown(remove)
  for (const path of ['functions/a/configuration', 'functions/b/configuration']) {
    mkdirSync(join(folder, path), { recursive: true })
    writeFileSync(join(folder, path, 'x.yaml'), 'version: 1\n')
  }
  await t.throwsAsync(deployedDocuments(folder), { message: /x is there twice/ })
})
