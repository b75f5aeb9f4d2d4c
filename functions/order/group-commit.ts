/**
 * Gathers the deliveries that are in flight into one transaction. One transaction runs at a time: while it commits, the next
 * group gathers, so the group grows with the load and a lone delivery does not wait. A group that is full by then is also
 * prepared meanwhile, so that the database does not wait for this process.
 */
import { Problem } from '@stampede/shared/http/problem.ts'

export type GroupCommitOptions<Delivery, Group, Result> = {
  /** What can be done without the database; no effects. What it read may be old when the group is settled. */
  prepare: (deliveries: readonly Delivery[]) => Group
  /** Settles a group in one transaction; results in the order of the deliveries. Calls `meanwhile` when the database has been asked. */
  settle: (group: Group, meanwhile: () => void) => Promise<Result[]>
  /** Weight of a delivery: its number of purchases. */
  weigh: (delivery: Delivery) => number
  /** Weight of a group at most; a delivery that is heavier by itself makes a group of its own. */
  maximumGroup: number
  /** Weight that may wait; more is refused with 503. */
  maximumQueue: number
  /** True when a failure is not the delivery's: then settling one by one would only fail again. */
  isEnvironmental: (error: unknown) => boolean
}

export type GroupCommit<Delivery, Result> = {
  /** Resolves when what the delivery brought is committed; rejects when it is not. */
  submit: (delivery: Delivery) => Promise<Result>
  /** Weight that waits, the group under way not counted. */
  waiting: () => number
  /** Resolves when nothing is under way or waits. */
  idle: () => Promise<void>
}

type Waiting<Delivery, Result> = {
  delivery: Delivery
  weight: number
  resolve: (result: Result) => void
  reject: (error: unknown) => void
}

export function createGroupCommit<Delivery, Group, Result>(
  options: GroupCommitOptions<Delivery, Group, Result>,
): GroupCommit<Delivery, Result> {
  let queue: Waiting<Delivery, Result>[] = []
  /** Of the queue and of `next`. */
  let queuedWeight = 0
  let running: Promise<void> | undefined
  /** Taken from the queue while the group before it commits. */
  let next: { group: Waiting<Delivery, Result>[]; prepared: Group } | undefined
  /** The database works on a group, so this process has time. */
  let asked = false

  const takeGroup = (): Waiting<Delivery, Result>[] => {
    let count = 0
    let weight = 0
    for (const waiting of queue) {
      if (count > 0 && weight + waiting.weight > options.maximumGroup) break
      count += 1
      weight += waiting.weight
    }
    const group = queue.slice(0, count)
    queue = queue.slice(count)
    return group
  }

  const prepare = (group: readonly Waiting<Delivery, Result>[]): Group =>
    options.prepare(group.map(({ delivery }) => delivery))

  const meanwhile = (): void => {
    asked = true
    prepareNext()
  }

  const prepareNext = (): void => {
    if (!asked || next || queuedWeight < options.maximumGroup) return
    const group = takeGroup()
    try {
      next = { group, prepared: prepare(group) }
    } catch {
      // Back where it was: it fails again in its turn, and is settled one by one.
      queue = [...group, ...queue]
    }
  }

  const settleEach = async (group: readonly Waiting<Delivery, Result>[], prepared?: Group): Promise<void> => {
    try {
      const results = await options.settle(prepared ?? prepare(group), meanwhile)
      group.forEach(({ resolve }, index) => resolve(results[index] as Result))
    } catch (error) {
      // One delivery that cannot be settled must not take its neighbours with it.
      if (group.length > 1 && !options.isEnvironmental(error)) {
        for (const waiting of group) await settleEach([waiting])
        return
      }
      for (const { reject } of group) reject(error)
    }
  }

  const run = async (): Promise<void> => {
    // Deliveries that arrive in the same turn of the event loop belong together.
    await new Promise<void>((resolve) => setImmediate(resolve))
    while (next || queue.length > 0) {
      const { group, prepared } = next ?? { group: takeGroup(), prepared: undefined }
      next = undefined
      for (const { weight } of group) queuedWeight -= weight
      await settleEach(group, prepared)
      asked = false
    }
    running = undefined
  }

  return {
    submit: (delivery) => {
      const weight = options.weigh(delivery)
      if (queuedWeight > 0 && queuedWeight + weight > options.maximumQueue) {
        return Promise.reject(
          new Problem('overloaded', 'Too many purchases wait to be stored.', { retryAfterSeconds: 1 }),
        )
      }
      const { promise, resolve, reject } = Promise.withResolvers<Result>()
      queue.push({ delivery, weight, resolve, reject })
      queuedWeight += weight
      running ??= run()
      prepareNext()
      return promise
    },
    waiting: () => queuedWeight,
    idle: async () => {
      for (let current = running; current; current = running) await current
    },
  }
}
