/**
 * Units of a tenant's daily quota in this process. They are leased from Redis ahead of need, so a press takes one from memory; what
 * it did not use goes back. What all processes hold is never more than the quota, so what they use is not either. Pure: no I/O.
 *
 * A process that dies takes with it what it leased and did not use, at most `maximumChunk` units of that day.
 */

/** Units that are free after a call, at least and at most. */
export const minimumChunk = 16
export const maximumChunk = 10_000

/** What one call says to Redis (`lease-quota.lua`). */
export type LeaseCall = { sequence: number; held: number; wanted: number }

export class OrderLease {
  readonly tenantId: string
  /** UTC day, `2026-11-21`. */
  readonly day: string
  /** Taken by presses that were accepted, may have been, or wait for their decision. */
  used = 0
  free = 0
  readonly #nextSequence: () => number
  #inFlight = 0
  /** Taken since the last call: what the next second may need. */
  #recent = 0
  #idleCalls = 0
  /** Nothing was to be had at the last call. */
  exhausted = false
  /** Redis restarted and does not lease yet. */
  recovering = false

  /** `nextSequence` never gives a number twice, or Redis takes a call for one that comes late. */
  constructor(tenantId: string, day: string, nextSequence: () => number) {
    this.tenantId = tenantId
    this.day = day
    this.#nextSequence = nextSequence
  }

  take(): boolean {
    if (this.free < 1) return false
    this.free -= 1
    this.used += 1
    this.#recent += 1
    return true
  }

  /** The press was refused after all. */
  giveBack(): void {
    this.used -= 1
    this.free += 1
  }

  /** Enough for what came since the last call, twice over. */
  get #target(): number {
    return Math.min(maximumChunk, Math.max(minimumChunk, this.#recent * 2))
  }

  /** True when the next presses would find nothing: then a call makes sense before its time. */
  isLow(): boolean {
    return this.#inFlight === 0 && !this.exhausted && this.free < this.#target / 2
  }

  get calling(): boolean {
    return this.#inFlight !== 0
  }

  /**
   * The next call; undefined while one is under way. Units that nobody needed for two calls, or that are over a lowered `limit`, are given up
   * first: they cannot be taken any more, whatever becomes of the call.
   */
  begin(totalOverLimit: boolean): LeaseCall | undefined {
    if (this.#inFlight !== 0) return undefined
    this.#idleCalls = this.#recent === 0 ? this.#idleCalls + 1 : 0
    if (totalOverLimit || this.#idleCalls >= 2) this.free = 0
    else this.free = Math.min(this.free, maximumChunk)
    const wanted = this.#idleCalls >= 2 || totalOverLimit ? 0 : Math.max(0, this.#target - this.free)
    this.#recent = 0
    this.#inFlight = this.#nextSequence()
    return { sequence: this.#inFlight, held: this.used + this.free, wanted }
  }

  /** Somebody waits: units are needed now, whatever was before. */
  wake(): void {
    this.#idleCalls = 0
    this.#recent = Math.max(this.#recent, 1)
  }

  /** The answer of Redis; one to a call that was given up changes nothing. */
  succeeded({ sequence, wanted }: LeaseCall, leased: number): void {
    if (sequence !== this.#inFlight) return
    this.#inFlight = 0
    this.recovering = leased === -2
    this.exhausted = wanted > 0 && leased === 0
    this.free += Math.max(0, leased)
  }

  /** What it was given is not known: the next call says what is held without it, and Redis takes the rest back. */
  failed({ sequence }: LeaseCall): void {
    if (sequence === this.#inFlight) this.#inFlight = 0
  }

  /** For the end of the process: everything free goes back. */
  giveUp(): LeaseCall {
    this.free = 0
    this.#inFlight = this.#nextSequence()
    return { sequence: this.#inFlight, held: this.used, wanted: 0 }
  }
}

export const dayOf = (nowMs: number): string => new Date(nowMs).toISOString().slice(0, 10)
export const leaseKey = (tenantId: string, day: string): string => `quota:{${tenantId}}:orders:${day}`
