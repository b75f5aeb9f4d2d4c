import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { z } from 'zod'
import { temporaryFolder, writeByRename } from '../configuration/testing.ts'
import { createTestIdentity } from '../testing/identity.ts'
import { defineFunction, route, type HostServices } from './declaration.ts'
import { serve } from './serve.ts'

const asking = defineFunction({
  name: 'asking',
  summary: 'Tells the retries.',
  config: z.object({}),
  connect: (_config, host): HostServices => host,
  routes: [
    route('GET', '/retries', { auth: 'public', summary: '…' }, (_request, host: HostServices) => host.retries()),
  ],
})

test('the document retries – reaches the functions, changes while they run, and a wrong one changes nothing', async (t) => {
  const { folder, remove } = temporaryFolder()
  t.teardown(remove)
  const file = join(folder, 'retries.yaml')
  writeFileSync(file, 'version: 1\noutbox: { firstPauseMs: 7 }\n')
  const identity = await createTestIdentity()
  const { url, stop } = await serve([asking], {
    port: 0,
    host: '127.0.0.1',
    environment: { ...identity.environment, LOG_LEVEL: 'silent', CONFIGURATION_FOLDER: folder },
  })
  t.teardown(stop)
  const firstPauseMs = async () =>
    ((await (await fetch(`${url}/retries`)).json()) as { outbox: { firstPauseMs: number } }).outbox.firstPauseMs
  const metrics = async () => (await fetch(`${url}/metrics`)).text()
  t.is(await firstPauseMs(), 7)
  writeByRename(file, 'version: 2\noutbox: { firstPauseMs: 8 }\n')
  while ((await firstPauseMs()) !== 8);
  t.true((await metrics()).includes('configuration_version_info{name="retries",version="2"'))
  writeByRename(file, 'version: 3\noutbox: { firstPauseMs: 9, longestPauseMs: 1 }\n')
  while (!(await metrics()).includes('configuration_rejected{name="retries"} 1'));
  t.is(await firstPauseMs(), 8)
})
