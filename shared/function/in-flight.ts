/** Counts work in flight against a limit. */
export type InFlight = {
  readonly count: number
  /** False when the limit is reached; otherwise `leave` must follow once. */
  enter(): boolean
  leave(): void
}

export function createInFlight(limit: number): InFlight {
  let count = 0
  return {
    get count() {
      return count
    },
    enter() {
      if (count >= limit) return false
      count++
      return true
    },
    leave() {
      count--
    },
  }
}
