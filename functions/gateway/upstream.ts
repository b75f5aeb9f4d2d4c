/** One upstream: its addresses, the connections to them, what is in flight, how fast it answers, and its breaker. */
import { Pool } from 'undici'
import type { Dispatcher } from 'undici'
import { createBreaker, type Breaker, type BreakerState } from './breaker.ts'
import type { UpstreamSettings } from './document.ts'
import { createRetryBudget, type RetryBudget } from './retry-budget.ts'

export type UpstreamAddress = {
  url: string
  weight: number
  /** For smooth weighted round robin. */
  current: number
  leftOutUntilMs: number
  /** For ordinary requests. */
  pool: Dispatcher
  /** For event streams and long polls, which hold a connection for long. */
  streams: Dispatcher
}

export type Upstream = {
  name: string
  settings: UpstreamSettings
  breaker: Breaker
  budget: RetryBudget
  /** Ordinary requests from their dispatch to the end of their answer. */
  inFlight: number
  streaming: number
  /** Moving average of the time until an answer begins; 0 before the first. */
  latencyMs: number
  /** Requests that wanted this upstream while it was too slow; every tenth of them is let through. */
  slowTurns: number
  answered(latencyMs: number): void
  hasRoom(long: boolean): boolean
  /** The next address; not `after` when there is another one. */
  nextAddress(nowMs: number, after?: UpstreamAddress): UpstreamAddress
  leaveOut(address: UpstreamAddress, nowMs: number): void
  /** Ends the connections when nothing is in flight on them any more. */
  close(): Promise<void>
}

/** Weight of a new measurement in the average: about the last twenty count. */
const smoothing = 0.1

export type UpstreamOptions = {
  name: string
  settings: UpstreamSettings
  addresses: readonly { url: string; weight: number }[]
  breakerChanged?: (name: string, state: BreakerState) => void
}

export function createUpstream({ name, settings, addresses: given, breakerChanged }: UpstreamOptions): Upstream {
  const { timeouts, retries } = settings
  const poolOf = (url: string, connections: number) =>
    new Pool(url, {
      connections,
      pipelining: 1,
      connect: { timeout: timeouts.connectMs },
      keepAliveTimeout: 4_000,
      // Less than what the host's servers say, so that it is this side that closes an idle connection.
      keepAliveMaxTimeout: 60_000,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: 32_768,
    })
  const addresses: UpstreamAddress[] = given.map(({ url, weight }) => ({
    url,
    weight,
    current: 0,
    leftOutUntilMs: 0,
    pool: poolOf(url, settings.connections),
    streams: poolOf(url, settings.streams),
  }))
  // Without an address there is room for nobody.
  const maximumInFlight = addresses.length === 0 ? 0 : settings.connections * addresses.length + settings.queue
  const maximumStreams = settings.streams * addresses.length
  const upstream: Upstream = {
    name,
    settings,
    breaker: createBreaker(settings.breaker, (state) => breakerChanged?.(name, state)),
    budget: createRetryBudget({ share: retries.budgetShare, burst: retries.budgetBurst }),
    inFlight: 0,
    streaming: 0,
    latencyMs: 0,
    slowTurns: 0,
    answered(latencyMs) {
      upstream.latencyMs =
        upstream.latencyMs === 0 ? latencyMs : upstream.latencyMs + (latencyMs - upstream.latencyMs) * smoothing
    },
    hasRoom: (long) => (long ? upstream.streaming < maximumStreams : upstream.inFlight < maximumInFlight),
    nextAddress(nowMs, after) {
      if (addresses.length === 1) return addresses[0]!
      const reachable = addresses.filter((one) => one.leftOutUntilMs <= nowMs)
      const usable = reachable.length > 0 ? reachable : addresses
      const others = after === undefined ? usable : usable.filter((one) => one !== after)
      return smooth(others.length > 0 ? others : usable)
    },
    leaveOut(address, nowMs) {
      address.leftOutUntilMs = nowMs + settings.ejectMs
    },
    async close() {
      await Promise.all(addresses.flatMap(({ pool, streams }) => [pool.close(), streams.close()]))
    },
  }
  return upstream
}

/** Smooth weighted round robin, as nginx has it: each gets its share, evenly spread. */
function smooth(addresses: readonly UpstreamAddress[]): UpstreamAddress {
  let total = 0
  let best = addresses[0]!
  for (const address of addresses) {
    total += address.weight
    address.current += address.weight
    if (address.current > best.current) best = address
  }
  best.current -= total
  return best
}
