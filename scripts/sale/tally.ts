/** What the crowd saw, counted: the crowd's own side of the ledger. */
import type { PressResult } from './press.ts'

/** A 202 as the buyer holds it in hand. */
export type HeldOrder = {
  orderNumber: string
  userId: string
  quantity: number
  pressedAtMs: number
  answeredAtMs: number
}

export type Tally = {
  requests: number
  accepted: number
  /** Refusals by problem code. */
  refused: Record<string, number>
  noAnswer: number
}

export class CrowdTally {
  readonly held: HeldOrder[] = []
  readonly latenciesMs: number[] = []
  readonly #refused = new Map<string, number>()
  #requests = 0
  #noAnswer = 0

  record(result: PressResult, userId: string, quantity: number, pressedAtMs: number): void {
    this.#requests++
    if (result.outcome === 'no-answer') {
      this.#noAnswer++
      return
    }
    this.latenciesMs.push(result.latencyMs)
    if (result.status === 202 && result.orderNumber !== undefined)
      this.held.push({
        orderNumber: result.orderNumber,
        userId,
        quantity,
        pressedAtMs,
        answeredAtMs: pressedAtMs + result.latencyMs,
      })
    else this.#refused.set(result.outcome, (this.#refused.get(result.outcome) ?? 0) + 1)
  }

  snapshot(): Tally {
    return {
      requests: this.#requests,
      accepted: this.held.length,
      refused: Object.fromEntries(this.#refused),
      noAnswer: this.#noAnswer,
    }
  }
}
