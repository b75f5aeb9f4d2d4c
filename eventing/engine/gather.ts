/**
 * How long records gather between two fetches of a flow. Each Trigger is a group of its own and fetches every event of the topic, in
 * every engine: a fetch costs the same with one record as with fifty. While few come at a time, the pause grows; after a pause in the
 * flow it begins anew, so that single events wait for nothing.
 */
const leastMs = 20
const mostMs = 100
const fewRecords = 8
/** Longer without a record: the flow has ended. */
const flowEndsAfterMs = 3 * mostMs

export class Gather {
  #pauseMs = leastMs
  #lastMs = -Infinity

  /** @param nowMs by a clock that never goes back */
  pauseMs(records: number, nowMs: number): number {
    const flows = nowMs - this.#lastMs < flowEndsAfterMs
    this.#pauseMs = flows && records < fewRecords ? Math.min(mostMs, this.#pauseMs * 2) : leastMs
    this.#lastMs = nowMs
    return this.#pauseMs
  }
}
