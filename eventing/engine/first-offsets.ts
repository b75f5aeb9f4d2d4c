/** Where a consumer group begins: committed before anything is read, so that a crash before its first commit skips nothing. */
import type { Admin, Consumer } from 'kafkajs'
import type { ConsumerPlan } from './plan.ts'

export type StartOffset = { topic: string; partition: number; offset: string }

export type FirstOffsetsOptions = {
  plan: Pick<ConsumerPlan, 'groupId'>
  /** Where partitions without a committed offset begin, so that nothing that is produced from now on is skipped. */
  startOffsets: readonly StartOffset[]
  /** What the group has committed by now: someone else may have fixed the first offsets in the meantime. */
  fetchCommitted: () => Promise<readonly StartOffset[]>
}

/** One assignment of partitions to a consumer. */
export type Assignment = {
  has(topicAndPartition: string): boolean
  /** False: there is another one by now, or the consumer stops. */
  isCurrent: () => boolean
  /** Before this kafkajs drops commits without a word. */
  running: Promise<void>
}

export class FirstOffsets {
  readonly #options: FirstOffsetsOptions
  /** Those that are committed, by whomever. */
  readonly #fixed = new Set<StartOffset>()
  #known = new Map<string, bigint>()
  #asked: Promise<unknown> = Promise.resolve()

  constructor(options: FirstOffsetsOptions) {
    this.#options = options
  }

  /** A question to Kafka that is open: its client must not be closed before, or it would connect anew. Never rejects. */
  get asked(): Promise<unknown> {
    return this.#asked
  }

  /** There is a new assignment: others may have come further meanwhile. */
  forget(): void {
    this.#known = new Map()
  }

  /** Where the group began or had come to when this consumer got the partition. */
  async find(admin: Admin, topic: string, partition: number): Promise<bigint> {
    const key = `${topic}/${partition}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const { plan, startOffsets } = this.#options
    const found = await admin.fetchOffsets({ groupId: plan.groupId, topics: [topic] })
    for (const { partition: number, offset } of found[0]?.partitions ?? []) {
      const start = startOffsets.find((one) => one.topic === topic && one.partition === number)
      // -1: nothing is committed yet.
      this.#known.set(`${topic}/${number}`, BigInt(offset === '-1' ? (start?.offset ?? 0) : offset))
    }
    return this.#known.get(key) ?? 0n
  }

  /** Commits them as far as nobody else has. False: the assignment is over, and the next one does it for itself. Rejects as Kafka does. */
  async fix(consumer: Consumer, assignment: Assignment): Promise<boolean> {
    const mine = this.#options.startOffsets.filter(
      (start) => !this.#fixed.has(start) && assignment.has(`${start.topic}/${start.partition}`),
    )
    if (mine.length === 0) return true
    const places = mine.map(({ topic, partition }) => ({ topic, partitions: [partition] }))
    // Nothing may be read from a place that is not sure yet.
    consumer.pause(places)
    // Another engine may have begun this group a moment ago, with the offsets of an earlier moment: those count.
    const asked = this.#options.fetchCommitted()
    this.#asked = asked.catch(() => {})
    const committed = await asked
    await assignment.running
    if (!assignment.isCurrent()) return false
    const missing = mine.filter(({ topic, partition }) => {
      const found = committed.find((one) => one.topic === topic && one.partition === partition)
      return found === undefined || found.offset === '-1'
    })
    for (const offset of missing) consumer.seek(offset)
    if (missing.length > 0) await consumer.commitOffsets([...missing])
    for (const offset of mine) this.#fixed.add(offset)
    if (!assignment.isCurrent()) return false
    consumer.resume(places)
    return true
  }
}
