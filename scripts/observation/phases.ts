/** The load of a profile as a pure plan: how many requests are due at which moment. */
export type LoadPhase = {
  name: string
  seconds: number
  /** Requests a second at its begin. */
  rate: number
  /** At its end; the rate changes evenly in between. Default: the same. */
  endRate?: number
}

export type LoadPlan = readonly LoadPhase[]

export const planSeconds = (plan: LoadPlan): number => plan.reduce((sum, { seconds }) => sum + seconds, 0)

/** Requests that are due in a phase until `seconds` after its begin. */
function dueInPhase({ seconds: length, rate, endRate = rate }: LoadPhase, seconds: number): number {
  const at = Math.min(Math.max(seconds, 0), length)
  return length === 0 ? 0 : rate * at + ((endRate - rate) * at * at) / (2 * length)
}

/** Whole requests that are due `elapsedMs` after the begin of the plan. */
export function dueRequests(plan: LoadPlan, elapsedMs: number): number {
  let before = 0
  let due = 0
  for (const phase of plan) {
    due += dueInPhase(phase, elapsedMs / 1_000 - before)
    before += phase.seconds
  }
  // Sums of fractions may miss a whole number by a hair.
  return Math.floor(due + 1e-6)
}

export const plannedRequests = (plan: LoadPlan): number => dueRequests(plan, planSeconds(plan) * 1_000)

/** Undefined when the plan is over. */
export function phaseAt(plan: LoadPlan, elapsedMs: number): string | undefined {
  let untilMs = 0
  for (const { name, seconds } of plan) {
    untilMs += seconds * 1_000
    if (elapsedMs < untilMs) return name
  }
  return undefined
}

export type SaleRates = {
  warmRate: number
  warmSeconds: number
  burstRate: number
  burstSeconds: number
  plateauRate: number
  plateauSeconds: number
  endSeconds: number
}

/** A few early ones, the rush, a crowd that stays, and its end. */
export function salePlan(rates: SaleRates): LoadPlan {
  return [
    { name: 'warm', seconds: rates.warmSeconds, rate: rates.warmRate },
    { name: 'burst', seconds: rates.burstSeconds, rate: rates.burstRate },
    { name: 'plateau', seconds: rates.plateauSeconds, rate: rates.plateauRate },
    { name: 'end', seconds: rates.endSeconds, rate: rates.plateauRate, endRate: 0 },
  ].filter(({ seconds }) => seconds > 0)
}

export const steadyPlan = (rate: number, seconds: number): LoadPlan => [{ name: 'steady', seconds, rate }]
