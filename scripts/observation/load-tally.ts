/** What the generator counts: for each second, each phase, and in all. */
import { percentile } from '../sale/percentiles.ts'
import type { PressResult } from '../sale/press.ts'
import type { HeldOrder } from '../sale/tally.ts'
import type { CutRequest, LoadResult, PhaseFigures } from './load-orders.ts'
import type { LoadSecond } from './samples.ts'

/** More of them are counted and not described. */
const maximumDescribed = 200

type Counted = {
  requests: number
  accepted: number
  refused: number
  errors: number
  cut: number
  noAnswer: number
  latenciesMs: number[]
}

const fresh = (): Counted => ({ requests: 0, accepted: 0, refused: 0, errors: 0, cut: 0, noAnswer: 0, latenciesMs: [] })

/** An ingress answers for a function that is not there in plain text; a function's own errors are problem documents with a code. */
const isCut = ({ status, outcome }: PressResult): boolean =>
  outcome === 'no-answer' || ((status === 502 || status === 503 || status === 504) && outcome === `status-${status}`)

export class LoadTally {
  readonly #phases = new Map<string, Counted>()
  readonly #answers = new Map<string, number>()
  readonly #held: HeldOrder[] = []
  readonly #cut: CutRequest[] = []
  #second = fresh()
  #sent = 0
  #notSent = 0
  #notSentInAll = 0

  countSent(): void {
    this.#sent++
  }

  countNotSent(): void {
    this.#notSent++
    this.#notSentInAll++
  }

  /** `phase`: the one in which the request was sent. */
  record(phase: string, userId: string, result: PressResult, pressedAtMs: number): void {
    const inPhase = this.#phases.get(phase) ?? fresh()
    this.#phases.set(phase, inPhase)
    const cut = isCut(result)
    for (const counted of [this.#second, inPhase]) {
      counted.requests++
      if (result.outcome === 'accepted') counted.accepted++
      else if (result.outcome === 'no-answer') counted.noAnswer++
      else if (result.status >= 500) counted.errors++
      else counted.refused++
      if (cut) counted.cut++
      if (result.outcome !== 'no-answer') counted.latenciesMs.push(result.latencyMs)
    }
    if (result.outcome === 'accepted' && result.orderNumber !== undefined)
      this.#held.push({
        orderNumber: result.orderNumber,
        userId,
        quantity: 1,
        pressedAtMs,
        answeredAtMs: pressedAtMs + result.latencyMs,
      })
    else this.#answers.set(result.outcome, (this.#answers.get(result.outcome) ?? 0) + 1)
    if (cut && this.#cut.length < maximumDescribed)
      this.#cut.push({
        atMs: pressedAtMs + result.latencyMs,
        what: result.outcome,
        afterMs: Math.round(result.latencyMs),
      })
  }

  /** The second that ends now; the next one begins empty. */
  takeSecond(around: Pick<LoadSecond, 'target' | 'inFlight' | 'loopDelayMs' | 'cpuShare'>): LoadSecond {
    const { latenciesMs, accepted, refused, errors, cut, noAnswer } = this.#second
    const second: LoadSecond = {
      ...around,
      sent: this.#sent,
      accepted,
      refused,
      errors,
      cut,
      noAnswer,
      notSent: this.#notSent,
      ...percentiles(latenciesMs),
    }
    this.#second = fresh()
    this.#sent = 0
    this.#notSent = 0
    return second
  }

  result(lengths: ReadonlyMap<string, number>): LoadResult {
    const phases = [...this.#phases].map(([name, counted]): PhaseFigures => ({
      name,
      seconds: lengths.get(name) ?? 0,
      requests: counted.requests,
      accepted: counted.accepted,
      errors: counted.errors + counted.noAnswer,
      ...percentiles(counted.latenciesMs),
    }))
    const sum = (of: (counted: Counted) => number) => [...this.#phases.values()].reduce((all, one) => all + of(one), 0)
    return {
      requests: sum(({ requests }) => requests),
      accepted: sum(({ accepted }) => accepted),
      answers: Object.fromEntries(this.#answers),
      errors: sum(({ errors }) => errors),
      noAnswer: sum(({ noAnswer }) => noAnswer),
      cut: this.#cut,
      cutCount: sum(({ cut }) => cut),
      notSent: this.#notSentInAll,
      phases,
      held: this.#held,
    }
  }
}

function percentiles(latenciesMs: readonly number[]): { p50Ms?: number; p99Ms?: number } {
  if (latenciesMs.length === 0) return {}
  const round = (value: number) => Math.round(value * 100) / 100
  return { p50Ms: round(percentile(latenciesMs, 0.5)), p99Ms: round(percentile(latenciesMs, 0.99)) }
}
