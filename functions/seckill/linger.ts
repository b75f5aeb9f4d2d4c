/**
 * How long a bucket's relay lets purchases gather between two steps. A batch of three costs everything behind the relay (Kafka, one
 * delivery, one transaction, the events that follow from it) as much as one of fifty. So while few come at a time the pause
 * grows, and shrinks in a rush; after a pause in the flow it begins anew, so that a single purchase waits for nothing.
 */
export type Linger = {
  /** The pause after a step that moved so many purchases, in milliseconds. */
  after: (purchases: number) => number
  /** Nothing was left to move. */
  flowEnded: () => void
}

/** A step that moved fewer lets the next gather for longer. */
const fewPurchases = 50

/** Both are read at each step: they may change. A `lingerMs` of 0 never pauses; a `lingerMaxMs` below `lingerMs` is as good as that. */
export function createLinger(limits: { readonly lingerMs: number; readonly lingerMaxMs: number }): Linger {
  let currentMs = limits.lingerMs
  return {
    after(purchases) {
      const wantedMs = purchases < fewPurchases ? Math.min(limits.lingerMaxMs, currentMs * 2) : currentMs / 2
      currentMs = Math.max(limits.lingerMs, wantedMs)
      return currentMs
    },
    flowEnded() {
      currentMs = limits.lingerMs
    },
  }
}
