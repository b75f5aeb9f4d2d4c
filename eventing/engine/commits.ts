/** Commits of one consumer: one at a time, what has changed since the last, or a sign of life while deliveries come to their end. */
import type { EventMessage } from '@stampede/shared/events/cloud-event.ts'
import type { Lanes } from './lanes.ts'
import type { EngineLog } from './log.ts'

export type CommittedPartition = {
  topic: string
  partition: number
  lanes: Pick<Lanes<EventMessage>, 'watermark' | 'position'>
  committed: bigint | undefined
}
type Offset = { topic: string; partition: number; offset: string }

export type CommitsOptions = {
  name: string
  log: EngineLog
  /** Those of now; none while the consumer is not in its group. */
  partitions: () => Iterable<CommittedPartition>
  commitOffsets: (offsets: Offset[]) => Promise<void>
}

export class Commits {
  readonly #options: CommitsOptions
  /** A later one must not be overtaken by an earlier one. */
  #last: Promise<void> = Promise.resolve()

  constructor(options: CommitsOptions) {
    this.#options = options
  }

  /** What is settled. Never rejects: the next commit says the same or more. */
  commit(): Promise<void> {
    return this.#next(({ lanes, committed }) => (lanes.watermark === committed ? undefined : lanes.watermark))
  }

  /** Where deliveries are, said again: Kafka takes the member for alive. */
  signOfLife(): Promise<void> {
    return this.#next(({ lanes }) => lanes.position)
  }

  #next(offsetOf: (partition: CommittedPartition) => bigint | undefined): Promise<void> {
    this.#last = this.#last.then(() => this.#commit(offsetOf))
    return this.#last
  }

  async #commit(offsetOf: (partition: CommittedPartition) => bigint | undefined): Promise<void> {
    const { name, log, partitions, commitOffsets } = this.#options
    const changed = [...partitions()].flatMap((state) => {
      const offset = offsetOf(state)
      return offset === undefined ? [] : [{ state, offset }]
    })
    if (changed.length === 0) return
    try {
      await commitOffsets(
        changed.map(({ state: { topic, partition }, offset }) => ({ topic, partition, offset: offset.toString() })),
      )
      for (const { state, offset } of changed) state.committed = offset
    } catch (error) {
      // A rebalance took the partition away, or Kafka is gone for the moment.
      log.debug({ consumer: name, error: (error as Error).message }, 'offsets not committed')
    }
  }
}
