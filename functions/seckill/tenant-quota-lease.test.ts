import { randomBytes } from 'node:crypto'
import test from 'ava'
import * as fc from 'fast-check'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { serviceAddresses } from '@stampede/shared/testing/services.ts'
import { dayOf, leaseKey, maximumChunk, minimumChunk, OrderLease, type LeaseCall } from './tenant-quota-lease.ts'
import { createQuotaStore } from './tenant-quota-redis.ts'

const redis = connectRedis(serviceAddresses().redisUrl)
test.after.always(() => redis.disconnect())

const day = '2026-11-21'
const random = () => randomBytes(6).toString('hex')
const counter = () => {
  let next = 0
  return () => ++next
}
const totalOf = async (tenantId: string) => Number((await redis.hget(leaseKey(tenantId, day), 'total')) ?? 0)

/** A process with its lease; its calls can be lost on the way there, on the way back, or come late. */
function createProcess(tenantId: string, limit: number, processes: number) {
  const store = createQuotaStore(redis, random(), 3_000)
  const lease = new OrderLease(tenantId, day, counter())
  const late: LeaseCall[] = []
  let pending = 0
  const execute = (call: LeaseCall) => store.lease(tenantId, day, call, limit, processes)
  return {
    lease,
    accepted: 0,
    pendingPresses: () => pending,
    /** As many presses as there are units for. */
    take() {
      while (lease.take()) pending += 1
    },
    settle(accept: boolean) {
      for (; pending > 0; pending--) {
        if (accept) this.accepted += 1
        else lease.giveBack()
      }
    },
    async call(fate: 'answered' | 'lost' | 'unanswered' | 'late') {
      lease.wake()
      const call = lease.begin(false)
      if (!call) return
      if (fate === 'answered') return lease.succeeded(call, (await execute(call)).leased)
      if (fate === 'unanswered') await execute(call)
      if (fate === 'late') late.push(call)
      lease.failed(call)
    },
    async deliverLate() {
      const call = late.shift()
      if (call) await execute(call)
    },
    async giveUp() {
      await execute(lease.giveUp())
    },
  }
}

test('lease – whatever is lost, late or dies, never more is accepted than the quota', async (t) => {
  const step = fc.record({
    process: fc.nat({ max: 2 }),
    what: fc.oneof(
      { weight: 4, arbitrary: fc.constant('take' as const) },
      { weight: 4, arbitrary: fc.constant('accept' as const) },
      { weight: 1, arbitrary: fc.constant('refuse' as const) },
      { weight: 8, arbitrary: fc.constant('answered' as const) },
      { weight: 2, arbitrary: fc.constant('late' as const) },
      { weight: 2, arbitrary: fc.constant('deliver' as const) },
      { weight: 2, arbitrary: fc.constantFrom('lost' as const, 'unanswered', 'die', 'give-up') },
    ),
  })
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: 12 }), fc.array(step, { minLength: 40, maxLength: 120 }), async (limit, steps) => {
      const tenantId = `t-${random()}`
      const start = () => createProcess(tenantId, limit, 3)
      const processes = [start(), start(), start()]
      const dead: ReturnType<typeof start>[] = []
      const accepted = () => {
        let sum = 0
        // What a process that died had under way may have been accepted.
        for (const process of dead) sum += process.accepted + process.pendingPresses()
        for (const process of processes) sum += process.accepted
        return sum
      }
      for (const { process: index, what } of steps) {
        const process = processes[index]!
        if (what === 'take') process.take()
        else if (what === 'accept' || what === 'refuse') process.settle(what === 'accept')
        else if (what === 'deliver') await process.deliverLate()
        else if (what === 'die' || what === 'give-up') {
          if (what === 'give-up') {
            process.settle(true)
            await process.giveUp()
          }
          dead.push(process)
          processes[index] = start()
        } else await process.call(what)
        if (accepted() > limit) return false
      }
      // Everybody settles, says what they hold, and hears late calls: Redis knows exactly what is held.
      for (const process of processes) {
        process.settle(false)
        await process.giveUp()
        await process.deliverLate()
      }
      const total = await totalOf(tenantId)
      return total >= accepted() && total <= limit
    }),
    { numRuns: 100 },
  )
  t.pass()
})

test('lease – a process has no more than its half share of what is left, and the last units one by one', async (t) => {
  const tenantId = `t-${random()}`
  const store = createQuotaStore(redis, random(), 3_000)
  const ask = async (sequence: number, held: number, wanted: number) =>
    (await store.lease(tenantId, day, { sequence, held, wanted }, 100, 2)).leased
  t.is(await ask(1, 0, 1_000), 25)
  t.is(await ask(2, 25, 1_000), 18)
  t.is(await ask(3, 43, 5), 5)
  t.is(await ask(4, 97, 5), 1)
  t.is(await ask(5, 98, 5), 1)
  t.is(await ask(6, 99, 5), 1)
  t.is(await ask(7, 100, 5), 0)
  // Late, and repeated.
  t.is(await ask(3, 0, 5), -1)
  t.is(await ask(7, 0, 5), -1)
  t.is(await totalOf(tenantId), 100)
  // What is given back can be leased again.
  t.is(await ask(8, 50, 1), 1)
})

test('lease – a Redis that is another process now leases nothing until everybody said what they hold', async (t) => {
  const tenantId = `t-${random()}`
  const store = createQuotaStore(redis, random(), 3_000)
  await store.lease(tenantId, day, { sequence: 1, held: 0, wanted: 10 }, 100, 1)
  await redis.hset(leaseKey(tenantId, day), 'run', 'the-one-before')
  const other = createQuotaStore(redis, random(), 3_000)
  const { leased } = await other.lease(tenantId, day, { sequence: 1, held: 7, wanted: 10 }, 100, 1)
  t.is(leased, -2)
  t.is(await totalOf(tenantId), 17)
  // The time is over.
  await redis.hset(leaseKey(tenantId, day), 'since', '1')
  const after = await other.lease(tenantId, day, { sequence: 2, held: 7, wanted: 10 }, 100, 1)
  t.is(after.leased, 10)
})

test('lease – grows with what is taken, and goes back when nobody needs it', (t) => {
  const lease = new OrderLease('acme', day, counter())
  const call = (leased = Number.POSITIVE_INFINITY) => {
    const asked = lease.begin(false)!
    lease.succeeded(asked, Math.min(asked.wanted, leased))
    return asked.wanted
  }
  t.is(call(), minimumChunk)
  for (let press = 0; press < minimumChunk; press++) t.true(lease.take())
  t.false(lease.take())
  t.true(lease.isLow())
  t.is(call(), minimumChunk * 2)
  t.is(call(), 0)
  t.is(lease.free, minimumChunk * 2)
  t.is(call(), 0)
  t.is(lease.free, 0)
  t.is(lease.used, minimumChunk)
  lease.used = 0
  lease.free = maximumChunk * 3
  for (let press = 0; press < maximumChunk * 2; press++) lease.take()
  t.is(lease.begin(false)!.held, maximumChunk * 3)
})

test('lease – an answer to a call that was given up is not believed', (t) => {
  const lease = new OrderLease('acme', day, counter())
  const first = lease.begin(false)!
  t.is(lease.begin(false), undefined)
  lease.failed(first)
  const second = lease.begin(false)!
  lease.succeeded(first, 16)
  t.is(lease.free, 0)
  lease.succeeded(second, 5)
  t.is(lease.free, 5)
})

test('lease – a day is a day of UTC', (t) => {
  t.is(dayOf(Date.parse('2026-11-21T23:59:59.999Z')), '2026-11-21')
  t.is(dayOf(Date.parse('2026-11-22T00:00:00.000Z')), '2026-11-22')
})
