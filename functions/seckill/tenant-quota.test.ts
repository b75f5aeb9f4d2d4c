import { randomBytes } from 'node:crypto'
import test from 'ava'
import { createAccessDirectory } from '@stampede/shared/access/directory.ts'
import type { TenantQuota } from '@stampede/shared/access/types.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { startRedis } from '@stampede/shared/testing/services.ts'
import { createQuotaStore, processesKey } from './tenant-quota-redis.ts'
import { burstSeconds, RateShare } from './tenant-quota-rate.ts'
import { createTenantQuotas, quotaAliveMs, type TenantQuotas } from './tenant-quota.ts'
import { OrderLease } from './tenant-quota-lease.ts'
import { passFor, startStage } from './testing.ts'

// An own Redis: the processes of other tests would take part.
const server = await startRedis()
const redis = connectRedis(server.url)
test.after.always(async () => {
  redis.disconnect()
  await server.stop()
})

const random = () => randomBytes(6).toString('hex')

/** A process with a clock that the test moves. */
function createProcess(quotas: Map<string, TenantQuota>, clock = { offsetMs: 0, monotonicMs: 0 }) {
  const store = createQuotaStore(redis, random(), quotaAliveMs)
  const failures: unknown[] = []
  let down = false
  const unlessDown = async <T>(work: () => Promise<T>): Promise<T> => {
    if (down) throw new Error('Redis does not answer')
    return work()
  }
  const process = createTenantQuotas({
    join: () =>
      unlessDown(async () => {
        const joined = await store.join()
        return { ...joined, redisNowMs: joined.redisNowMs + clock.offsetMs }
      }),
    leave: () => unlessDown(() => store.leave()),
    lease: (...call) => unlessDown(() => store.lease(...call)),
    quotaOf: (tenantId) => quotas.get(tenantId),
    now: Date.now,
    monotonicMs: () => clock.monotonicMs,
    failed: (error) => failures.push(error),
  })
  return Object.assign(process, { clock, failures, setDown: (value: boolean) => void (down = value) })
}

/** Takes a unit as a press does; undefined when it is refused. */
async function takeOf(process: TenantQuotas, tenantId: string): Promise<OrderLease | undefined> {
  for (;;) {
    const unit = process.take(tenantId)
    if (unit instanceof OrderLease) return unit
    if (unit !== 'wait') return undefined
    await new Promise<void>((resolve) => void process.whenLeased(tenantId, resolve))
  }
}

test.serial('orders a day – many processes together accept exactly the quota', async (t) => {
  const tenantId = `t-${random()}`
  const quotas = new Map<string, TenantQuota>([[tenantId, { ordersPerDay: 1_000 }]])
  const processes = Array.from({ length: 4 }, () => createProcess(quotas))
  for (const process of processes) await process.beat()
  let accepted = 0
  // As many presses as come; every third is refused by the sale and gives its unit back a moment later.
  const press = async (process: TenantQuotas, number: number) => {
    const unit = await takeOf(process, tenantId)
    if (!unit) return
    await new Promise((resolve) => setImmediate(resolve))
    if (number % 3 === 0) unit.giveBack()
    else accepted += 1
    t.true(accepted <= 1_000)
  }
  for (let round = 0; round < 40; round++) {
    await Promise.all(processes.flatMap((process) => Array.from({ length: 50 }, (_, number) => press(process, number))))
    // What one has too much comes to the others by the beats, as it does all the time.
    for (const process of processes) await process.beat()
  }
  t.is(accepted, 1_000)
  for (const process of processes) await process.stop()
  const held = (await redis.keys(`quota:{${tenantId}}:*`))[0]!
  t.is(await redis.hget(held, 'total'), '1000')
})

test.serial(
  'orders a day – what a process did not use comes back when it stops, and is lost when it dies',
  async (t) => {
    const tenantId = `t-${random()}`
    const quotas = new Map<string, TenantQuota>([[tenantId, { ordersPerDay: 1 }]])
    const [one, other] = [createProcess(quotas), createProcess(quotas)]
    await one.beat()
    await other.beat()
    const unit = (await takeOf(one, tenantId))!
    t.is(await takeOf(other, tenantId), undefined)
    unit.giveBack()
    await one.stop()
    await other.beat()
    t.truthy(await takeOf(other, tenantId))
    // `other` is gone without a word: its unit stays where it is.
    const third = createProcess(quotas)
    await third.beat()
    t.is(await takeOf(third, tenantId), undefined)
    t.is(third.take(tenantId), 'exceeded')
    await third.stop()
    await other.stop()
  },
)

test.serial('orders a day – a quota that is lowered and raised counts at once', async (t) => {
  const tenantId = `t-${random()}`
  const quotas = new Map<string, TenantQuota>([[tenantId, { ordersPerDay: 100 }]])
  const process = createProcess(quotas)
  await process.beat()
  for (let press = 0; press < 10; press++) t.truthy(await takeOf(process, tenantId))
  quotas.set(tenantId, { ordersPerDay: 10 })
  // One beat tells that more is held than there is, the next gives it up.
  await process.beat()
  await process.beat()
  t.is(await takeOf(process, tenantId), undefined)
  quotas.set(tenantId, { ordersPerDay: 11 })
  await process.beat()
  await process.beat()
  t.truthy(await takeOf(process, tenantId))
  t.is(await takeOf(process, tenantId), undefined)
  quotas.set(tenantId, {})
  t.is(process.take(tenantId), undefined)
  await process.stop()
})

test.serial('orders a day – a new day by the clock of Redis is a new quota, and no day comes twice', async (t) => {
  const tenantId = `t-${random()}`
  const quotas = new Map<string, TenantQuota>([[tenantId, { ordersPerDay: 2 }]])
  const process = createProcess(quotas)
  await process.beat()
  const late = (await takeOf(process, tenantId))!
  await takeOf(process, tenantId)
  t.is(await takeOf(process, tenantId), undefined)
  process.clock.offsetMs = 86_400_000
  await process.beat()
  t.truthy(await takeOf(process, tenantId))
  // A press of yesterday gives its unit to yesterday.
  late.giveBack()
  // The clock goes back over midnight: the day that was used up does not begin again.
  process.clock.offsetMs = 0
  await process.beat()
  t.truthy(await takeOf(process, tenantId))
  t.is(await takeOf(process, tenantId), undefined)
  t.is((await redis.keys(`quota:{${tenantId}}:*`)).length, 2)
  await process.stop()
})

test.serial('orders a day – while Redis does not answer nobody is told that the quota is used up', async (t) => {
  const tenantId = `t-${random()}`
  const quotas = new Map<string, TenantQuota>([[tenantId, { ordersPerDay: 100 }]])
  const process = createProcess(quotas)
  t.is(process.take(tenantId), 'unknown')
  await process.beat()
  const first = await takeOf(process, tenantId)
  process.setDown(true)
  let more = 0
  while (await takeOf(process, tenantId)) more += 1
  // What was leased is sold on; then it is not known.
  t.true(first !== undefined && more > 0 && more < 100)
  t.is(process.take(tenantId), 'unknown')
  t.true(process.failures.length > 0)
  process.setDown(false)
  process.clock.monotonicMs += 1_000
  await process.beat()
  t.truthy(await takeOf(process, tenantId))
  // Nothing was lost on the way: all of the rest can be taken.
  let rest = 1
  for (let round = 0; round < 20; round++) {
    while (await takeOf(process, tenantId)) rest += 1
    await process.beat()
  }
  t.is(1 + more + rest, 100)
  await process.stop()
})

test.serial('purchases a second – the shares follow the processes that are there', async (t) => {
  const tenantId = `t-${random()}`
  const quotas = new Map<string, TenantQuota>([[tenantId, { requestsPerSecond: 100 }]])
  await redis.del(processesKey)
  const clock = { offsetMs: 0, monotonicMs: 0 }
  const [one, other] = [createProcess(quotas, clock), createProcess(quotas, clock)]
  const takeAll = (process: TenantQuotas) => {
    let taken = 0
    while (process.mayPass(tenantId) === 'ok') taken += 1
    return taken
  }
  t.is(one.mayPass(tenantId), 'unknown')
  await one.beat()
  t.is(takeAll(one), 100 * burstSeconds)
  await other.beat()
  await one.beat()
  t.is(takeAll(other), 50 * burstSeconds)
  takeAll(one)
  clock.monotonicMs += 500
  t.is(takeAll(one) + takeAll(other), 50)
  await other.stop()
  await one.beat()
  takeAll(one)
  clock.monotonicMs += 500
  t.is(takeAll(one), 50)
  // Who was not heard for so long may be forgotten by the others.
  clock.monotonicMs += quotaAliveMs
  t.is(one.mayPass(tenantId), 'unknown')
  t.is(one.mayPass('tenant-without-quota'), 'ok')
  await one.stop()
})

test('purchases a second – for any times and numbers of processes the sum keeps to its bound', (t) => {
  // A seeded walk: presses at random times in processes that come and go, all of which know how many they are.
  let seed = 7
  const next = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % below
  }
  for (let run = 0; run < 50; run++) {
    const quota = 1 + next(500)
    let nowMs = 0
    let everyone = Array.from({ length: 1 + next(4) }, () => undefined as RateShare | undefined)
    let started = 0
    let accepted = 0
    for (let press = 0; press < 2_000; press++) {
      nowMs += next(8)
      if (next(500) === 0) everyone = everyone.slice(0, 1 + next(everyone.length))
      const index = next(everyone.length)
      let share = everyone[index]
      if (!share) {
        everyone[index] = share = new RateShare(nowMs, quota, everyone.length)
        started += 1
      }
      if (share.take(nowMs, quota, everyone.length)) accepted += 1
      const seconds = nowMs / 1_000
      t.true(accepted <= quota * (seconds + burstSeconds) + started + 1e-6)
    }
  }
})

test.serial('press – two real processes keep to the quotas of a tenant, and follow when they change', async (t) => {
  const directory = createAccessDirectory(redis)
  const environment = { REDIS_URL: server.url, ACCESS_CONTROL: 'directory', RELAY_SWEEP_MS: '60000' }
  const [one, other] = [await startStage(environment), await startStage(environment)]
  t.teardown(async () => {
    await one.stop()
    await other.stop()
  })
  const { tenantId } = one
  await directory.putTenant(tenantId, { state: 'active', quota: { ordersPerDay: 5 }, version: 1 })
  const { activityId } = await one.sale({ stock: 100, perUserLimit: 1 })
  const elsewhere: typeof one.press = (activity, userId) =>
    other.post(
      `/api/v1/seckill/${activity}/purchases`,
      { 'content-type': 'application/json', 'stampede-pass': passFor({ tenantId, userId, activityId: activity }) },
      '{}',
    )
  const pressAt = (index: number, userId: string) =>
    index % 2 === 0 ? one.press(activityId, userId) : elsewhere(activityId, userId)
  const pressAll = async (prefix: string) =>
    Promise.all(Array.from({ length: 20 }, (_, index) => pressAt(index, `${prefix}-${index}`)))
  const first = await pressAll('first')
  const accepted = () => first.filter(({ status }) => status === 202).length
  t.true(accepted() >= 1 && accepted() <= 5)
  const refused = first.find(({ status }) => status !== 202)!
  t.is(refused.status, 429)
  t.like(refused.body, { code: 'quota-exceeded' })
  t.true(Number(refused.headers.get('retry-after')) > 0)

  // Who has an order already uses up nothing.
  const winner = first.findIndex(({ status }) => status === 202)
  await directory.putTenant(tenantId, { state: 'active', quota: { ordersPerDay: 50 }, version: 2 })
  const again = (index: number) => pressAt(index, `first-${winner}`)
  for (let tries = 0; ; tries++) {
    // Each process hears of the change in its own time.
    const statuses = (await Promise.all([again(0), again(1)])).map(({ status }) => status)
    if (statuses.every((status) => status === 409)) break
    if (tries > 200) throw new Error(`still ${statuses.join(', ')}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const statusesOf = (presses: { status: number }[]) => [...new Set(presses.map(({ status }) => status))]
  t.deepEqual(statusesOf(await Promise.all(Array.from({ length: 45 }, (_, index) => again(index)))), [409])
  t.deepEqual(statusesOf(await pressAll('second')), [202])

  await directory.putTenant(tenantId, { state: 'active', quota: { requestsPerSecond: 1 }, version: 3 })
  for (let tries = 0; ; tries++) {
    const { status, body, headers } = await one.press(activityId, `third-${tries}`)
    if (status === 429 && (body as { code?: string })['code'] === 'rate-limited') {
      t.is(headers.get('retry-after'), '1')
      break
    }
    if (tries > 70) throw new Error(`still ${status}`)
  }
})
