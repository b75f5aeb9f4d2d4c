/** The keys of the ring are changed while people use the platform. */
import test from 'ava'
import { connectDatabase } from '@stampede/shared/database/connect.ts'
import { createBlindIndex } from '@stampede/shared/personal-data/blind-index.ts'
import { createKeyRing } from '@stampede/shared/personal-data/key-ring.ts'
import type { Keys } from './person.ts'
import { rotateKeys } from './rotate-keys.ts'
import { address, newKey, startStage } from './testing.ts'

type Body = {
  rotated: Record<string, number>
  left: Record<string, number>
  failed: number
  currentKeyIds: Record<string, string>
}

/** Asks and changes as people and staff do, until it is stopped. Every answer that is not the expected one is kept. */
function drive(work: readonly (() => Promise<string | undefined>)[]) {
  const failures: string[] = []
  let done = 0
  const ended = new AbortController()
  const loops = work.map(async (one) => {
    while (!ended.signal.aborted) {
      const failure = await one().catch((error: unknown) => String(error))
      if (failure !== undefined) failures.push(failure)
      done += 1
    }
  })
  return {
    failures,
    done: () => done,
    /** Resolves when so many requests more were answered, or one failed. */
    more: async (count: number) => {
      const enough = done + count
      for (;;) {
        if (done >= enough || failures.length > 0) return
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    },
    stop: async () => {
      ended.abort()
      await Promise.all(loops)
    },
  }
}

test('rotation – old and new key, then the new one alone, under load: no request fails, and no row is left', async (t) => {
  const stage = await startStage()
  t.teardown(stage.stop)
  const tenant = await stage.tenant()
  const people = await Promise.all(Array.from({ length: 60 }, () => tenant.person()))
  for (const person of people.slice(0, 20)) await person.me('POST', '/addresses', address)
  const [newData, newIndex] = [newKey('k2'), newKey('i2')]
  /** Where requests go: as routes that change while pods are exchanged. */
  let urls = [stage.host.url]
  let turn = 0
  const url = () => urls[turn++ % urls.length]!
  const one = () => people[Math.floor(Math.random() * people.length)]!
  const expect = async (what: string, wanted: number, answer: Promise<{ status: number; body: unknown }>) => {
    const { status, body } = await answer
    return status === wanted ? undefined : `${what}: ${status} ${JSON.stringify(body)}`
  }
  const staff = await tenant.tokenOf('keeper', ['administrator'])
  const load = drive([
    () => expect('read', 200, one().me('GET', '', undefined, url())),
    () => expect('write', 200, one().me('PATCH', '', { name: `Name ${turn}` }, url())),
    () => expect('addresses', 200, one().me('GET', '/addresses', undefined, url())),
    async () => {
      const { email, userId } = one()
      const path = `/api/v1/users?email=${encodeURIComponent(email)}`
      const { status, body } = await tenant.call(staff, 'GET', path, undefined, url())
      const found = status === 200 && (body['users'] as { userId: string }[]).some((user) => user.userId === userId)
      return found ? undefined : `look-up: ${status} ${JSON.stringify(body)}`
    },
  ])
  // Also when something fails on the way: nothing else would end the loops.
  t.teardown(() => load.stop())
  const platform = await stage.host.identity.token({
    tenantId: 'platform',
    userId: 'root',
    roles: ['platform-administrator'],
  })
  const rotate = async (at: string) =>
    (await tenant.call(platform, 'POST', '/api/v1/user-key-rotations', undefined, at)) as { status: number; body: Body }

  // 1. The new keys are known everywhere before anything is sealed with them.
  const { DATA_KEYS: oldData, INDEX_KEY: oldIndex } = stage.keys
  const knows = await stage.start({ DATA_KEYS: `${oldData},${newData}`, INDEX_KEY: `${oldIndex},${newIndex}` })
  t.teardown(() => knows.stop())
  urls = [stage.host.url, knows.url]
  await load.more(40)
  // 2. They are used; the old ones are known. Both kinds of processes work side by side.
  urls = [knows.url]
  const uses = await stage.start({
    DATA_KEYS: `${newData},${oldData}`,
    INDEX_KEY: `${newIndex},${oldIndex}`,
    ROTATION_ROWS: '25',
  })
  t.teardown(() => uses.stop())
  urls = [knows.url, uses.url]
  await load.more(40)
  urls = [uses.url]
  await load.more(20)
  // 3. Rows are brought under the new keys, a bounded number each time.
  const passes: Body[] = []
  for (let pass = 0; pass < 50; pass++) {
    const { status, body } = await rotate(uses.url)
    t.is(status, 200)
    passes.push(body)
    if (body.left['data'] === 0 && body.left['index'] === 0) break
  }
  t.true(passes.length > 1 && passes[0]!.left['data']! > 0)
  t.like(passes.at(-1), { left: { data: 0, index: 0 }, failed: 0, currentKeyIds: { data: 'k2', index: 'i2' } })
  const metrics = await (await fetch(`${uses.url}/metrics`)).text()
  t.regex(metrics, /user_people_under_key\{[^}]*key="k2"[^}]*\} 60/)
  t.notRegex(metrics, /user_people_under_key\{[^}]*key="k1"/)
  // 4. The old keys are gone.
  const alone = await stage.start({ DATA_KEYS: newData, INDEX_KEY: newIndex })
  t.teardown(() => alone.stop())
  urls = [uses.url, alone.url]
  await load.more(40)
  urls = [alone.url]
  await load.more(80)
  await load.stop()
  t.deepEqual(load.failures, [])
  t.true(load.done() > 200)
  for (const { me, email } of people) t.is((await me('GET', '', undefined, alone.url)).body['email'], email)
})

test('rotation – a person who is erased or changed between the look and the write stays as they are then', async (t) => {
  const stage = await startStage()
  t.teardown(stage.stop)
  const tenant = await stage.tenant()
  const [gone, renamed] = [await tenant.person(), await tenant.person()]
  const database = connectDatabase(stage.databaseUrl)
  t.teardown(() => database.close())
  const [newData, newIndex] = [newKey('k2'), newKey('i2')]
  const keys: Keys = {
    ring: createKeyRing(`${newData},${stage.keys.DATA_KEYS}`),
    index: createBlindIndex(`${newIndex},${stage.keys.INDEX_KEY}`),
  }
  const knows = await stage.start({
    DATA_KEYS: `${stage.keys.DATA_KEYS},${newData}`,
    INDEX_KEY: `${stage.keys.INDEX_KEY},${newIndex}`,
  })
  t.teardown(() => knows.stop())
  /** What happens right before a row is written. */
  const meanwhile = async () => {
    await tenant.asStaff('POST', `/api/v1/users/${gone.userId}/erasure`, { reason: 'x' })
    await renamed.me('PATCH', '', { name: 'New Name' }, knows.url)
  }
  const forTenant: typeof database.forTenant = (tenantId) => {
    const own = database.forTenant(tenantId)
    return { ...own, change: async (statement, values) => meanwhile().then(() => own.change(statement, values)) }
  }
  const rotation = await rotateKeys({
    database: { forTenant, forPlatform: () => database.forPlatform() },
    keys,
    maximumRows: 100,
    isOver: () => false,
    onFailure: (_person, error) => t.fail(String(error)),
  })
  // The data key of the other one has not changed: only its indexes were made for another version.
  t.deepEqual(rotation.rotated, { data: 1, index: 0 })
  t.deepEqual(rotation.left, { data: 0, index: 1 })
  t.like((await tenant.asStaff('GET', `/api/v1/users/${gone.userId}`)).body, { state: 'erased', email: null })
  const [rows] = await stage.sql.query('SELECT data_key FROM user_users WHERE user_id = ?', [gone.userId])
  t.deepEqual(rows, [{ data_key: null }] as never)
})

test('rotation – a row whose key is gone is told and left, the others go on', async (t) => {
  const stage = await startStage()
  t.teardown(stage.stop)
  const tenant = await stage.tenant()
  const [lost, good, gone] = [await tenant.person(), await tenant.person(), await tenant.person()]
  const stranger = createKeyRing(newKey('k0'))
  const place = { tenantId: tenant.tenantId, table: 'user_users', column: 'data_key', rowId: lost.userId }
  await stage.sql.query("UPDATE user_users SET data_key = ?, data_key_id = 'k0' WHERE user_id = ?", [
    stranger.newRecordKey(place),
    lost.userId,
  ])
  await tenant.asStaff('POST', `/api/v1/users/${gone.userId}/erasure`, { reason: 'x' })
  const uses = await stage.start({ DATA_KEYS: `${newKey('k2')},${stage.keys.DATA_KEYS}` })
  t.teardown(() => uses.stop())
  t.is(await stage.tick('rotate-keys', uses.url), 204)
  const [rows] = await stage.sql.query('SELECT user_id, data_key_id FROM user_users WHERE tenant_id = ?', [
    tenant.tenantId,
  ])
  const keyOf = new Map(
    (rows as { user_id: string; data_key_id: string }[]).map((row) => [row.user_id, row.data_key_id]),
  )
  t.is(keyOf.get(lost.userId), 'k0')
  t.is(keyOf.get(good.userId), 'k2')
  t.is(keyOf.get(gone.userId), null as never)
  t.is((await lost.me('GET', '', undefined, uses.url)).status, 503)
  t.is((await good.me('GET', '', undefined, uses.url)).status, 200)
})
