/** Who sees that the directory is to be written again: whoever asks it. */
import test from 'ava'
import { followed, newTenant, person, stage, until } from './checker.fixture.ts'
import { accessKeys } from './keys.ts'

const active = { state: 'active', quota: {}, version: 1 } as const

test('forgotten – a directory that is not complete is told of, one that is is not', async (t) => {
  const { redis, directory, checker } = await stage(t)
  const tenantId = newTenant()
  await directory.putTenant(tenantId, active)
  let told = 0
  const own = checker({ onForgotten: () => told++ })
  t.is(await own.check(person(newTenant())), 'unknown')
  t.true(told > 0)
  await directory.markComplete()
  await until(async () => (await own.check(person(newTenant()))) === 'tenant-suspended')
  await followed(own, tenantId)
  const before = told
  t.is(await own.check(person(newTenant())), 'tenant-suspended')
  t.is(told, before)
  await redis.del(accessKeys.complete)
  await until(() => told > before)
})

test('forgotten – a Redis that was restarted is told of, although it says that it is complete', async (t) => {
  const { server, directory, checker } = await stage(t, true)
  const tenantId = newTenant()
  await directory.putTenant(tenantId, active)
  await directory.markComplete()
  let told = 0
  const own = checker({ onForgotten: () => told++ })
  await followed(own, tenantId)
  t.is(told, 0)
  await server.restart()
  await until(() => told > 0)
  t.is(await own.check(person(tenantId)), 'allowed')
  const before = told
  await followed(own, tenantId)
  t.is(told, before, 'once')
})
