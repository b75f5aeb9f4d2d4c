/** One consumer group: fetches in batches, delivers by lanes, commits watermarks. Serves a Trigger or a KafkaSource. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin, Consumer, EachBatchPayload, Kafka } from 'kafkajs'
import type { EventMessage } from '@stampede/shared/events/cloud-event.ts'
import { createConsumer, rebalanceTimeoutMs } from '@stampede/shared/kafka/connect.ts'
import { assignerThatWaits } from './before-join.ts'
import { Commits, type CommittedPartition } from './commits.ts'
import type { Deliver } from './deliver.ts'
import { FirstOffsets, type FirstOffsetsOptions } from './first-offsets.ts'
import { Gather } from './gather.ts'
import { Lanes } from './lanes.ts'
import type { EngineLog } from './log.ts'
import type { ConsumerMetrics } from './metrics.ts'
import type { ConsumerPlan } from './plan.ts'
import { readRecord } from './read-record.ts'

export type EventConsumerOptions = Omit<FirstOffsetsOptions, 'plan'> & {
  kafka: Kafka
  plan: ConsumerPlan
  deliver: Deliver
  log: EngineLog
  metrics: ConsumerMetrics
  /** Deliveries at once for each partition. */
  concurrency: number
  /** Records of a partition held in memory before fetching pauses. */
  maximumHeld: number
  commitIntervalMs: number
  sessionTimeoutMs: number
}

type Partition = CommittedPartition & { lanes: Lanes<EventMessage>; gather: Gather }

const restartPauseMs = 1_000
const fixAgainMs = 200
/** Each consumer asks Kafka about all of its partitions so often while nothing happens, and so does each other one in each engine. */
export const fetchWaitMs = 1_000
/**
 * Time for deliveries that run when the group forms anew. Less than the group waits for its members; while it passes, commits tell
 * the group that this member lives. What takes longer may be delivered by the next owner of the partition at the same time.
 */
const releaseTimeoutMs = rebalanceTimeoutMs - 2_500
const releaseCommitMs = 1_000

export class EventConsumer {
  readonly #options: EventConsumerOptions
  readonly #joined = Promise.withResolvers<void>()
  readonly #running = Promise.withResolvers<void>()
  #consumer: Consumer | undefined
  #partitions = new Map<string, Partition>()
  /** Ends requests; only when stopping takes too long. */
  readonly #abort = new AbortController()
  /** Ends the waits before repeats of the current assignment. */
  #pauses = new AbortController()
  /** Deliveries of an earlier assignment that have not ended: a new one waits for them, else two would run for one key. */
  #leftovers: Promise<unknown> = Promise.resolve()
  readonly #commits: Commits
  #commitTimer: NodeJS.Timeout | undefined
  /** An event to deliver came since the last commit. */
  #took = false
  /** The last commit was left out. */
  #waited = false
  #stopping = false
  #isJoined = false
  readonly #firstOffsets: FirstOffsets

  constructor(options: EventConsumerOptions) {
    this.#options = options
    this.#firstOffsets = new FirstOffsets(options)
    this.#commits = new Commits({
      name: options.plan.name,
      log: options.log,
      partitions: () => (this.#isJoined ? this.#partitions.values() : []),
      commitOffsets: async (offsets) => this.#consumer?.commitOffsets(offsets),
    })
  }

  get name(): string {
    return this.#options.plan.name
  }

  get isJoined(): boolean {
    return this.#isJoined
  }

  /** Resolves when the group has given this consumer its partitions and their first offsets are fixed. */
  get joined(): Promise<void> {
    return this.#joined.promise
  }

  /** The offset up to which a partition is settled, where it is known. */
  settled(topic: string, partition: number): bigint | undefined {
    return this.#partitions.get(`${topic}/${partition}`)?.lanes.watermark
  }

  get partitions(): { topic: string; partition: number; inFlight: number }[] {
    return [...this.#partitions.values()].map(({ topic, partition, lanes }) => ({
      topic,
      partition,
      inFlight: lanes.running,
    }))
  }

  /** See `FirstOffsets.find`. */
  firstOffset(admin: Admin, topic: string, partition: number): Promise<bigint> {
    return this.#firstOffsets.find(admin, topic, partition)
  }

  async start(): Promise<void> {
    const { kafka, plan, log, sessionTimeoutMs, commitIntervalMs } = this.#options
    const consumer = createConsumer(kafka, {
      groupId: plan.groupId,
      sessionTimeoutMs,
      fetchWaitMs,
      partitionAssigner: assignerThatWaits(() => this.#release()),
    })
    this.#consumer = consumer
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => this.#assigned(consumer, payload.memberAssignment))
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      this.#isJoined = false
      log.error({ consumer: plan.name, error: payload.error.message, restart: payload.restart }, 'consumer failed')
      // kafkajs goes on by itself only after errors that it takes for passing ones.
      if (!payload.restart) this.#restartLater(consumer)
    })
    await consumer.connect()
    if (this.#stopping) return consumer.disconnect()
    await consumer.subscribe({ topics: plan.topics, fromBeginning: plan.startAt === 'earliest' })
    await consumer.run({
      autoCommit: false,
      // A partition never blocks in the handler, so this is only a ceiling.
      partitionsConsumedConcurrently: 64,
      eachBatch: (payload) => this.#onBatch(consumer, payload),
    })
    this.#running.resolve()
    // Stopped while it began: the group must not keep a member that takes nothing.
    if (this.#stopping) await consumer.disconnect()
    else this.#commitTimer ??= setInterval(() => this.#commitOrWait(), commitIntervalMs)
  }

  /** Starts, and goes on trying when it fails; `joined` tells when it worked. */
  startInBackground(): void {
    void this.#startOrRepeat()
  }

  /** Lets deliveries that run come to an end (at most `graceMs`), commits, and leaves the group. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    clearInterval(this.#commitTimer)
    this.#pauseFetching()
    const closing = Promise.all([...this.#partitions.values()].map(({ lanes }) => lanes.close()))
    const timer = setTimeout(() => this.#abort.abort(), graceMs)
    // A pause before a repeat is not worth waiting for: the event is delivered again after the next start.
    this.#pauses.abort()
    await closing
    clearTimeout(timer)
    await this.#firstOffsets.asked
    await this.#commits.commit()
    await this.#consumer?.disconnect().catch((error: unknown) => {
      this.#options.log.warn(
        { consumer: this.name, error: (error as Error).message },
        'consumer could not leave its group',
      )
    })
  }

  /** What was only passed over is committed every other time: reading it again costs little, and most groups of a flow want none of it. */
  #commitOrWait(): void {
    this.#waited = !this.#waited && !this.#took && [...this.#partitions.values()].every(({ lanes }) => lanes.size === 0)
    if (this.#waited) return
    this.#took = false
    void this.#commits.commit()
  }

  /** Before joining again: starts nothing more, waits for what runs, commits. Nothing to do when there are no partitions yet. */
  async #release(): Promise<void> {
    const closing = Promise.all([...this.#partitions.values()].map(({ lanes }) => lanes.close())).then(() => 'closed')
    // A repeat that waits is not worth waiting for: the next owner delivers the event again.
    this.#pauses.abort()
    const deadlineMs = performance.now() + releaseTimeoutMs
    const late = async () => sleep(Math.max(0, Math.min(releaseCommitMs, deadlineMs - performance.now())), 'late')
    while (performance.now() < deadlineMs && (await Promise.race([closing, late()])) === 'late') {
      await this.#commits.signOfLife()
    }
    await this.#commits.commit()
  }

  /** Else what is not taken any more would be fetched again and again while deliveries come to their end. */
  #pauseFetching(): void {
    try {
      this.#consumer?.pause(
        [...this.#partitions.values()].map(({ topic, partition }) => ({ topic, partitions: [partition] })),
      )
    } catch {
      // It does not run yet.
    }
  }

  #assigned(consumer: Consumer, assignment: Record<string, number[]>): void {
    const { plan, log } = this.#options
    const old = [...this.#partitions.values()]
    this.#pauses.abort()
    this.#pauses = new AbortController()
    this.#leftovers = Promise.all([this.#leftovers, ...old.map(({ lanes }) => lanes.close())])
    this.#partitions = new Map()
    this.#firstOffsets.forget()
    for (const [topic, partitions] of Object.entries(assignment)) {
      if (!this.#stopping) consumer.resume([{ topic, partitions }])
      for (const partition of partitions) this.#partitions.set(`${topic}/${partition}`, this.#open(topic, partition))
    }
    log.info({ consumer: plan.name, partitions: this.#partitions.size }, 'consumer joined its group')
    void this.#fixStart(consumer)
  }

  #open(topic: string, partition: number): Partition {
    const { plan, concurrency, deliver, log } = this.#options
    const { signal: pauses } = this.#pauses
    const requests = this.#abort.signal
    const before = this.#leftovers
    const run = async (message: EventMessage) => {
      await before
      try {
        return await deliver(message, { pauses, requests })
      } catch (error) {
        // Nothing may throw in there. If it does, the offset stays uncommitted and the event comes again after a restart.
        log.error({ consumer: plan.name, error: (error as Error).stack }, 'delivery failed unexpectedly')
        return false
      }
    }
    const lanes = new Lanes({ ordered: plan.ordered, concurrency, run })
    return { topic, partition, committed: undefined, lanes, gather: new Gather() }
  }

  async #fixStart(consumer: Consumer): Promise<void> {
    const partitions = this.#partitions
    const isCurrent = () => this.#partitions === partitions && !this.#stopping
    if (!isCurrent()) return
    const assignment = { has: (place: string) => partitions.has(place), isCurrent, running: this.#running.promise }
    try {
      if (!(await this.#firstOffsets.fix(consumer, assignment))) return
      this.#isJoined = true
      this.#joined.resolve()
    } catch (error) {
      this.#options.log.warn(
        { consumer: this.name, error: (error as Error).message },
        'first offsets could not be fixed, will repeat',
      )
      setTimeout(() => isCurrent() && void this.#fixStart(consumer), fixAgainMs)
    }
  }

  async #onBatch(consumer: Consumer, payload: EachBatchPayload): Promise<void> {
    const { batch } = payload
    const { topic, partition } = batch
    const state = this.#partitions.get(`${topic}/${partition}`)
    if (!state || this.#stopping) return
    const { plan, maximumHeld, metrics, log } = this.#options
    let filtered = 0
    for (const record of batch.messages) {
      const offset = BigInt(record.offset)
      const message = readRecord(plan, log, topic, partition, record)
      if (message && plan.filter(message.attributes)) {
        state.lanes.push(offset, record.key?.toString() ?? '', message)
        this.#took = true
      } else {
        filtered += 1
        state.lanes.skip(offset)
      }
    }
    if (filtered > 0) metrics.filtered.inc(filtered)
    if (state.lanes.size > maximumHeld) {
      consumer.pause([{ topic, partitions: [partition] }])
      state.lanes.onceBelow(Math.floor(maximumHeld / 2), () => consumer.resume([{ topic, partitions: [partition] }]))
    }
    // The records are in the lanes: if the heartbeat fails, kafkajs must not fetch them once more into the same lanes.
    payload.resolveOffset(batch.lastOffset())
    await payload.heartbeat()
    // Every consumer group fetches every event of the topic: under load they come in batches, not one by one. The first event after
    // a pause in the flow is not held up.
    const { length } = batch.messages
    await sleep(state.gather.pauseMs(length, length - filtered, performance.now()))
  }

  #restartLater(broken: Consumer): void {
    setTimeout(() => void this.#restart(broken), restartPauseMs)
  }

  async #restart(broken: Consumer): Promise<void> {
    await broken.disconnect().catch(() => {})
    await this.#startOrRepeat()
  }

  async #startOrRepeat(): Promise<void> {
    if (this.#stopping) return
    try {
      await this.start()
    } catch (error) {
      this.#options.log.error(
        { consumer: this.name, error: (error as Error).message },
        'consumer could not be started, will repeat',
      )
      if (this.#consumer) this.#restartLater(this.#consumer)
    }
  }
}
