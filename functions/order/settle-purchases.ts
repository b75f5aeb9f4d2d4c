/**
 * Decides what becomes of accepted purchases. Each is decided on its own, whatever it arrived with.
 *
 * Almost always all of a group can be stored: then it is inserted without looking first. Anything unusual (a message that came
 * twice, an exhausted allocation, a buyer over the limit, terms that changed) rolls that back, and the careful path looks up what
 * exists, holding the allocations, and decides one purchase after the other.
 */
import { earliest } from '@stampede/shared/alarms/grid.ts'
import { orderNumberTimeMs, type OrderNumber } from '@stampede/shared/ids/order-number.ts'
import type { AcceptedPurchase } from '@stampede/eventing/catalogue/events.ts'
import type {
  ActivityRef,
  Allocation,
  GroupAtOnce,
  KnownPurchase,
  NewOrder,
  OrderStore,
  OrderTransaction,
  PurchaseBatch,
  Rejection,
  RejectionReason,
} from './effects.ts'
import { createdEvents, rejectedEvents } from './order-events.ts'

export type PurchaseOutcome =
  | { outcome: 'stored' }
  | { outcome: 'already-stored' }
  | { outcome: 'rejected'; reason: RejectionReason }
  | { outcome: 'already-rejected'; reason: RejectionReason }
  /** The activity is not known here yet, and the purchase is young: deliver it again. */
  | { outcome: 'not-yet' }
  /** The order number belongs to another purchase: no honest producer sends that. */
  | { outcome: 'conflicting' }

export type SettlePolicy = {
  /** A purchase of an activity that stays unknown is rejected when it is older than this. */
  unknownActivityGraceMs: number
  /** A purchase accepted before the close is always an order. One accepted later than the close plus this is rejected; undefined: never. */
  rejectAfterCloseMs: number | undefined
}

export const defaultSettlePolicy: SettlePolicy = { unknownActivityGraceMs: 600_000, rejectAfterCloseMs: undefined }

/** Terms that this process has seen. They may be stale: the database checks their version. Keys from `activityKey`. */
export type KnownTerms = { get(key: string): Allocation | undefined; set(key: string, allocation: Allocation): unknown }

export type SettleEffects = {
  store: OrderStore
  terms: KnownTerms
  now: () => number
  policy: SettlePolicy
  /** Orders are about to be stored, of which one will be overdue at this moment. */
  deadline?: (payByMs: number) => Promise<void>
}

export const activityKey = (activity: ActivityRef): string => `${activity.tenantId}:${activity.activityId}`

/** An allocation that was unknown can be created at the same time; then it is known in the next attempt. */
const carefulAttempts = 3

/** Batches that are settled in one transaction. */
export type PurchaseGroup = {
  batches: readonly PurchaseBatch[]
  /** All of them as orders; undefined when that is known to be wrong. */
  atOnce: GroupAtOnce | undefined
}

/** One transaction for all batches. The outcomes are in the order of the batches and of their purchases, and durable. */
export const settlePurchases = (
  batches: readonly PurchaseBatch[],
  effects: SettleEffects,
): Promise<PurchaseOutcome[][]> => settleGroup(prepareGroup(batches, effects), effects)

/** All that needs no database. The terms it goes by may change before the group is settled: their version is checked there. */
export function prepareGroup(batches: readonly PurchaseBatch[], effects: SettleEffects): PurchaseGroup {
  const atOnce = groupAtOnce(batches, effects)
  if (atOnce) effects.store.prepareAtOnce(atOnce)
  return { batches, atOnce }
}

/** `meanwhile` is called when the database has all of the group and this process has time. */
export async function settleGroup(
  { batches, atOnce }: PurchaseGroup,
  effects: SettleEffects,
  meanwhile: () => void = () => {},
): Promise<PurchaseOutcome[][]> {
  if (atOnce) await tellDeadline(atOnce.orders, effects)
  if (atOnce && (await effects.store.storeAtOnce(atOnce, meanwhile))) {
    const stored = { outcome: 'stored' } as const
    return batches.map((batch) => batch.purchases.map(() => stored))
  }
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await decideOneByOne(batches, effects)
    } catch (error) {
      if (!effects.store.isDuplicate(error) || attempt >= carefulAttempts) throw error
    }
  }
}

function groupAtOnce(
  batches: readonly PurchaseBatch[],
  { terms, now, policy }: SettleEffects,
): GroupAtOnce | undefined {
  const units = new Map<string, { allocation: Allocation; units: number }>()
  const orders: NewOrder[] = []
  const nowMs = now()
  for (const batch of batches) {
    const key = activityKey(batch)
    const allocation = terms.get(key)
    if (!allocation || !takesEverything(allocation, policy)) return undefined
    const entry = units.get(key) ?? { allocation, units: 0 }
    units.set(key, entry)
    for (const purchase of batch.purchases) {
      entry.units += purchase.quantity
      orders.push(newOrder(purchase, allocation, nowMs))
    }
  }
  if (orders.length === 0) return undefined
  const allocations = [...units.values()]
    .map((entry) => ({
      tenantId: entry.allocation.tenantId,
      activityId: entry.allocation.activityId,
      termsVersion: entry.allocation.termsVersion,
      perUserLimit: entry.allocation.perUserLimit,
      hasRejections: entry.allocation.hasRejections,
      units: entry.units,
    }))
    .sort(byActivity)
  return { allocations, orders, events: createdEvents(orders, nowMs) }
}

/** No purchase of this activity needs a look at its time. */
function takesEverything(allocation: Allocation, policy: SettlePolicy): boolean {
  if (allocation.state === 'cancelled') return false
  return allocation.state === 'open' || policy.rejectAfterCloseMs === undefined
}

async function decideOneByOne(batches: readonly PurchaseBatch[], effects: SettleEffects): Promise<PurchaseOutcome[][]> {
  const { outcomes, allocations } = await effects.store.transaction((tx) => decideIn(tx, batches, effects))
  // After the commit only: what a rolled back transaction has read may never have been true.
  for (const [key, allocation] of allocations) effects.terms.set(key, allocation)
  return outcomes
}

/** The first of them is enough: whoever looks then sees when the next one is overdue. */
async function tellDeadline(orders: readonly NewOrder[], { deadline }: SettleEffects): Promise<void> {
  const payByMs = earliest(orders.map((order) => order.payByMs))
  if (payByMs !== undefined) await deadline?.(payByMs)
}

async function decideIn(tx: OrderTransaction, batches: readonly PurchaseBatch[], effects: SettleEffects) {
  const { now, policy } = effects
  // By position: the same delivery may be in the group twice.
  const outcomes = batches.map((): PurchaseOutcome[] => [])
  const byKey = Map.groupBy(batches.keys(), (at) => activityKey(batches[at] as PurchaseBatch))
  const activities = [...byKey.values()].map(([first]) => batches[first as number] as PurchaseBatch).sort(byActivity)
  const locked = await tx.lockAllocations(activities.map(({ tenantId, activityId }) => ({ tenantId, activityId })))
  const allocations = new Map(locked.map((allocation) => [activityKey(allocation), allocation]))
  for (const { tenantId, activityId } of activities) {
    if (!allocations.has(activityKey({ tenantId, activityId }))) await tx.holdUnknown({ tenantId, activityId })
  }
  // Read when everything is held: nobody decides about the same purchases at the same time.
  const known = await findKnown(tx, batches)
  const nowMs = now()

  const orders: NewOrder[] = []
  const rejections: Rejection[] = []
  for (const { tenantId, activityId } of activities) {
    const activity = { tenantId, activityId }
    const key = activityKey(activity)
    const allocation = allocations.get(key)
    const purchases = (byKey.get(key) ?? []).flatMap((at) =>
      (batches[at] as PurchaseBatch).purchases.map((purchase) => ({ at, purchase })),
    )
    const userIds = [...new Set(purchases.map(({ purchase }) => purchase.userId))]
    const liveUnits = allocation ? await tx.liveUnits(activity, userIds) : new Map<string, number>()
    let units = 0
    for (const { at, purchase } of purchases) {
      const knownAs = known.get(tenantId)?.get(purchase.orderNumber)
      const outcome = decidePurchase({
        purchase,
        activity,
        knownAs,
        allocation,
        unitsBefore: units,
        liveUnits,
        nowMs,
        policy,
      })
      outcomes[at]?.push(outcome)
      const { orderNumber, userId, quantity } = purchase
      if (outcome.outcome === 'stored' && allocation) {
        units += quantity
        liveUnits.set(userId, (liveUnits.get(userId) ?? 0) + quantity)
        orders.push(newOrder(purchase, allocation, nowMs))
      } else if (outcome.outcome === 'rejected') {
        rejections.push({
          tenantId,
          activityId,
          orderNumber,
          userId,
          quantity,
          reason: outcome.reason,
          rejectedAtMs: nowMs,
        })
      } else continue
      // The same number later in this group is a repeat.
      const rejectedFor = outcome.outcome === 'rejected' ? outcome.reason : undefined
      known.get(tenantId)?.set(orderNumber, { tenantId, activityId, userId, quantity, rejectedFor })
    }
    if (units > 0) await tx.addSold(activity, units)
  }
  if (orders.length > 0) await tx.insertOrders(orders)
  await tellDeadline(orders, effects)
  if (rejections.length > 0) await tx.insertRejections(rejections)
  const events = [...createdEvents(orders, nowMs), ...rejectedEvents(rejections, nowMs)]
  if (events.length > 0) await tx.addEvents(events)
  return { allocations, outcomes }
}

export type PurchaseFacts = {
  purchase: AcceptedPurchase
  activity: ActivityRef
  knownAs: KnownPurchase | undefined
  allocation: Allocation | undefined
  /** Units of this activity that this transaction has stored so far. */
  unitsBefore: number
  /** Units that buyers hold, those of this transaction included. */
  liveUnits: ReadonlyMap<string, number>
  nowMs: number
  policy: SettlePolicy
}

/** The decision about one purchase; pure. */
export function decidePurchase(facts: PurchaseFacts): PurchaseOutcome {
  const { purchase, activity, knownAs, allocation, policy, nowMs } = facts
  if (knownAs) {
    const same =
      knownAs.activityId === activity.activityId &&
      knownAs.userId === purchase.userId &&
      knownAs.quantity === purchase.quantity
    if (!same) return { outcome: 'conflicting' }
    return knownAs.rejectedFor === undefined
      ? { outcome: 'already-stored' }
      : { outcome: 'already-rejected', reason: knownAs.rejectedFor }
  }
  const acceptedAtMs = orderNumberTimeMs(purchase.orderNumber)
  if (!allocation) {
    // Events of different origin arrive in any order: the allocation may be on its way.
    if (nowMs - acceptedAtMs < policy.unknownActivityGraceMs) return { outcome: 'not-yet' }
    return { outcome: 'rejected', reason: 'activity-unknown' }
  }
  if (allocation.state === 'cancelled') return { outcome: 'rejected', reason: 'activity-closed' }
  if (policy.rejectAfterCloseMs !== undefined && allocation.closedAtMs !== undefined) {
    if (acceptedAtMs > allocation.closedAtMs + policy.rejectAfterCloseMs)
      return { outcome: 'rejected', reason: 'activity-closed' }
  }
  const held = facts.liveUnits.get(purchase.userId) ?? 0
  if (held + purchase.quantity > allocation.perUserLimit) return { outcome: 'rejected', reason: 'over-limit' }
  if (allocation.sold + facts.unitsBefore + purchase.quantity > allocation.allocated) {
    return { outcome: 'rejected', reason: 'allocation-exhausted' }
  }
  return { outcome: 'stored' }
}

type KnownByTenant = Map<string, Map<OrderNumber, KnownPurchase>>

async function findKnown(tx: OrderTransaction, batches: readonly PurchaseBatch[]): Promise<KnownByTenant> {
  const known: KnownByTenant = new Map()
  for (const [tenantId, ofTenant] of Map.groupBy(batches, (batch) => batch.tenantId)) {
    const orderNumbers = ofTenant.flatMap((batch) => batch.purchases.map((purchase) => purchase.orderNumber))
    known.set(tenantId, await tx.findKnown(tenantId, [...new Set(orderNumbers)]))
  }
  return known
}

function newOrder(purchase: AcceptedPurchase, allocation: Allocation, nowMs: number): NewOrder {
  return {
    tenantId: allocation.tenantId,
    activityId: allocation.activityId,
    orderNumber: purchase.orderNumber,
    userId: purchase.userId,
    quantity: purchase.quantity,
    amountCents: allocation.priceCents * purchase.quantity,
    currency: allocation.currency,
    acceptedAtMs: orderNumberTimeMs(purchase.orderNumber),
    createdAtMs: nowMs,
    // From now, not from the acceptance: a buyer whose order was held up has the whole time to pay.
    payByMs: nowMs + allocation.paymentTimeoutSeconds * 1_000,
  }
}

/** Locks are taken in one order everywhere, so that two writers never wait for each other. */
export function byActivity(one: ActivityRef, other: ActivityRef): number {
  return compare(one.tenantId, other.tenantId) || compare(one.activityId, other.activityId)
}

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0)
