/** Three processes share the quotas of a tenant, and one of them is killed while it holds its part. */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { createAccessDirectory } from '@stampede/shared/access/directory.ts'
import { createPasses, parsePassKeys } from '@stampede/shared/identity/pass.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { spawnFunction, type FunctionProcess } from '@stampede/shared/testing/function-process.ts'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { serviceAddresses, startRedis } from '@stampede/shared/testing/services.ts'
import { leaseKey } from './tenant-quota-lease.ts'
import { burstSeconds } from './tenant-quota-rate.ts'
import { processesKey } from './tenant-quota-redis.ts'
import { deleteTopic, randomId } from './testing.ts'

const quota = { requestsPerSecond: 60, ordersPerDay: 400 }
const count = 3

const server = await startRedis()
const redis = connectRedis(server.url)
const store = createSaleStore(redis)
const tenantId = randomId('tenant')
const activityId = randomId('activity')
const topic = randomId('seckill.orders')
const passKeys = `k1:${randomBytes(32).toString('base64')}`
const passes = createPasses({ keys: parsePassKeys(passKeys), now: Date.now })
let processes: FunctionProcess[] = []

test.before(async () => {
  await createAccessDirectory(redis).putTenant(tenantId, { state: 'active', quota, version: 1 })
  const nowMs = Date.now()
  const times = { startsAtMs: nowMs - 60_000, endsAtMs: nowMs + 3_600_000 }
  await store.warmUp({ tenantId, activityId, stock: 10_000, perUserLimit: 1, buckets: 1, ...times })
  const environment = {
    ...(await createTestIdentity()).environment,
    REDIS_URL: server.url,
    KAFKA_BROKERS: serviceAddresses().kafkaBrokers.join(','),
    RELAY_TOPIC: topic,
    RELAY_PARTITIONS: '1',
    PASS_KEYS: passKeys,
    LOG_LEVEL: 'warn',
    K_SINK: 'http://127.0.0.1:9',
    ACCESS_CONTROL: 'directory',
    // A machine that is busy for a moment is not what this is about.
    ACCESS_STALE_MS: '10000',
  }
  processes = await Promise.all(Array.from({ length: count }, () => spawnFunction(import.meta.dirname, environment)))
})
test.after.always(async () => {
  await Promise.all(processes.map((one) => one.stop()))
  redis.disconnect()
  await server.stop()
  await deleteTopic(topic)
})

let buyers = 0
/** One more buyer; what became of the press, or undefined when nobody answered. */
async function press({ url }: FunctionProcess): Promise<string | undefined> {
  const times = { issuedAtMs: Date.now(), expiresAtMs: Date.now() + 60_000 }
  const pass = passes.issue({ tenantId, userId: `buyer-${++buyers}`, activityId, device: '', ...times })
  const headers = { 'stampede-pass': pass, 'content-type': 'application/json' }
  const address = `${url}/api/v1/seckill/${activityId}/purchases`
  const response = await fetch(address, { method: 'POST', headers, body: '{}' }).catch(() => undefined)
  const body = (await response?.json().catch(() => undefined)) as { code?: string } | undefined
  return response?.status === 202 ? 'accepted' : body?.code
}

async function until(look: () => Promise<boolean> | boolean): Promise<void> {
  const endMs = performance.now() + 60_000
  while (!(await look())) {
    if (performance.now() > endMs) throw new Error(`not within a minute: ${String(look)}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Every process has counted all of them. */
async function allKnowAll(): Promise<void> {
  let sinceMs = 0
  await until(async () => {
    const all = await redis.zrange(processesKey, '0', '-1', 'WITHSCORES')
    const seenMs = all.filter((_, index) => index % 2 === 1).map(Number)
    if (seenMs.length < count) return false
    if (sinceMs === 0) sinceMs = Math.max(...seenMs)
    return Math.min(...seenMs) > sinceMs
  })
}

/** Units of the day that a process holds, used or not, as Redis knows it. */
async function heldBy({ child: { pid } }: FunctionProcess): Promise<number> {
  const [day] = await redis.keys(leaseKey(tenantId, '*'))
  const all = day === undefined ? {} : await redis.hgetall(day)
  const field = Object.keys(all).find((name) => name.includes(`-${pid}-`))
  return field === undefined ? 0 : Number(all[field]!.split(':')[1])
}

const soldNow = async () => (await store.snapshot({ tenantId, activityId, bucket: 0 }))!.sold
/** What the shares of so many processes let through in this time at most. */
const bound = (shares: number, seconds: number) =>
  (quota.requestsPerSecond / count) * shares * (seconds + burstSeconds) + shares

test('quotas – a process is killed with its part: never more than the quota, and the others have its rate, and all of the day but what it held', async (t) => {
  await allKnowAll()
  const [killed, ...left] = processes as [FunctionProcess, ...FunctionProcess[]]
  const outcomes = new Map(processes.map((one) => [one, { accepted: 0, passed: 0, exceeded: 0 }]))
  // Each knows the tenant when it has been asked once.
  for (const one of processes) await until(async () => (await press(one)) === 'accepted')
  const others = new Set<string>()
  const load = { on: true }
  const pressOn = async (one: FunctionProcess) => {
    const own = outcomes.get(one)!
    while (load.on) {
      const outcome = await press(one)
      if (outcome === undefined) return
      if (outcome === 'rate-limited') continue
      own.passed++
      if (outcome === 'accepted') own.accepted++
      else if (outcome === 'quota-exceeded') own.exceeded++
      else others.add(outcome)
    }
  }
  const passedBy = (some: readonly FunctionProcess[]) => some.reduce((sum, one) => sum + outcomes.get(one)!.passed, 0)
  const beganMs = performance.now()
  const secondsSince = (ms: number) => (performance.now() - ms) / 1_000
  const loads = processes.flatMap((one) => [pressOn(one), pressOn(one)])

  // In the middle of its work, with units that it has not used.
  await until(async () => (await heldBy(killed)) > outcomes.get(killed)!.accepted + 4 && passedBy([killed]) > 20)
  t.true(passedBy(left) <= bound(2, secondsSince(beganMs)))
  await killed.kill()
  const lost = await heldBy(killed)

  // Two shares would never let so much through, not even with what was on its way before: that of the dead one is theirs now.
  let windowMs = performance.now()
  let passed = passedBy(left)
  await until(() => {
    const seconds = secondsSince(windowMs)
    if (passedBy(left) - passed > bound(2, seconds) + loads.length) return true
    if (seconds > 3) {
      windowMs = performance.now()
      passed = passedBy(left)
    }
    return false
  })
  t.true(passedBy(processes) <= bound(count, secondsSince(beganMs)))
  await until(() => left.every((one) => outcomes.get(one)!.exceeded > 10))
  load.on = false
  await Promise.all(loads)
  t.true(passedBy(processes) <= bound(count, secondsSince(beganMs)))

  t.deepEqual([...others], [])
  t.is(await heldBy(killed), lost, 'what it held is not given out twice')
  t.true((await soldNow()) <= quota.ordersPerDay)
  // What it had not used is lost to this day, and nothing else is. The first press of each is not in the outcomes.
  const sum = (values: number[]) => values.reduce((before, value) => before + value, 0)
  const soldByLeft = sum(left.map((one) => outcomes.get(one)!.accepted + 1))
  t.is(soldByLeft, quota.ordersPerDay - lost)
  t.is(sum(await Promise.all(left.map(heldBy))), soldByLeft)
  t.true(lost >= (await soldNow()) - soldByLeft)
})
