/** Which upstream a request goes to: the canary, the first, or the one that takes the overflow. */
import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Upstream } from './upstream.ts'

export type Spread = {
  function: string
  primary: Upstream
  overflow: { upstream: Upstream; inFlight: number; latencyMs: number } | undefined
  canary:
    | {
        upstream: Upstream
        /** 0 to 100. */
        weight: number
        header: { name: string; value: string } | undefined
        tenants: ReadonlySet<string>
      }
    | undefined
}

export type Choice = { upstream: Upstream; reason: 'primary' | 'canary' | 'saturated' | 'slow' | 'breaker' }

export type Caller = {
  tenantId: string | undefined
  /** Of a signed-in user, else of the address: it decides on which side of the canary somebody is. */
  identity: string
  header: (name: string) => string | undefined
}

/** While an upstream is too slow, one in this many requests still goes to it. */
const slowShare = 10

/** Undefined when nobody can take it now. */
export function chooseUpstream(spread: Spread, caller: Caller, long: boolean, nowMs: number): Choice | undefined {
  const { primary, overflow, canary } = spread
  // A canary that fails or is full is no reason to turn anybody away.
  if (canary && wantsCanary(canary, caller) && isOpen(canary.upstream, long, nowMs)) {
    return { upstream: canary.upstream, reason: 'canary' }
  }
  const trouble = troubleOf(primary, overflow, long, nowMs)
  if (trouble === undefined) return { upstream: primary, reason: 'primary' }
  if (overflow && isOpen(overflow.upstream, long, nowMs)) return { upstream: overflow.upstream, reason: trouble }
  // The second cannot take it, the first can do more than it should.
  if (isOpen(primary, long, nowMs)) return { upstream: primary, reason: 'primary' }
  return undefined
}

const isOpen = (upstream: Upstream, long: boolean, nowMs: number): boolean =>
  upstream.hasRoom(long) && upstream.breaker.wouldEnter(nowMs)

function troubleOf(
  primary: Upstream,
  overflow: Spread['overflow'],
  long: boolean,
  nowMs: number,
): 'saturated' | 'slow' | 'breaker' | undefined {
  if (!primary.breaker.wouldEnter(nowMs)) return 'breaker'
  if (!primary.hasRoom(long)) return 'saturated'
  if (!overflow || long) return undefined
  if (primary.inFlight >= overflow.inFlight) return 'saturated'
  if (primary.latencyMs < overflow.latencyMs) return undefined
  return primary.slowTurns++ % slowShare === 0 ? undefined : 'slow'
}

function wantsCanary({ weight, header, tenants }: NonNullable<Spread['canary']>, caller: Caller): boolean {
  if (header !== undefined && caller.header(header.name) === header.value) return true
  if (caller.tenantId !== undefined && tenants.has(caller.tenantId)) return true
  return weight > 0 && percentileOf(caller.identity) < weight
}

const percentiles = new LRUCache<string, number>({ max: 50_000 })

/** 0 to 100, always the same for the same identity, also in another process. */
export function percentileOf(identity: string): number {
  const known = percentiles.get(identity)
  if (known !== undefined) return known
  const hash = createHash('sha256').update(`canary:${identity}`).digest().readUInt32BE(0)
  const percentile = (hash / 0x1_0000_0000) * 100
  percentiles.set(identity, percentile)
  return percentile
}
