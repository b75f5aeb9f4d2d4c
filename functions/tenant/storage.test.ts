/** The quota of rows: counted in other functions, which here are their HTTP contract. */
import test from 'ava'
import { startStubService } from '@stampede/shared/testing/stub-service.ts'
import { ownAlarms } from '@stampede/shared/testing/alarms.ts'
import { startStage, type Stage } from './testing.ts'

const rows: Record<string, number | undefined> = {}
const asked: string[] = []
let stage: Stage
let others: Awaited<ReturnType<typeof startStubService>>
test.before(async () => {
  others = await startStubService(({ path, query }) => {
    const name = path.split('/').at(-1)!
    asked.push(`${name} ${query.get('most')}`)
    const counted = rows[name]
    return counted === undefined ? { status: 503, body: {} } : { body: { rows: counted } }
  })
  stage = await startStage({ ORDER_URL: others.url, INVENTORY_URL: others.url, ACTIVITY_URL: others.url })
})
test.after.always(async () => {
  await stage?.stop()
  await others?.stop()
})

const count = (order: number | undefined, inventory: number, activity: number) =>
  Object.assign(rows, { 'order-rows': order, 'inventory-rows': inventory, 'activity-rows': activity })

test.serial('storage – a tenant that has as many rows as it may is marked, and told of once', async (t) => {
  count(5, 3, 1)
  const tenantId = await stage.create({ storageRows: 10 })
  const look = async () => (await stage.call('GET', `/api/v1/tenants/${tenantId}`)).body
  t.is(await stage.measure(), 204)
  t.like(await look(), { storageRows: 9, storageExceeded: false, version: 1 })
  t.true(asked.includes('order-rows 11'))
  // There are more rows than before: soon again.
  t.is((await ownAlarms('tenant/measure-storage', (atMs) => atMs % 300_000 === 0, stage.redis)).length, 1)
  count(6, 3, 1)
  await stage.measure()
  await stage.measure()
  t.like(await look(), { storageRows: 10, storageExceeded: true, version: 2 })
  t.like(await stage.directoryOf(tenantId), { storageExceeded: true, version: 2, state: 'active' })

  // A function that does not answer leaves everything as it was.
  count(undefined, 0, 0)
  await stage.measure()
  t.like(await look(), { storageRows: 10, storageExceeded: true, version: 2 })

  // A greater quota counts at once, by what was counted last.
  await stage.call('PUT', `/api/v1/tenants/${tenantId}/quota`, { version: 2, quota: { storageRows: 11 } })
  t.like(await look(), { storageExceeded: false, version: 3 })
  t.is((await stage.directoryOf(tenantId))?.storageExceeded, undefined)
})

test.serial('storage – nobody counts for a tenant without this quota', async (t) => {
  count(1, 1, 1)
  const tenantId = await stage.create({ activities: 1 })
  await stage.measure()
  t.like((await stage.call('GET', `/api/v1/tenants/${tenantId}`)).body, { storageRows: null, storageExceeded: false })
})
