/**
 * Purchases that arrive in the same turn of the event loop are decided together: one script call for each bucket carries many
 * of them. Under load the calls in flight are full and the queue behind them becomes the next batch by itself.
 *
 * All effects are passed in. A purchase is settled exactly once.
 */
/* eslint-disable promise/always-return -- both outcomes end in an answer; a chain would cost the hot path promises */
import type {
  BucketRef,
  Purchase,
  PurchaseBatchResult,
  PurchaseVerdict,
  SaleStore,
} from '@stampede/shared/sale/types.ts'

/** One press that waits for its decision. */
export type PendingPurchase = {
  /** Apart from the press, because it is remembered for longer. */
  readonly purchase: Purchase
  readonly ref: BucketRef
  /** Buckets of the sale. */
  readonly buckets: number
  /** How often it was decided again after units were moved to its bucket. */
  attempts: number
}

export type DecisionOutcome = PurchaseVerdict | { outcome: 'undecided' }

export type DecisionEffects<P extends PendingPurchase> = {
  store: Pick<SaleStore, 'purchase' | 'rebalance'>
  /** Remembers what was accepted before anybody is told, and notices from the result that Redis restarted. */
  record: (bucket: BucketRef, purchases: readonly Purchase[], result: PurchaseBatchResult) => void
  /** False when it is known that no bucket has units: then none are looked for. */
  mayHaveUnits: (pending: P) => boolean
  settle: (pending: P, outcome: DecisionOutcome) => void
  /** Called once for each batch in which something was accepted, before the purchases are settled. */
  acceptedSome: (bucket: BucketRef) => void
  failed: (error: unknown) => void
  succeeded?(): void
  /** A verdict that came after the buyer was told that nobody knows. */
  late?(pending: P, verdict: PurchaseVerdict): void
  /** Runs the callback at the end of this turn of the event loop. */
  endOfTurn: (callback: () => void) => void
  /** Calls back after the time; returns how to call it off. */
  after: (timeoutMs: number, callback: () => void) => () => void
}

export type DecisionOptions = {
  batch: number
  callsInFlight: number
  queue: number
  timeoutMs: number
}

export type Decider<P extends PendingPurchase> = {
  /** False when too many wait already; then nothing was done. */
  submit: (press: P) => boolean
  /** Purchases that wait or are in flight. */
  pending: () => number
  /** Resolves when nothing is pending. */
  idle: () => Promise<void>
}

type Lane<P> = {
  ref: BucketRef
  waiting: P[]
  inFlight: number
  /** Ready to be flushed at the end of the turn. */
  marked: boolean
  /** Found no units in this bucket; they wait for units from other buckets. */
  dry: { press: P; verdict: PurchaseVerdict }[]
  rebalancing: boolean
}

/** Units that arrive may be taken by others first; after this many times the buyer is told the truth of the moment. */
const maximumAttempts = 3

export function createDecider<P extends PendingPurchase>(
  effects: DecisionEffects<P>,
  options: DecisionOptions,
): Decider<P> {
  const lanes = new Map<BucketRef, Lane<P>>()
  const marked: Lane<P>[] = []
  const idleWaiters: (() => void)[] = []
  let pending = 0
  let flushing = false

  const laneOf = (ref: BucketRef): Lane<P> => {
    let lane = lanes.get(ref)
    if (!lane) {
      lane = { ref, waiting: [], inFlight: 0, marked: false, dry: [], rebalancing: false }
      lanes.set(ref, lane)
    }
    return lane
  }

  const mark = (lane: Lane<P>): void => {
    if (lane.marked) return
    lane.marked = true
    marked.push(lane)
    if (flushing) return
    flushing = true
    effects.endOfTurn(flush)
  }

  const flush = (): void => {
    flushing = false
    for (const lane of marked.splice(0)) {
      lane.marked = false
      callAll(lane)
    }
  }

  const callAll = (lane: Lane<P>): void => {
    while (lane.waiting.length > 0 && lane.inFlight < options.callsInFlight) {
      const { waiting } = lane
      if (waiting.length <= options.batch) {
        lane.waiting = []
        call(lane, waiting)
      } else call(lane, waiting.splice(0, options.batch))
    }
    // A sale that nobody buys from any more leaves nothing behind.
    if (lane.waiting.length === 0 && lane.inFlight === 0 && !lane.rebalancing) lanes.delete(lane.ref)
  }

  const settle = (press: P, outcome: DecisionOutcome): void => {
    pending -= 1
    effects.settle(press, outcome)
  }

  const finish = (): void => {
    if (pending === 0) for (const resolve of idleWaiters.splice(0)) resolve()
  }

  const call = (lane: Lane<P>, batch: readonly P[]): void => {
    lane.inFlight += 1
    let late = false
    const fail = (error: unknown) => {
      late = true
      lane.inFlight -= 1
      effects.failed(error)
      // The script may have run: nobody may be told yes or no.
      for (const press of batch) settle(press, { outcome: 'undecided' })
      callAll(lane)
      finish()
    }
    const callOff = effects.after(options.timeoutMs, () => fail(new Error('Redis did not decide in time')))
    const purchases = batch.map((press) => press.purchase)
    effects.store.purchase(lane.ref, purchases).then(
      (result) => {
        callOff()
        // Also when it came too late for the buyers: what Redis accepted must survive Redis, and be relayed.
        effects.record(lane.ref, purchases, result)
        if (result.verdicts.some(isAccepted)) effects.acceptedSome(lane.ref)
        if (late) {
          for (const [index, press] of batch.entries()) effects.late?.(press, result.verdicts[index]!)
          return
        }
        lane.inFlight -= 1
        effects.succeeded?.()
        decide(lane, batch, result.verdicts)
        callAll(lane)
        finish()
      },
      (error: unknown) => {
        callOff()
        if (!late) fail(error)
      },
    )
  }

  const decide = (lane: Lane<P>, batch: readonly P[], verdicts: readonly PurchaseVerdict[]): void => {
    for (let index = 0; index < batch.length; index++) {
      const press = batch[index]!
      const verdict = verdicts[index]!
      if (isDry(verdict) && press.buckets > 1 && press.attempts < maximumAttempts && effects.mayHaveUnits(press)) {
        lane.dry.push({ press, verdict })
      } else settle(press, verdict)
    }
    if (lane.dry.length > 0 && !lane.rebalancing) void rebalance(lane)
  }

  const rebalance = async (lane: Lane<P>): Promise<void> => {
    lane.rebalancing = true
    while (lane.dry.length > 0) {
      const dry = lane.dry.splice(0)
      let needed = 0
      for (const { press } of dry) needed += press.purchase.quantity
      const moved = await moveUnits(lane.ref, dry[0]!.press.buckets, needed)
      for (const { press, verdict } of dry) {
        // Nobody is told "sold out" because Redis did not answer.
        if (moved === undefined) settle(press, { outcome: 'undecided' })
        else if (moved === 0 && press.attempts > 0) settle(press, verdict)
        else {
          // Nothing to be had elsewhere: units may have come here while this looked there, so the script has the last word.
          press.attempts = moved === 0 ? maximumAttempts : press.attempts + 1
          lane.waiting.push(press)
        }
      }
    }
    lane.rebalancing = false
    lanes.set(lane.ref, lane)
    callAll(lane)
    finish()
  }

  /** Units that came from other buckets; undefined when Redis did not answer. */
  const moveUnits = async (ref: BucketRef, buckets: number, needed: number): Promise<number | undefined> => {
    const { promise, resolve } = Promise.withResolvers<number | undefined>()
    const callOff = effects.after(options.timeoutMs, () => resolve(undefined))
    effects.store.rebalance(ref, buckets, needed).then(resolve, (error: unknown) => {
      effects.failed(error)
      resolve(undefined)
    })
    const moved = await promise
    callOff()
    return moved
  }

  return {
    submit(press) {
      if (pending >= options.queue) return false
      pending += 1
      const lane = laneOf(press.ref)
      lane.waiting.push(press)
      // A whole batch does not wait for the end of the turn: Redis decides it while this process reads the next presses.
      if (lane.waiting.length >= options.batch) callAll(lane)
      else mark(lane)
      return true
    },
    pending: () => pending,
    idle: () => (pending === 0 ? Promise.resolve() : new Promise((resolve) => idleWaiters.push(resolve))),
  }
}

const isAccepted = ({ outcome }: PurchaseVerdict): boolean => outcome === 'accepted'
const isDry = ({ outcome }: PurchaseVerdict): boolean => outcome === 'sold-out' || outcome === 'insufficient'
