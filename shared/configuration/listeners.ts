/** Those who live by a document, and how a change reaches all of them or none. */
import type { ChangeListener, ChangeSteps } from './types.ts'

export type Listeners<T> = {
  add(listener: ChangeListener<T> | ChangeSteps<T>): () => void
  /** Rejects with the reason of the first that refuses. */
  prepare(next: T, previous: T, timeoutMs: number): Promise<void>
  /**
   * Throws the reason of the first that failed, after everyone who was called has the old value again. `failedToReturn` hears of
   * those that could not take it.
   */
  apply(next: T, previous: T, failedToReturn: (error: unknown) => void): void
}

export function createListeners<T>(): Listeners<T> {
  type Entry = { prepare: (next: T, previous: T) => Promise<void>; apply: (next: T, previous: T) => void }
  const all = new Set<Entry>()
  return {
    add(listener) {
      const steps: ChangeSteps<T> = typeof listener === 'function' ? { apply: listener } : listener
      // An object of its own, so that the same function may listen twice and each end by itself.
      const entry: Entry = {
        prepare: async (next, previous) => {
          await steps.prepare?.(next, previous)
        },
        apply: (next, previous) => steps.apply(next, previous),
      }
      all.add(entry)
      return () => void all.delete(entry)
    },
    async prepare(next, previous, timeoutMs) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`no listener may take longer than ${timeoutMs} ms`)), timeoutMs)
      })
      try {
        await Promise.race([late, Promise.all([...all].map((listener) => listener.prepare(next, previous)))])
      } finally {
        clearTimeout(timer)
      }
    },
    apply(next, previous, failedToReturn) {
      const called: Entry[] = []
      try {
        for (const listener of all) {
          called.unshift(listener)
          listener.apply(next, previous)
        }
      } catch (error) {
        for (const listener of called) {
          try {
            listener.apply(previous, next)
          } catch (failure) {
            failedToReturn(failure)
          }
        }
        throw error
      }
    },
  }
}
