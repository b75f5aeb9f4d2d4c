import test from 'ava'
import { plantNames, scriptPatch, noPlant } from './plants.ts'
import { createRandom, scheduleSeed } from './random.ts'
import { play, playAll, playRange, redisFor } from './run-schedules.ts'

/** Schedules within which each planted bug must be found. */
const bound = 3_000

test('simulation – a few thousand schedules of the protocol as it is hold all guarantees', async (t) => {
  t.timeout(600_000)
  const { totals, failures } = await playAll({ seed: 20_261, schedules: 3_000, plant: undefined })
  t.deepEqual(failures, [])
  t.is(totals.schedules, 3_000)
  // The schedules must be worth something: they buy, order and crash.
  t.true(totals.promised > 5_000, `${totals.promised} purchases`)
  t.true(totals.orders > 5_000, `${totals.orders} orders`)
  t.true(totals.crashes > 1_000, `${totals.crashes} crashes`)
  t.true(totals.lostTwice < totals.promised / 100, `${totals.lostTwice} purchases outside of the guarantees`)
})

for (const name of plantNames) {
  test(`simulation – finds the planted bug ${name}, and the seed shows it again`, async (t) => {
    t.timeout(600_000)
    const redis = await redisFor(name)
    const { failures } = await playRange({ seed: 7, from: 0, to: bound, plant: name, maximumFailures: 1 }, redis)
    t.is(failures.length, 1, `${name} was not found in ${bound} schedules`)
    const [failure] = failures
    const again = await play(failure!.seed, redis, name)
    redis.close()
    t.deepEqual(again.violation, { guarantee: failure!.guarantee, detail: failure!.detail })
    t.log(`schedule ${failure!.index}: ${failure!.detail}`)
  })
}

test('simulation – the same seed gives the same steps, whatever was played before', async (t) => {
  const traceOf = async (seed: number, redis: Awaited<ReturnType<typeof redisFor>>) => {
    const lines: string[] = []
    await play(seed, redis, undefined, (line) => lines.push(line))
    return lines
  }
  const one = await redisFor(undefined)
  const other = await redisFor(undefined)
  await playRange({ seed: 99, from: 0, to: 5, plant: undefined, maximumFailures: 1 }, other)
  for (let index = 0; index < 12; index++) {
    const seed = scheduleSeed(5, index)
    const first = await traceOf(seed, one)
    t.true(first.length > 50)
    t.deepEqual(await traceOf(seed, other), first)
    t.deepEqual(await traceOf(seed, one), first)
  }
  one.close()
  other.close()
})

// Alone: other tests load the interpreter, which has timers of its own.
test.serial('simulation – nothing of the real world gets in: other clock, other chance, same steps', async (t) => {
  const redis = await redisFor(undefined)
  const trace = async () => {
    const lines: string[] = []
    for (let index = 0; index < 5; index++)
      await play(scheduleSeed(3, index), redis, undefined, (line) => lines.push(line))
    return lines
  }
  const expected = await trace()
  const real = { now: Date.now, random: Math.random }
  const timers: string[] = []
  const { setTimeout: realTimeout, setInterval: realInterval } = globalThis
  try {
    Date.now = () => 42
    Math.random = () => 0.42
    Object.defineProperty(performance, 'now', { configurable: true, value: () => 42 })
    // The test runner has timers of its own.
    const note = (timer: string) => {
      const stack = new Error(timer).stack ?? ''
      if (/\/(functions|shared|scripts\/simulate)\/[^ ]*(?<!\.test)\.ts/.test(stack)) timers.push(stack)
    }
    globalThis.setTimeout = ((callback: () => void, ms: number) => {
      note('setTimeout')
      return realTimeout(callback, ms)
    }) as typeof setTimeout
    globalThis.setInterval = ((callback: () => void, ms: number) => {
      note('setInterval')
      return realInterval(callback, ms)
    }) as typeof setInterval
    t.deepEqual(await trace(), expected)
  } finally {
    Object.assign(Date, { now: real.now })
    Object.assign(Math, { random: real.random })
    Reflect.deleteProperty(performance, 'now')
    Object.assign(globalThis, { setTimeout: realTimeout, setInterval: realInterval })
  }
  t.deepEqual(timers, [])
  redis.close()
})

test('simulation – results do not depend on the number of threads', async (t) => {
  t.timeout(300_000)
  const alone = await playAll({ seed: 11, schedules: 600, plant: undefined, threads: 1 })
  const together = await playAll({ seed: 11, schedules: 600, plant: undefined, threads: 3 })
  t.deepEqual(together, alone)
  const found = await playAll({ seed: 11, schedules: 1_500, plant: 'no-claims', threads: 1 })
  t.deepEqual(await playAll({ seed: 11, schedules: 1_500, plant: 'no-claims', threads: 3 }), found)
  t.is(found.failures.length, 1)
})

test('plants – one whose place in a script is gone fails loudly', (t) => {
  const plant = { ...noPlant, scripts: [{ script: 'release', find: 'not there', replace: '' }] }
  t.throws(() => scriptPatch(plant, new Map([['release', 'return 1']])), { message: /does not fit the script release/ })
})

test('random – the same numbers for a seed on every machine, other numbers for another', (t) => {
  const numbers = (seed: number) =>
    Array.from(
      { length: 5 },
      (
        (random) => () =>
          random.below(1_000)
      )(createRandom(seed)),
    )
  t.deepEqual(numbers(1), numbers(1))
  t.notDeepEqual(numbers(1), numbers(2))
  t.notDeepEqual(numbers(1), numbers(1 + 2 ** 32))
  t.is(new Set(Array.from({ length: 10_000 }, (_, index) => scheduleSeed(1, index))).size, 10_000)
  t.deepEqual(numbers(12_345), [908, 763, 461, 638, 926])
})
