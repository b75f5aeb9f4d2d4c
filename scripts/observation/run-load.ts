/** A load profile from its begin to its end: sale, load, storing, and the way back to the minimum. */
import { setTimeout as sleep } from 'node:timers/promises'
import { patiently } from '../cluster/patience.ts'
import { auditSale, type Ledger } from '../sale/audit.ts'
import type { Say } from '../lib/terminal.ts'
import type { HeldOrder } from '../sale/tally.ts'
import { notAtMinimum, type ClusterWatch } from './cluster-watch.ts'
import type { PreparedSale } from './cluster-sale.ts'
import type { LoadHandle } from './load-handle.ts'
import type { LoadResult } from './load-orders.ts'
import { phaseAt, planSeconds, type LoadPlan } from './phases.ts'
import type { Recorder } from './record.ts'
import type { LedgerReader } from './route-ledger.ts'
import type { LoadSecond } from './samples.ts'
import { summarise, type Summary } from './summary.ts'

export type LoadRun = {
  profile: string
  plan: LoadPlan
  /** Waits before the load until every function is at its minimum. */
  fromMinimum: boolean
  /** Limit of each wait for the minimum. */
  downWithinMs: number
  /** Limit of the wait for stored orders. */
  storedWithinMs: number
}

export type LoadRunEffects = {
  watch: ClusterWatch
  recorder: Recorder
  prepareSale(): Promise<PreparedSale>
  startLoad(sale: PreparedSale, onSecond: (second: LoadSecond) => void): LoadHandle
  openLedger(sale: PreparedSale): Promise<LedgerReader>
  gaps(): Summary['gaps']
  say: Say
  sleep?: (durationMs: number) => Promise<unknown>
  nowMs?: () => number
}

const lookEveryMs = 500
/** Longer than a node takes to start again. */
const prepareWithinMs = 180_000
/** Samples whose look at the cluster may not be finished. */
const stillFilledIn = 4
/** After everything is back: the flat end of the plots. */
const restMs = 3_000

export async function runLoad(run: LoadRun, effects: LoadRunEffects): Promise<Summary> {
  const { watch, recorder, say, nowMs = Date.now, sleep: rest = sleep } = effects
  const become = (phase: string) => (recorder.phase = () => phase)

  const waitForMinimum = async (): Promise<boolean> => {
    const deadlineMs = nowMs() + run.downWithinMs
    // The phase has to be in a sample that was taken after it began.
    const from = recorder.second() + 1
    // Each function for itself: schedules wake some up while others still go down.
    const waiting = new Set(Object.keys(watch.minimums()))
    for (let seen = from; ;) {
      for (const sample of recorder.samples.filter(({ second }) => second > seen)) {
        const above = new Set(notAtMinimum(sample, watch.minimums()))
        for (const name of waiting) if (!above.has(name)) waiting.delete(name)
      }
      // The last ones may still be filled in.
      seen = Math.max(seen, recorder.second() - stillFilledIn)
      if (waiting.size === 0 && recorder.second() > from) return true
      if (nowMs() > deadlineMs) {
        say(`Not at the minimum after ${run.downWithinMs / 1_000} s: ${[...waiting].join(', ')}.`)
        return false
      }
      await rest(lookEveryMs)
    }
  }

  become('prepare')
  say('Preparing the sale …')
  // What was half prepared ends by itself: another activity is made.
  const sale = await patiently(() => effects.prepareSale(), {
    withinMs: prepareWithinMs,
    onWait: ({ message }) => say(`The cluster does not answer: ${message}. Trying again …`),
    sleep: rest,
    nowMs,
  })
  say(`Activity ${sale.activityId}: ${sale.stock} units.`)
  if (run.fromMinimum) {
    become('before')
    say('Waiting until every function is at its minimum …')
    await waitForMinimum()
  }
  if (sale.startsAtMs > nowMs()) {
    become('before')
    await rest(sale.startsAtMs - nowMs() + 50)
  }

  say(`Load: ${run.plan.map(({ name, seconds, rate }) => `${name} ${rate}/s for ${seconds} s`).join(', ')}.`)
  watch.readStock = sale.readStock
  const begunMs = nowMs()
  const beginSecond = recorder.second() + 1
  recorder.phase = () => phaseAt(run.plan, nowMs() - begunMs) ?? 'answers'
  const load = effects.startLoad(sale, recorder.addLoad)
  const result = await load.finished
  const endSecond = Math.max(beginSecond + planSeconds(run.plan), recorder.second())

  become('storing')
  say(`${result.accepted} of ${result.requests} requests were accepted. Waiting until their orders are stored …`)
  const stored = await audit(sale, result, run, effects)
  await sale.close()
  // Each question is a request that keeps a pod up.
  watch.readStock = undefined
  become('down')
  say('Waiting until every function is back at its minimum …')
  await waitForMinimum()
  await rest(restMs)
  const summary = summarise(
    run.profile,
    recorder.samples,
    { beginSecond, endSecond },
    result,
    watch.minimums(),
    effects.gaps(),
  )
  return stored === undefined ? summary : { ...summary, stored }
}

async function audit(
  sale: PreparedSale,
  result: LoadResult,
  run: LoadRun,
  effects: LoadRunEffects,
): Promise<Summary['stored']> {
  const { say, nowMs = Date.now, sleep: rest = sleep } = effects
  const deadlineMs = nowMs() + run.storedWithinMs
  let ledger: LedgerReader | undefined
  let failures = 0
  try {
    for (;;) {
      const begunMs = nowMs()
      const late = begunMs > deadlineMs
      try {
        ledger ??= await effects.openLedger(sale)
        const found = await readLedger(ledger, result.held)
        if (late || result.held.every(({ orderNumber }) => isSettled(found, orderNumber))) {
          const { ordersStored, oversold, lost, double } = auditSale(found, result.held, {
            stock: sale.stock,
            perUserLimit: 1,
          })
          return { ordersStored, oversold, lost, double, stock: sale.stock, readFrom: ledger.from }
        }
      } catch (error) {
        failures += 1
        const why = error instanceof Error ? error.message : String(error)
        if (late) {
          say(`The stored orders cannot be read: ${why}`)
          return undefined
        }
        if (failures === 1) say(`The stored orders cannot be read at the moment: ${why}. Trying again …`)
      }
      // Reading costs the database what the writer needs: rest as long as it took.
      await rest(200 + nowMs() - begunMs)
    }
  } finally {
    await ledger?.close()
  }
}

async function readLedger(ledger: LedgerReader, held: readonly HeldOrder[]): Promise<Ledger> {
  const found = await ledger.read()
  const missing = held.filter(({ orderNumber }) => !isSettled(found, orderNumber))
  if (missing.length > 0 && ledger.lookUp !== undefined)
    for (const number of await ledger.lookUp(missing.map(({ orderNumber }) => orderNumber))) found.rejected.add(number)
  return found
}

const isSettled = ({ orders, rejected }: Ledger, orderNumber: string) =>
  orders.has(orderNumber) || rejected.has(orderNumber)
