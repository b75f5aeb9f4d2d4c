/** Plays one schedule from its seed and judges it. */
import { crashDatabase, crashProcess, crashRedis, stopBroker } from './breakdowns.ts'
import { checkRest, unrest } from './invariants.ts'
import { Violation } from './ledger.ts'
import type { Plant } from './plants.ts'
import { createRandom } from './random.ts'
import type { SimulatedRedis } from './redis/redis.ts'
import { randomSettings, type Settings } from './settings.ts'
import { createWorld, startMs, type World } from './world.ts'

export type ScheduleResult = {
  seed: number
  /** Undefined: all guarantees held. */
  violation: { guarantee: string; detail: string } | undefined
  steps: number
  virtualMs: number
  orders: number
  promised: number
  lostTwice: number
  crashes: number
}

/** Faults happen in this time; then everything must come to rest within the other. */
const troubledMs = 9_000
const restWithinMs = 400_000
const maximumSteps = 60_000

/** When in the schedule something breaks: at a step, so that it falls between any two things, or at a moment. */
function planFaults(world: World): (() => void)[] {
  const { settings, scheduler } = world
  const random = world.random.split()
  const atSteps: { step: number; run: () => void }[] = []
  const plan = (count: number, run: () => void) => {
    for (let i = 0; i < count; i++) {
      if (random.chance(0.6)) atSteps.push({ step: random.below(400), run })
      else scheduler.later('fault', random.below(troubledMs), run)
    }
  }
  plan(settings.faults.redisCrashes, () => crashRedis(world))
  plan(settings.faults.seckillCrashes, () => crashProcess(world, 'seckill'))
  plan(settings.faults.orderCrashes, () => crashProcess(world, 'order'))
  plan(settings.faults.reconciliationCrashes, () => crashProcess(world, 'reconciliation'))
  plan(settings.faults.databaseCrashes, () => crashDatabase(world))
  plan(settings.faults.brokerOutages, () => stopBroker(world))
  return atSteps
    .sort((a, b) => a.step - b.step)
    .map(({ step, run }) => {
      let done = false
      return () => {
        if (done || scheduler.steps() < step) return
        done = true
        run()
      }
    })
}

export async function playSchedule(
  seed: number,
  redis: SimulatedRedis,
  plant: Plant,
  trace?: (line: string) => void,
): Promise<ScheduleResult> {
  const random = createRandom(seed)
  const settings: Settings = randomSettings(random)
  trace?.(`seed ${seed} ${JSON.stringify(settings)}`)
  const world = createWorld({ settings, random, redis, plant, ...(trace ? { trace } : {}) })
  const { scheduler, ledger } = world
  let violation: ScheduleResult['violation']
  try {
    world.begin()
    const faults = planFaults(world)
    let restingSinceMs: number | undefined
    scheduler.later('no more faults', troubledMs, () => world.failures.calmDown())
    const atRest = (): boolean => {
      if (scheduler.now() - startMs < troubledMs) {
        for (const fault of faults) fault()
        return false
      }
      if (unrest(world) !== undefined) {
        restingSinceMs = undefined
        return false
      }
      restingSinceMs ??= scheduler.now()
      // Both comparisons, of the counters and of everything, began after all else had ended, and found nothing to do.
      const { quietSinceMs, fullSinceMs } = world.clean()
      return Math.min(quietSinceMs, fullSinceMs) >= restingSinceMs
    }
    const ended = await scheduler.run(atRest, startMs + troubledMs + restWithinMs, maximumSteps)
    if (ended !== 'done') {
      const why = unrest(world) ?? `the reconciliation says ${JSON.stringify(world.lastReconciliation())}`
      throw new Violation('SK2', `nothing comes to rest (${ended}): ${why}`)
    }
    checkRest(world, world.sharedRedis.views())
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    violation = { guarantee: error.guarantee, detail: error.message }
    trace?.(`VIOLATION ${error.message}`)
  }
  return {
    seed,
    violation,
    steps: scheduler.steps(),
    virtualMs: scheduler.now() - startMs,
    orders: world.database.tables.orders.size,
    promised: ledger.promised.size,
    lostTwice: ledger.lostTwice.size,
    crashes: ledger.state.processCrashes + ledger.state.redisLosses,
  }
}
