/**
 * Compares one bucket of a sale with its orders and repairs what is safe. Effects are passed in: production gives Redis and
 * order's HTTP, the simulation its own.
 *
 * Order of the reads, so that what moves in between cannot become a false repair:
 * 1. snapshot, then the buyers page by page, then what order says of exactly those purchases. The purchases are older than the
 *    grace, so they were accepted before the snapshot: an empty outbox there means that their messages left it.
 * 2. orders page by page, then their buyers in Redis, then, only for those that Redis lacks, the orders once more: still live
 *    after Redis was read means live while Redis was read.
 * 3. snapshot again, for the counters.
 */
import { orderNumberTimeMs } from '@stampede/shared/ids/order-number.ts'
import type { BucketSnapshot, BuyerEntry, SaleOperation } from '@stampede/shared/sale/types.ts'
import {
  planCounters,
  planRepairs,
  type CountersView,
  type Decision,
  type FindingKind,
  type OrderFact,
  type Pair,
  type Repair,
  type RepairRules,
} from './plan-repairs.ts'

export type OrderLine = { orderNumber: string; userId: string; quantity: number; fact: OrderFact }
type Line = { userId: string; orderNumber: string }

export type BucketEffects = {
  now(): number
  snapshot(): Promise<BucketSnapshot | undefined>
  scanBuyers(
    cursor: string,
    count: number,
  ): Promise<{ cursor: string; buyers: { userId: string; entries: BuyerEntry[] }[] }>
  buyers(userIds: readonly string[]): Promise<BuyerEntry[][]>
  release(orders: readonly Line[]): Promise<number>
  confirm(orders: readonly Line[]): Promise<number>
  restore(operations: readonly SaleOperation[]): Promise<number>
  resend(orders: readonly Line[]): Promise<number>
  lowerLeft(expectedLeft: number): Promise<number>
  finishTransfers(): Promise<number>
  /** Moves units of other buckets into this one, whose `left` is negative: together they must not offer what is sold. Returns the units moved. */
  cover(units: number): Promise<number>
  /** Orders of this bucket's buyers, by order number; `next` undefined at the end. A page may be empty and have a next. */
  orderPage(after: string | undefined): Promise<{ orders: readonly OrderLine[]; next: string | undefined }>
  /** What order says of these numbers; numbers that it does not know may be left out. */
  lookUpOrders(orderNumbers: readonly string[]): Promise<readonly { orderNumber: string; fact: OrderFact }[]>
  /** How often each was sent again already; numbers without a resend may be left out. */
  resendCounts(orderNumbers: readonly string[]): Promise<ReadonlyMap<string, number>>
  /** Counts a resend; called before it happens, so that a crash cannot make it endless. */
  countResends(orderNumbers: readonly string[]): Promise<void>
}

export type BucketLimits = RepairRules & {
  /** Buyers and orders a page; repairs come in lists of at most this length, and scripts take 256. */
  pageSize: number
  /** Buyers whose entries are counted at most, so that memory stays bounded. */
  maximumCounted: number
  /** Pages of a direction at most; the rest is looked at in the next run. */
  maximumPages: number
}

export const defaultBucketLimits: BucketLimits = {
  graceMs: 60_000,
  maximumResends: 5,
  pageSize: 250,
  maximumCounted: 200_000,
  maximumPages: 20_000,
}

/** One kind of difference, with how often it occurred and some of the purchases. */
export type Finding = {
  kind: FindingKind
  repair: Repair | 'lower-left' | 'finish-transfers' | 'cover' | 'rebuild'
  count: number
  units: number
  repaired: number
  orderNumbers: string[]
}

export type BucketResult =
  | { status: 'missing' | 'recovering' }
  | { status: 'compared'; findings: Finding[]; last: BucketSnapshot; buyers: number; orders: number }

const sampleSize = 20

export function createFindings() {
  const byKind = new Map<string, Finding>()
  return {
    add(
      kind: FindingKind,
      repair: Finding['repair'],
      occurred: { count: number; units: number; repaired: number; orderNumbers?: string[] },
    ) {
      if (occurred.count === 0) return
      const finding = byKind.get(`${kind} ${repair}`) ?? {
        kind,
        repair,
        count: 0,
        units: 0,
        repaired: 0,
        orderNumbers: [],
      }
      finding.count += occurred.count
      finding.units += occurred.units
      finding.repaired += occurred.repaired
      finding.orderNumbers.push(...(occurred.orderNumbers ?? []).slice(0, sampleSize - finding.orderNumbers.length))
      byKind.set(`${kind} ${repair}`, finding)
    },
    list: () => [...byKind.values()],
  }
}

const isLive = (entry: BuyerEntry) => entry.status !== 'released'
const unitsOf = (lines: readonly { quantity: number }[]) => lines.reduce((sum, line) => sum + line.quantity, 0)

async function applyRepair(repair: Repair, pairs: readonly Pair[], effects: BucketEffects): Promise<number> {
  const orderNumbers = pairs.map((pair) => pair.orderNumber)
  switch (repair) {
    case 'confirm':
      return effects.confirm(pairs)
    case 'release':
      return effects.release(pairs)
    case 'resend':
      await effects.countResends(orderNumbers)
      return effects.resend(pairs)
    case 'restore': {
      const restored = await effects.restore(
        pairs.map(({ userId, quantity, orderNumber }) => ({ kind: 'purchase', userId, quantity, orderNumber })),
      )
      await effects.confirm(pairs)
      // An order may have ended between the last look and the restore, and its release may have found nothing to release.
      const ended = new Set(
        (await effects.lookUpOrders(orderNumbers))
          .filter(({ fact }) => fact === 'ended')
          .map((order) => order.orderNumber),
      )
      if (ended.size > 0) await effects.release(pairs.filter((pair) => ended.has(pair.orderNumber)))
      return restored
    }
    case 'none':
  }
  return 0
}

export async function reconcileBucket(
  effects: BucketEffects,
  limits: BucketLimits = defaultBucketLimits,
): Promise<BucketResult> {
  const nowMs = effects.now()
  const first = await effects.snapshot()
  if (!first) return { status: 'missing' }
  // The journals of the processes go first: they know the last second, which no order may know yet.
  if (!first.whole) return { status: 'recovering' }
  const findings = createFindings()
  const transfers = await effects.finishTransfers()
  findings.add('unfinished-transfers', 'finish-transfers', { count: transfers, units: 0, repaired: transfers })

  const judge = async (pairs: readonly Pair[]) => {
    const decisions = planRepairs({ ...limits, nowMs, outboxEmpty: first.outboxLength === 0, pairs })
    for (const [, group] of Map.groupBy(decisions, (decision: Decision) => `${decision.finding} ${decision.repair}`)) {
      const { finding, repair } = group[0] as Decision
      const chosen = group.map((decision) => decision.pair)
      const repaired = await applyRepair(repair, chosen, effects)
      const orderNumbers = chosen.map((pair) => pair.orderNumber)
      findings.add(finding, repair, { count: chosen.length, units: unitsOf(chosen), repaired, orderNumbers })
    }
  }

  const counted = await compareBuyers(effects, limits, nowMs, judge)
  const orders = await compareOrders(effects, limits, judge)

  const last = await effects.snapshot()
  if (!last) return { status: 'missing' }
  if (!last.whole) return { status: 'recovering' }
  await judgeCounters(effects, { first, last, liveUnits: counted.liveUnits }, findings)
  return { status: 'compared', findings: findings.list(), last, buyers: counted.buyers, orders }
}

async function judgeCounters(
  effects: BucketEffects,
  view: CountersView,
  findings: ReturnType<typeof createFindings>,
): Promise<void> {
  const plan = planCounters(view)
  if (plan?.finding === 'left-too-high') {
    // A release since the snapshot raised `left` rightly; lowering it to what was expected before would lose those units.
    const again = await effects.snapshot()
    const unchanged = again?.version === view.last.version && again.received === view.last.received
    const removed = unchanged ? await effects.lowerLeft(Math.max(0, plan.expectedLeft)) : 0
    findings.add(plan.finding, 'lower-left', { count: 1, units: plan.units, repaired: removed > 0 ? 1 : 0 })
  } else if (plan) {
    findings.add(plan.finding, 'none', { count: 1, units: plan.units, repaired: 0 })
  }
  if (view.last.left < 0) {
    const units = -view.last.left
    const moved = await effects.cover(units)
    findings.add('left-negative', 'cover', { count: 1, units, repaired: moved >= units ? 1 : 0 })
  }
}

type Judge = (pairs: readonly Pair[]) => Promise<void>

/** Redis against orders: every live purchase older than the grace. */
async function compareBuyers(effects: BucketEffects, limits: BucketLimits, nowMs: number, judge: Judge) {
  const seen = new Set<string>()
  let liveUnits: number | undefined = 0
  let buyers = 0
  let cursor = '0'
  for (let pages = 0; pages < limits.maximumPages; pages++) {
    const page = await effects.scanBuyers(cursor, limits.pageSize)
    const old: Omit<Pair, 'order' | 'resends'>[] = []
    for (const { userId, entries } of page.buyers) {
      // A scan may show a buyer twice.
      if (liveUnits !== undefined && seen.has(userId)) continue
      buyers++
      const live = entries.filter(isLive)
      for (const { orderNumber, quantity, status } of live) {
        if (nowMs - orderNumberTimeMs(orderNumber) >= limits.graceMs)
          old.push({ orderNumber, userId, quantity, redis: status })
      }
      if (liveUnits === undefined) continue
      seen.add(userId)
      liveUnits = seen.size > limits.maximumCounted ? undefined : liveUnits + unitsOf(live)
      if (liveUnits === undefined) seen.clear()
    }
    for (let start = 0; start < old.length; start += limits.pageSize) {
      const some = old.slice(start, start + limits.pageSize)
      const numbers = some.map((pair) => pair.orderNumber)
      const facts = new Map((await effects.lookUpOrders(numbers)).map((order) => [order.orderNumber, order.fact]))
      const unknown = numbers.filter((number) => (facts.get(number) ?? 'unknown') === 'unknown')
      const resends = unknown.length > 0 ? await effects.resendCounts(unknown) : new Map<string, number>()
      await judge(
        some.map((pair) => ({
          ...pair,
          order: facts.get(pair.orderNumber) ?? 'unknown',
          resends: resends.get(pair.orderNumber) ?? 0,
        })),
      )
    }
    cursor = page.cursor
    if (cursor === '0') return { buyers, liveUnits }
  }
  return { buyers, liveUnits: undefined }
}

/** Orders against Redis: every live order must have its entry. Returns the number of orders seen. */
async function compareOrders(effects: BucketEffects, limits: BucketLimits, judge: Judge): Promise<number> {
  let seen = 0
  let after: string | undefined
  for (let pages = 0; pages < limits.maximumPages; pages++) {
    const page = await effects.orderPage(after)
    seen += page.orders.length
    const live = page.orders.filter((order) => order.fact === 'live')
    for (let start = 0; start < live.length; start += limits.pageSize) {
      const absent = await missingFrom(effects, live.slice(start, start + limits.pageSize))
      if (absent.length === 0) continue
      const again = await effects.lookUpOrders(absent.map((pair) => pair.orderNumber))
      const stillLive = new Set(again.filter(({ fact }) => fact === 'live').map((order) => order.orderNumber))
      await judge(absent.filter((pair) => stillLive.has(pair.orderNumber)))
    }
    if (page.next === undefined) return seen
    after = page.next
  }
  return seen
}

/** The orders that have no live entry in Redis. */
async function missingFrom(effects: BucketEffects, orders: readonly OrderLine[]): Promise<Pair[]> {
  const entriesOf = await effects.buyers(orders.map((order) => order.userId))
  return orders.flatMap(({ orderNumber, userId, quantity }, index) => {
    const entry = entriesOf[index]?.find((candidate) => candidate.orderNumber === orderNumber)
    if (entry && isLive(entry)) return []
    return [
      {
        orderNumber,
        userId,
        quantity,
        redis: entry ? ('released' as const) : ('missing' as const),
        order: 'live' as const,
        resends: 0,
      },
    ]
  })
}
