/**
 * Runs `relayOnce` for every bucket that needs it: woken by an acceptance in this process, and by a sweep over all registered
 * sales for what other processes left. One batch is in flight for each bucket; a failing Kafka or Redis is tried again with
 * growing pauses, for as long as it takes.
 */
import type { Logger } from 'pino'
import type { AcceptedPurchase } from '@stampede/eventing/catalogue/events.ts'
import type { BucketRef, SaleStore } from '@stampede/shared/sale/types.ts'
import type { Counters } from './counters.ts'
import { createLinger, type Linger } from './linger.ts'
import { createPauses } from './pauses.ts'
import {
  newRelayState,
  relayOnce,
  type RelayEffects,
  type RelayMessage,
  type RelayOptions,
  type RelayState,
} from './relay.ts'

export type RelayLoopOptions = RelayOptions & {
  store: RelayEffects['store'] & Pick<SaleStore, 'listSales'>
  leaving: RelayEffects['leaving']
  send: RelayEffects['send']
  log: Pick<Logger, 'warn' | 'error'>
  counters: Counters
  /** Purchases gather for this long before the first step of a flow. May change from step to step, as the next and `batchPurchases`. */
  readonly lingerMs: number
  /** While few come, the pause between steps grows up to this: each event costs everybody behind it the same, however small it is. */
  readonly lingerMaxMs: number
  sweepMs: number
  /** Called after Kafka has acknowledged the purchases. */
  delivered?: (bucket: BucketRef, purchases: readonly AcceptedPurchase[]) => void
  now?: () => number
}

export type Relay = {
  /** Something was accepted in this bucket. */
  wake: (bucket: BucketRef) => void
  /** Milliseconds between acceptance and Kafka, of the newest batch. */
  lagMs: () => number
  /** Moves what is there, at most for `limitMs`, and stops. Resolves with false when something was left for other processes. */
  drain: (limitMs: number) => Promise<boolean>
}

type Loop = {
  bucket: BucketRef
  state: RelayState
  running: boolean
  /** Woken while it ran. */
  again: boolean
  claimAtMs: number
  failures: number
  usedAtMs: number
  linger: Linger
}

const maximumRunning = 32
const maximumLoops = 10_000
const idleMs = 60_000
const backoffMs = (failures: number): number =>
  Math.min(5_000, 100 * 2 ** Math.min(failures, 6)) * (0.5 + Math.random() / 2)

export function startRelay(options: RelayLoopOptions): Relay {
  const { store, log, counters, claimIdleMs, now = Date.now } = options
  const loops = new Map<string, Loop>()
  const ready: Loop[] = []
  let running = 0
  let stopping = false
  let lagMs = 0
  /** They end early when draining begins. */
  const { sleep, endAll } = createPauses()

  const effects: RelayEffects = {
    store,
    leaving: options.leaving,
    send: async (messages) => {
      await options.send(messages)
      for (const message of messages) options.delivered?.(refOf(message), message.data.purchases)
    },
  }

  const loopOf = (bucket: BucketRef): Loop => {
    const key = `${bucket.tenantId}:${bucket.activityId}:${bucket.bucket}`
    let loop = loops.get(key)
    if (!loop) {
      if (loops.size >= maximumLoops) forgetIdle()
      loop = {
        bucket,
        state: newRelayState(),
        running: false,
        again: false,
        claimAtMs: now(),
        failures: 0,
        usedAtMs: now(),
        linger: createLinger(options),
      }
      loops.set(key, loop)
    }
    return loop
  }

  const forgetIdle = (): void => {
    for (const [key, loop] of loops) {
      const holds = loop.state.unsent.length > 0 || loop.state.unacknowledged.length > 0
      if (!loop.running && !holds && now() - loop.usedAtMs > idleMs) loops.delete(key)
    }
  }

  const schedule = (loop: Loop): void => {
    loop.again = true
    if (loop.running) return
    loop.running = true
    ready.push(loop)
    next()
  }

  const next = (): void => {
    while (running < maximumRunning && ready.length > 0) {
      running += 1
      void run(ready.shift()!).finally(() => {
        running -= 1
        next()
      })
    }
  }

  const run = async (loop: Loop): Promise<void> => {
    try {
      while (loop.again) {
        loop.again = false
        if (!stopping && options.lingerMs > 0) await sleep(options.lingerMs)
        while (await step(loop));
      }
    } finally {
      loop.running = false
      loop.usedAtMs = now()
    }
  }

  /** One step; true when there may be more at once. */
  const step = async (loop: Loop): Promise<boolean> => {
    const claim = now() >= loop.claimAtMs
    if (claim) loop.claimAtMs = now() + claimIdleMs / 2
    try {
      const { entries, purchases, events, oldestAcceptedAtMs } = await relayOnce(
        loop.bucket,
        loop.state,
        effects,
        options,
        claim,
      )
      loop.failures = 0
      if (entries === 0) {
        loop.linger.flowEnded()
        return false
      }
      counters.relayed.add('batches')
      counters.relayed.add('events', events)
      counters.relayed.add('purchases', purchases)
      if (oldestAcceptedAtMs !== undefined) lagMs = Math.max(0, now() - oldestAcceptedAtMs)
      // A full batch has more behind it; a small one lets the next gather.
      if (purchases < options.batchPurchases / 2) {
        const pauseMs = loop.linger.after(purchases)
        if (!stopping && pauseMs > 0) await sleep(pauseMs)
      }
      return true
    } catch (error) {
      loop.failures += 1
      counters.relayed.add('failures')
      if (loop.failures === 1 || loop.failures % 20 === 0) {
        log.warn(
          { error, activityId: loop.bucket.activityId, bucket: loop.bucket.bucket, failures: loop.failures },
          'the relay tries again',
        )
      }
      if (stopping) return false
      await sleep(backoffMs(loop.failures))
      return true
    }
  }

  let sweeping = false
  const sweep = async (): Promise<void> => {
    if (sweeping) return
    sweeping = true
    try {
      for (const { tenantId, activityId, buckets } of await store.listSales()) {
        for (let bucket = 0; bucket < buckets; bucket++) schedule(loopOf({ tenantId, activityId, bucket }))
      }
      forgetIdle()
    } catch (error) {
      log.warn({ error }, 'the relay could not look for sales')
    } finally {
      sweeping = false
    }
  }
  const timer = setInterval(() => void sweep(), options.sweepMs)
  timer.unref()
  void sweep()

  return {
    wake: (bucket) => {
      if (!stopping) schedule(loopOf(bucket))
    },
    lagMs: () => lagMs,
    async drain(limitMs) {
      clearInterval(timer)
      for (const loop of loops.values()) schedule(loop)
      stopping = true
      endAll()
      const untilMs = now() + limitMs
      const busy = () => running > 0 || ready.length > 0
      while (busy() && now() < untilMs) await sleep(10)
      return !busy() && [...loops.values()].every((loop) => loop.state.unsent.length === 0)
    },
  }
}

function refOf(message: RelayMessage): BucketRef {
  const { tenantId, activityId, bucket } = message.data
  return { tenantId, activityId, bucket }
}
