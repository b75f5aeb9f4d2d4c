/**
 * Purchases a second of a tenant, in this process: a token bucket whose rate is the quota divided by the processes that take part.
 *
 * The sum over all processes in any time of T seconds is at most quota × (T + burstSeconds) + one for each process, plus, while a process
 * that joined is not known to the others (one heartbeat), its share of that time and its burst: at most quota / 2 × (heartbeat + burstSeconds).
 */

/** Tokens that a bucket holds, in seconds of its rate: presses come in waves. */
export const burstSeconds = 0.5

export class RateShare {
  #tokens = 0
  #atMs: number
  #rate = 0

  constructor(nowMs: number, quota: number, processes: number) {
    this.#atMs = nowMs
    this.#rate = quota / processes
    this.#tokens = this.#capacity
  }

  /** At least one, or a small quota among many processes would never let anybody through. */
  get #capacity(): number {
    return Math.max(1, this.#rate * burstSeconds)
  }

  take(nowMs: number, quota: number, processes: number): boolean {
    // The time until now went by at the old rate.
    if (nowMs > this.#atMs) {
      this.#tokens = Math.min(this.#capacity, this.#tokens + ((nowMs - this.#atMs) * this.#rate) / 1_000)
      this.#atMs = nowMs
    }
    this.#rate = quota / processes
    if (this.#tokens > this.#capacity) this.#tokens = this.#capacity
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}
