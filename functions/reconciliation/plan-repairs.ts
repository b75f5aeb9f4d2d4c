/**
 * The decision of the reconciliation: what to do about each difference between a bucket of a sale in Redis and its orders.
 * Pure, because the simulation runs it, and because a wrong decision here would sell stock twice.
 *
 * An order number lives one life: unknown → live → ended, never back. That is what makes decisions from two reads that were
 * not taken at the same moment safe: what order says of a number can only have moved forward since.
 */
import { orderNumberTimeMs, type OrderNumber } from '@stampede/shared/ids/order-number.ts'
import type { BucketSnapshot } from '@stampede/shared/sale/types.ts'

/** What order says of an order number: stored and holding stock, stored and given back (cancelled, rejected), or never heard of. */
export type OrderFact = 'live' | 'ended' | 'unknown'
/** What Redis says of it. */
export type RedisFact = 'accepted' | 'confirmed' | 'released' | 'missing'

/** One purchase seen from both sides. */
export type Pair = {
  orderNumber: OrderNumber
  userId: string
  quantity: number
  redis: RedisFact
  order: OrderFact
  /** How often the reconciliation has sent its message again. */
  resends: number
}

export type RepairRules = {
  /** Purchases younger than this are on their way: no opinion about them. */
  graceMs: number
  /** After so many resends a purchase that order does not know is reported instead. */
  maximumResends: number
}

export type PairsView = RepairRules & {
  nowMs: number
  /** No message of the bucket waited in the outbox when the comparison began. */
  outboxEmpty: boolean
  pairs: readonly Pair[]
}

export const findingKinds = [
  /** Live order without an entry in Redis: the buyer could buy again and the units could be sold again. */
  'missing-in-redis',
  /** Ended order whose purchase still holds stock in Redis. */
  'ended-in-orders',
  /** Stored order whose purchase Redis does not know to be stored. */
  'not-confirmed',
  /** Accepted purchase that order does not know; its message is sent again. */
  'not-in-orders',
  /** The same after all resends: people must look (dead letter). */
  'never-stored',
  /** Live order whose purchase Redis has released. */
  'released-in-redis',
  /** More units for sale than the purchases leave. */
  'left-too-high',
  /** Fewer units for sale than the purchases leave; nothing is oversold, some units are not offered. */
  'left-too-low',
  /** A bucket gave out more than it had, because Redis forgot purchases and sold their units again; other buckets offer fewer now. */
  'left-negative',
  /** Transfers between buckets that were left half done. */
  'unfinished-transfers',
  /** Redis lost the sale; it was (or is being) rebuilt from the orders. */
  'sale-missing',
  /** The stock in Redis is not the stock that was allocated. */
  'total-differs',
] as const
export type FindingKind = (typeof findingKinds)[number]

export type Repair = 'restore' | 'release' | 'confirm' | 'resend' | 'none'

/** One decision about one purchase. */
export type Decision = { pair: Pair; finding: FindingKind; repair: Repair }

/** A resend waits twice as long each time, counted from the purchase: a slow consumer is not buried in copies. */
function resendDue(pair: Pair, view: PairsView): boolean {
  return view.nowMs - orderNumberTimeMs(pair.orderNumber) >= view.graceMs * 2 ** pair.resends
}

function decide(pair: Pair, view: PairsView): Omit<Decision, 'pair'> | undefined {
  const live = pair.redis === 'accepted' || pair.redis === 'confirmed'
  const young = view.nowMs - orderNumberTimeMs(pair.orderNumber) < view.graceMs
  if (pair.order === 'live') {
    // Whatever its age: an order that exists came from Redis, so Redis has forgotten it. Restoring only lowers the stock.
    if (pair.redis === 'missing') return { finding: 'missing-in-redis', repair: 'restore' }
    if (young) return undefined
    if (pair.redis === 'accepted') return { finding: 'not-confirmed', repair: 'confirm' }
    if (pair.redis === 'released') return { finding: 'released-in-redis', repair: 'none' }
    return undefined
  }
  if (!live || young) return undefined
  if (pair.order === 'ended') return { finding: 'ended-in-orders', repair: 'release' }
  // A confirmed purchase whose order is gone cannot be brought back by its message alone, but storing it again is idempotent.
  if (pair.resends >= view.maximumResends) return { finding: 'never-stored', repair: 'none' }
  if (!view.outboxEmpty || !resendDue(pair, view)) return undefined
  return { finding: 'not-in-orders', repair: 'resend' }
}

/** Decides about each purchase that differs; purchases that agree, or are too young to judge, are not in the answer. */
export function planRepairs(view: PairsView): Decision[] {
  return view.pairs.flatMap((pair) => {
    const decision = decide(pair, view)
    return decision ? [{ pair, ...decision }] : []
  })
}

export type CountersView = {
  first: BucketSnapshot
  last: BucketSnapshot
  /** Units of the live entries counted in between; undefined when they were too many to count without counting twice. */
  liveUnits: number | undefined
}

export type CountersPlan =
  { finding: 'left-too-high' | 'left-too-low'; units: number; expectedLeft: number } | undefined

/** True when nothing moved in the bucket between the two snapshots. */
export function quiet(first: BucketSnapshot, last: BucketSnapshot): boolean {
  return (['left', 'sold', 'version', 'received', 'sent', 'total', 'outboxLength'] as const).every(
    (field) => first[field] === last[field],
  )
}

/**
 * Judges `left`. One snapshot is one atomic read, so its own balance holds at any load; the units that were counted entry by
 * entry are only believed when nothing moved while they were counted.
 */
export function planCounters({ first, last, liveUnits }: CountersView): CountersPlan {
  const sold = liveUnits !== undefined && quiet(first, last) ? liveUnits : last.sold
  const expectedLeft = last.total + last.received - last.sent - sold
  const excess = last.left - expectedLeft
  if (excess > 0) return { finding: 'left-too-high', units: excess, expectedLeft }
  if (excess < 0) return { finding: 'left-too-low', units: -excess, expectedLeft }
  return undefined
}
