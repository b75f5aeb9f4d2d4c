/**
 * How long records gather between two fetches of a flow. Each Trigger is a group of its own and fetches every event of the topic, in
 * every engine: a fetch costs the same with one record as with fifty. While few come at a time, the pause grows; most of all for who
 * wants none of them. After a pause in the flow it begins anew, so that single events wait for nothing.
 */
const leastMs = 20
const mostMs = 100
/** In a sale nearly everything in the topic is for one Trigger, and all others only pass it over. */
const mostUnwantedMs = 500
const fewRecords = 8
/** Longer without a record: the flow has ended. */
const flowEndsAfterMs = 3 * mostUnwantedMs

export class Gather {
  #pauseMs = leastMs
  #lastMs = -Infinity

  /**
   * @param wanted how many of the records were not passed over
   * @param nowMs by a clock that never goes back
   */
  pauseMs(records: number, wanted: number, nowMs: number): number {
    const flows = nowMs - this.#lastMs < flowEndsAfterMs
    const grows = flows && (wanted === 0 || records < fewRecords)
    this.#pauseMs = grows ? Math.min(wanted === 0 ? mostUnwantedMs : mostMs, this.#pauseMs * 2) : leastMs
    this.#lastMs = nowMs
    return this.#pauseMs
  }
}
