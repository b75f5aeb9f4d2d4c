/** Retries are a share of the requests: when everything fails, they must not make it twice as much. */
export type RetryBudget = {
  /** A request came. */
  earned(): void
  /** False: there have been enough retries. */
  spend(): boolean
}

export function createRetryBudget({ share, burst }: { share: number; burst: number }): RetryBudget {
  let balance = burst
  return {
    earned() {
      balance = Math.min(burst, balance + share)
    },
    spend() {
      // Ten tenths are not quite one.
      if (balance < 1 - 1e-9) return false
      balance -= 1
      return true
    },
  }
}
