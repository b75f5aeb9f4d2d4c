/**
 * Brings together what waits for the same thing: while one group of a key is stored, the next one gathers. Under load many items
 * share a transaction; a single one waits for nothing.
 */
import { Problem } from '@stampede/shared/http/problem.ts'

export type GatherOptions<Item> = {
  /** Stores all or none. What it throws, every item of the group gets. */
  store: (key: string, items: readonly Item[]) => Promise<void>
  /** Items of one group, at most; default 100. */
  maximumItems?: number
  /** Items of all keys that wait, at most; more are refused with Problem `overloaded`. Default 2,000. */
  maximumWaiting?: number
}

type Waiting<Item> = { item: Item; resolve: () => void; reject: (error: unknown) => void }

/** The returned function resolves when the item is stored. */
export function gather<Item>(options: GatherOptions<Item>): (key: string, item: Item) => Promise<void> {
  const { store, maximumItems = 100, maximumWaiting = 2_000 } = options
  /** An entry for each key that is being worked on. */
  const queues = new Map<string, Waiting<Item>[]>()
  let waiting = 0

  const work = async (key: string, queue: Waiting<Item>[]): Promise<void> => {
    while (queue.length > 0) {
      const group = queue.splice(0, maximumItems)
      waiting -= group.length
      try {
        await store(
          key,
          group.map(({ item }) => item),
        )
        for (const { resolve } of group) resolve()
      } catch (error) {
        for (const { reject } of group) reject(error)
      }
    }
    queues.delete(key)
  }

  return (key, item) => {
    if (waiting >= maximumWaiting) return Promise.reject(new Problem('overloaded', 'Too much waits to be recorded.'))
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    waiting += 1
    const queue = queues.get(key)
    if (queue) queue.push({ item, resolve, reject })
    else {
      const begun = [{ item, resolve, reject }]
      queues.set(key, begun)
      void work(key, begun)
    }
    return promise
  }
}
