/**
 * Many engines, one that sends the pings: whoever has the only partition of a control topic. Up to when they were sent is
 * kept with the group's committed offset, so that the next leader neither repeats nor leaves out one. A leader that has lost its
 * group without knowing it stops by itself when no heartbeat was answered for the time of a session.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin, Consumer, Kafka } from 'kafkajs'
import { createConsumer } from '@stampede/shared/kafka/connect.ts'
import { assignerThatWaits } from './before-join.ts'
import { fetchWaitMs } from './consumer.ts'
import type { Deliver } from './deliver.ts'
import type { EngineLog } from './log.ts'
import { dueSince, pingEvent, scheduleOf, type Due } from './pings.ts'
import type { PingPlan } from './plan.ts'

export type PingLeaderOptions = {
  kafka: Kafka
  admin: Admin
  /** Name of the group and of its control topic, which has one partition. */
  group: string
  pings: readonly { plan: PingPlan; deliver: Deliver }[]
  log: EngineLog
  sessionTimeoutMs: number
  now?: () => number
  pollMs?: number
}

type Ping = { plan: PingPlan; deliver: Deliver; offsetMs: number; isDue: (minute: Date) => boolean }

const restartPauseMs = 1_000
/** How long a leader holds up the group for pings that it is sending. */
const resignTimeoutMs = 5_000

export class PingLeader {
  readonly #options: PingLeaderOptions
  readonly #pings: Ping[]
  readonly #now: () => number
  #consumer: Consumer | undefined
  #leads = false
  #heartbeatMs = 0
  /** What was due until then was sent; undefined before it is read from Kafka. */
  #lastMs: number | undefined
  #round: Promise<void> = Promise.resolve()
  /** A round was cut off: nothing after it may be recorded. */
  #isCut = false
  #timer: NodeJS.Timeout | undefined
  /** A question to Kafka that is open: its client must not be closed before, or it would connect anew. */
  #asked: Promise<unknown> = Promise.resolve()
  #stopping = false
  /** Ends waits before repeats. */
  readonly #pauses = new AbortController()
  /** Ends requests that run. */
  readonly #requests = new AbortController()

  constructor(options: PingLeaderOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#pings = options.pings.map(({ plan, deliver }) => ({
      plan,
      deliver,
      offsetMs: plan.offsetMs,
      isDue: scheduleOf(plan),
    }))
  }

  /** Does this engine send the pings at the moment? */
  get leads(): boolean {
    return this.#leads && performance.now() - this.#heartbeatMs < this.#options.sessionTimeoutMs
  }

  /** Goes on trying in the background when Kafka is not there. */
  start(): void {
    void this.#join()
    this.#timer = setInterval(() => this.#check(), this.#options.pollMs ?? 500)
  }

  /** Lets pings that are being sent come to an end (at most `graceMs`) and leaves the group: another engine goes on at once. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    this.#leads = false
    clearInterval(this.#timer)
    this.#pauses.abort()
    const timer = setTimeout(() => this.#requests.abort(), graceMs)
    await this.#round
    clearTimeout(timer)
    await this.#asked
    await this.#consumer?.disconnect().catch(() => {})
  }

  async #join(): Promise<void> {
    const { kafka, group, log, sessionTimeoutMs } = this.#options
    if (this.#stopping) return
    const partitionAssigner = assignerThatWaits(() => this.#resign())
    const consumer = createConsumer(kafka, { groupId: group, sessionTimeoutMs, fetchWaitMs, partitionAssigner })
    this.#consumer = consumer
    const running = Promise.withResolvers<void>()
    const again = () => {
      this.#leads = false
      setTimeout(
        () =>
          void consumer.disconnect().then(
            () => this.#join(),
            () => this.#join(),
          ),
        restartPauseMs,
      )
    }
    consumer.on(consumer.events.HEARTBEAT, () => (this.#heartbeatMs = performance.now()))
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      const elected = (payload.memberAssignment[group] ?? []).length > 0
      if (elected) void this.#elect(consumer, running.promise)
      log.info({ group, leads: elected }, 'pings: the group has formed')
    })
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      log.error({ group, error: payload.error.message }, 'pings: the group failed')
      if (payload.restart) this.#leads = false
      else again()
    })
    try {
      await consumer.connect()
      await consumer.subscribe({ topics: [group] })
      // Nothing is ever written there.
      await consumer.run({ autoCommit: false, eachBatch: async () => {} })
      running.resolve()
      if (this.#stopping) await consumer.disconnect()
    } catch (error) {
      log.error({ group, error: (error as Error).message }, 'pings: cannot join, will repeat')
      again()
    }
  }

  async #resign(): Promise<void> {
    this.#leads = false
    await Promise.race([this.#round, sleep(resignTimeoutMs)])
  }

  async #elect(consumer: Consumer, running: Promise<void>): Promise<void> {
    const { admin, group, log } = this.#options
    if (this.#stopping) return
    try {
      const asked = admin.fetchOffsets({ groupId: group, topics: [group] })
      this.#asked = asked.catch(() => {})
      const [found] = await asked
      const recorded = Date.parse(found?.partitions[0]?.metadata ?? '')
      const current = this.#now()
      // Before `run` has returned, kafkajs drops commits without a word.
      await running
      if (Number.isNaN(recorded)) await this.#record(consumer, current)
      this.#lastMs = Number.isNaN(recorded) ? current : recorded
      this.#heartbeatMs = performance.now()
      if (!this.#stopping && this.#consumer === consumer) this.#leads = true
    } catch (error) {
      log.warn({ group, error: (error as Error).message }, 'pings: cannot read what was sent, will repeat')
      setTimeout(
        () => this.#consumer === consumer && !this.#stopping && void this.#elect(consumer, running),
        restartPauseMs,
      )
    }
  }

  #check(): void {
    if (!this.leads) return
    const found = dueSince(this.#pings, this.#lastMs, this.#now())
    if (!found) return
    this.#lastMs = found.untilMs
    // Rounds may overlap, a function that does not answer holds up nobody else; what is recorded never goes back.
    const before = this.#round
    const sending = this.#send(found.due)
    this.#round = before.then(async () => this.#settle(await sending, found.untilMs))
  }

  /** False: cut off by the end of this engine. */
  async #send(due: readonly Due<Ping>[]): Promise<boolean> {
    const signals = { pauses: this.#pauses.signal, requests: this.#requests.signal }
    const settled = await Promise.all(
      due.map(({ ping: { plan, deliver }, minute }) => deliver(pingEvent(plan, minute), signals)),
    )
    return !settled.includes(false)
  }

  async #settle(isSent: boolean, untilMs: number): Promise<void> {
    const { group, log } = this.#options
    // The next leader sends this round again, as the same events, and those after it.
    this.#isCut ||= !isSent
    if (this.#isCut) return
    try {
      await this.#record(this.#consumer!, untilMs)
    } catch (error) {
      log.debug({ group, error: (error as Error).message }, 'pings: not recorded; another leader may send them again')
    }
  }

  async #record(consumer: Consumer, atMs: number): Promise<void> {
    const { group } = this.#options
    await consumer.commitOffsets([{ topic: group, partition: 0, offset: '0', metadata: new Date(atMs).toISOString() }])
  }
}
