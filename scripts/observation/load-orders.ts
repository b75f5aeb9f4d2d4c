/** What the load generator's process is told, and what it tells. */
import type { JWK } from 'jose'
import type { HeldOrder } from '../sale/tally.ts'
import type { TokenTerms } from '../sale/identity.ts'
import type { LoadPlan } from './phases.ts'
import type { LoadSecond } from './samples.ts'

export type LoadOrders = {
  /** The route: where connections go, and the Host header of the requests. */
  url: string
  host: string
  connect: string
  activityId: string
  tenantId: string
  /** Signs the tokens of buyers. */
  signingKey: JWK
  tokenTerms: TokenTerms
  /** Makes passes (`id:base64`), as the function itself does; undefined: every buyer uses a token. */
  passKeys?: string
  /** In front of the buyers' ids, so that no two runs have a buyer in common. */
  buyerPrefix: string
  plan: LoadPlan
  connections: number
  /** For one request. */
  timeoutMs: number
  /** Every so many presses one takes `forMs` from its first byte to its last: in work on a pod for that long. */
  slow?: { every: number; forMs: number }
}

export type PhaseFigures = {
  name: string
  seconds: number
  requests: number
  accepted: number
  errors: number
  p50Ms?: number
  p99Ms?: number
}

/** A request that no function answered. */
export type CutRequest = { atMs: number; what: string; afterMs: number }

export type LoadResult = {
  requests: number
  accepted: number
  /** Refusals and errors by problem code or status. */
  answers: Record<string, number>
  errors: number
  noAnswer: number
  /** The first of them; `cutCount` has their number. */
  cut: CutRequest[]
  cutCount: number
  notSent: number
  phases: PhaseFigures[]
  /** Every 202. */
  held: HeldOrder[]
}

export type LoadCommand = { command: 'start'; orders: LoadOrders } | { command: 'stop' }

export type LoadMessage =
  { type: 'second'; second: LoadSecond } | { type: 'finished'; result: LoadResult } | { type: 'failed'; reason: string }
