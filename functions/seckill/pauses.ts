/** Pauses that may have to end before their time, all at once: when a process drains or stops. */

export type Pauses = {
  /** Resolves after this time, or earlier when `endAll` is called; who must know which looks at what made it end. */
  sleep: (durationMs: number) => Promise<void>
  /** Ends those under way. A pause that begins later takes its time. */
  endAll: () => void
  /** Pauses under way. */
  size: () => number
}

export function createPauses(): Pauses {
  // Not a race with one promise that ends all: that one would keep something of every pause there ever was.
  const sleepers = new Set<() => void>()
  return {
    async sleep(durationMs) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, durationMs)
      sleepers.add(resolve)
      await promise
      sleepers.delete(resolve)
      clearTimeout(timer)
    },
    endAll() {
      for (const wake of sleepers) wake()
    },
    size: () => sleepers.size,
  }
}
