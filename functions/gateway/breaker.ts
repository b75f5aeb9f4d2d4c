/**
 * Circuit breaker of one upstream. Closed: everything passes and outcomes are counted over a sliding window. Open: nothing passes. Half
 * open: a few requests at once try; when as many as there are probes succeed it closes, one failure opens it again.
 */

export type BreakerSettings = {
  enabled: boolean
  windowMs: number
  minimumRequests: number
  failureShare: number
  openMs: number
  probes: number
}

export type BreakerState = 'closed' | 'half-open' | 'open'

/** What a request that was let through must give back, once, with its outcome. `probe` numbers the half-open phase it belongs to. */
export type Permit = { probe: number }

export type Breaker = {
  state(): BreakerState
  /** Undefined: not now. */
  enter(nowMs: number): Permit | undefined
  /** Would `enter` let a request through? Takes nothing. */
  wouldEnter(nowMs: number): boolean
  succeeded(permit: Permit, nowMs: number): void
  failed(permit: Permit, nowMs: number): void
  /** It says nothing of the upstream: the client went away. */
  forgotten(permit: Permit): void
  /** Until it may be tried again. */
  remainingMs(nowMs: number): number
  settings: BreakerSettings
}

const slots = 10
const ordinary: Permit = { probe: 0 }

export function createBreaker(settings: BreakerSettings, changed: (state: BreakerState) => void = () => {}): Breaker {
  let state: BreakerState = 'closed'
  let openUntilMs = 0
  let phase = 0
  let probing = 0
  let succeeded = 0
  /** Ring over the window; each slot knows which stretch of time it counts. */
  const counts = Array.from({ length: slots }, () => ({ stretch: Number.NEGATIVE_INFINITY, all: 0, failed: 0 }))

  const become = (next: BreakerState): void => {
    if (state === next) return
    state = next
    changed(next)
  }
  const slotAt = (nowMs: number) => {
    const stretch = Math.floor(nowMs / (breaker.settings.windowMs / slots))
    const slot = counts[stretch % slots]!
    if (slot.stretch !== stretch) Object.assign(slot, { stretch, all: 0, failed: 0 })
    return slot
  }
  const open = (nowMs: number): void => {
    openUntilMs = nowMs + breaker.settings.openMs
    for (const slot of counts) slot.stretch = Number.NEGATIVE_INFINITY
    become('open')
  }
  const count = (failed: boolean, nowMs: number): void => {
    const slot = slotAt(nowMs)
    slot.all++
    if (!failed) return
    slot.failed++
    let all = 0
    let failures = 0
    for (const other of counts) {
      if (other.stretch <= slot.stretch - slots || other.stretch > slot.stretch) continue
      all += other.all
      failures += other.failed
    }
    if (all >= breaker.settings.minimumRequests && failures >= all * breaker.settings.failureShare) open(nowMs)
  }
  /** Probes belong to a phase: an answer to one of an earlier phase says nothing about this one. */
  const ofThisPhase = ({ probe }: Permit): boolean => state === 'half-open' && probe === phase

  const breaker: Breaker = {
    settings,
    state: () => state,
    wouldEnter: (nowMs) =>
      !breaker.settings.enabled ||
      state === 'closed' ||
      (state === 'open' ? nowMs >= openUntilMs : probing < breaker.settings.probes),
    enter(nowMs) {
      if (!breaker.settings.enabled || state === 'closed') return ordinary
      if (state === 'open') {
        if (nowMs < openUntilMs) return undefined
        phase++
        probing = 0
        succeeded = 0
        become('half-open')
      }
      if (probing >= breaker.settings.probes) return undefined
      probing++
      return { probe: phase }
    },
    succeeded(permit, nowMs) {
      if (permit.probe === 0) {
        if (state === 'closed') count(false, nowMs)
      } else if (ofThisPhase(permit) && ++succeeded >= breaker.settings.probes) become('closed')
    },
    failed(permit, nowMs) {
      if (permit.probe === 0) {
        if (breaker.settings.enabled && state === 'closed') count(true, nowMs)
      } else if (ofThisPhase(permit)) open(nowMs)
    },
    forgotten(permit) {
      if (ofThisPhase(permit)) probing--
    },
    remainingMs: (nowMs) => (state === 'open' ? Math.max(0, openUntilMs - nowMs) : 0),
  }
  return breaker
}
