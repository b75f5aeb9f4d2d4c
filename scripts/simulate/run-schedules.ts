/** A range of schedules in this thread, and many of them over threads. What comes out does not depend on the number of threads. */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { noPlant, plants, scriptPatch, type PlantName } from './plants.ts'
import { scheduleSeed } from './random.ts'
import { createSimulatedRedis, type SimulatedRedis } from './redis/redis.ts'
import { playSchedule, type ScheduleResult } from './schedule.ts'
import { scriptsByName } from './shared-redis.ts'

export type Totals = {
  schedules: number
  steps: number
  virtualMs: number
  promised: number
  orders: number
  crashes: number
  /** Purchases that two failures at once took: outside of the guarantees. */
  lostTwice: number
}

export type Outcome = { totals: Totals; failures: { index: number; seed: number; guarantee: string; detail: string }[] }

export type Range = { seed: number; from: number; to: number; plant: PlantName | undefined; maximumFailures: number }

const emptyTotals = (): Totals => ({
  schedules: 0,
  steps: 0,
  virtualMs: 0,
  promised: 0,
  orders: 0,
  crashes: 0,
  lostTwice: 0,
})

export function redisFor(plant: PlantName | undefined): Promise<SimulatedRedis> {
  const codes = new Map([...scriptsByName].map(([name, script]) => [name, script.code]))
  return createSimulatedRedis(scriptPatch(plant ? plants[plant] : noPlant, codes))
}

export function play(
  seed: number,
  redis: SimulatedRedis,
  plant: PlantName | undefined,
  trace?: (line: string) => void,
): Promise<ScheduleResult> {
  return playSchedule(seed, redis, plant ? plants[plant] : noPlant, trace)
}

/** Plays a range in this thread; stops after so many failures. */
export async function playRange(range: Range, redis: SimulatedRedis): Promise<Outcome> {
  const totals = emptyTotals()
  const failures: Outcome['failures'] = []
  for (let index = range.from; index < range.to && failures.length < range.maximumFailures; index++) {
    const seed = scheduleSeed(range.seed, index)
    const result = await play(seed, redis, range.plant).catch((error: unknown) => {
      throw new Error(`the simulation itself failed at seed ${seed}: ${String(error)}`, { cause: error })
    })
    totals.schedules++
    for (const key of ['steps', 'virtualMs', 'promised', 'orders', 'crashes', 'lostTwice'] as const)
      totals[key] += result[key]
    if (result.violation) failures.push({ index, seed: result.seed, ...result.violation })
  }
  return { totals, failures }
}

/** Schedules a thread takes at once: small enough to stop soon after a failure and to show progress. */
const portion = 250

/**
 * Plays all schedules and stops at the first portion with a failure. Portions are handed out in order and all before the failing one are
 * finished, so the failure with the lowest number is the same for every number of threads.
 */
export async function playAll(options: {
  seed: number
  schedules: number
  plant: PlantName | undefined
  threads?: number
  progress?: (done: number) => void
}): Promise<Outcome> {
  const { seed, schedules, plant, progress = () => {} } = options
  const threads = Math.max(1, Math.min(options.threads ?? availableParallelism(), Math.ceil(schedules / portion)))
  const totals = emptyTotals()
  const finished = new Map<number, Outcome>()
  let next = 0
  let stopBefore = schedules
  let done = 0

  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL('worker.ts', import.meta.url), { workerData: { plant } }),
  )
  const work = (worker: Worker) =>
    new Promise<void>((resolve, reject) => {
      const take = () => {
        if (next >= stopBefore) {
          resolve()
          return
        }
        const range: Range = { seed, from: next, to: Math.min(next + portion, schedules), plant, maximumFailures: 1 }
        next = range.to
        worker.postMessage(range)
      }
      worker.on('error', reject)
      worker.on('message', ({ from, outcome }: { from: number; outcome: Outcome }) => {
        finished.set(from, outcome)
        done += outcome.totals.schedules
        progress(done)
        if (outcome.failures.length > 0) stopBefore = Math.min(stopBefore, from)
        take()
      })
      take()
    })
  try {
    await Promise.all(workers.map(work))
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
  const failures: Outcome['failures'] = []
  for (const from of [...finished.keys()].sort((a, b) => a - b)) {
    const outcome = finished.get(from)!
    for (const key of Object.keys(totals) as (keyof Totals)[]) totals[key] += outcome.totals[key]
    failures.push(...outcome.failures)
    if (failures.length > 0) break
  }
  return { totals, failures }
}
