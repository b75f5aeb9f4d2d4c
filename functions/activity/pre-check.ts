/** The list that is gone through before a sale: is everything ready, and if not, what is to be done? */
import type { BucketSnapshot } from '@stampede/shared/sale/types.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { saleStateOf } from './activity-state.ts'
import type { OrderCounts } from './consistency.ts'
import type { AllocationFacts, LiveFacts } from './other-functions.ts'
import { sums } from './sale.ts'
import type { Activity } from './store.ts'

export type PreCheckItem = {
  item: 'activity' | 'allocation' | 'sale-in-redis' | 'seckill' | 'messages' | 'order'
  ok: boolean
  detail: string
  /** What to do when it is not ok. */
  action: string | null
}
export type PreCheck = { ok: boolean; items: PreCheckItem[]; checkedAt: string }

/** A fact, or why it could not be learned. */
export type Learned<T> = { known: true; value: T } | { known: false; reason: string }

export async function learn<T>(asking: Promise<T>): Promise<Learned<T>> {
  try {
    return { known: true, value: await asking }
  } catch (error) {
    // Only the words of a Problem are for people; others may hold addresses and secrets.
    return { known: false, reason: error instanceof Problem ? error.detail : 'no answer' }
  }
}

export type PreCheckView = {
  activity: Activity
  nowMs: number
  allocation: Learned<AllocationFacts | undefined>
  buckets: Learned<(BucketSnapshot | undefined)[]>
  seckill: Learned<void>
  live: Learned<LiveFacts | undefined>
  orders: Learned<OrderCounts | undefined>
}

/** More waiting messages than this before a sale mean that somebody does not work. */
const highestLag = 10_000
const readyStates = new Set(['warmed-up', 'open', 'paused'])

function activityItem({ activity, nowMs }: PreCheckView): Omit<PreCheckItem, 'item'> {
  if (!readyStates.has(activity.state)) {
    const action =
      activity.state === 'draft'
        ? 'Schedule the activity.'
        : activity.state === 'scheduled'
          ? 'Wait for the allocation and the warm-up, or ask for the warm-up now.'
          : activity.state === 'allocation-refused'
            ? 'Lower the stock or add stock to the variant, then schedule again.'
            : 'Create a new activity: this one is over.'
    return { ok: false, detail: `the activity is ${activity.state}`, action }
  }
  if (Date.parse(activity.endsAt) <= nowMs)
    return { ok: false, detail: 'the window is over', action: 'Close the activity.' }
  return { ok: true, detail: `${activity.state}, from ${activity.startsAt} to ${activity.endsAt}`, action: null }
}

function allocationItem({ activity, allocation }: PreCheckView): Omit<PreCheckItem, 'item'> {
  if (!allocation.known)
    return { ok: false, detail: `inventory: ${allocation.reason}`, action: 'Look at the function inventory.' }
  const facts = allocation.value
  if (!facts)
    return {
      ok: false,
      detail: 'inventory has not heard of the activity',
      action: 'Wait a moment; then look at the events of activity and inventory.',
    }
  const ok = facts.state === 'allocated' && facts.quantity === activity.stock
  return {
    ok,
    detail: `${facts.state}, ${facts.quantity} of ${activity.stock} units`,
    action: ok ? null : 'Schedule again with a stock that the variant has.',
  }
}

function saleItem({ activity, buckets }: PreCheckView): Omit<PreCheckItem, 'item'> {
  if (!buckets.known) return { ok: false, detail: `Redis: ${buckets.reason}`, action: 'Look at Redis.' }
  const present = buckets.value.filter((bucket) => bucket !== undefined)
  if (present.length < activity.buckets) {
    return {
      ok: false,
      detail: `${present.length} of ${activity.buckets} buckets are loaded`,
      action: 'Ask for the warm-up.',
    }
  }
  const differences: string[] = []
  const { total } = sums(present)
  if (total !== activity.stock) differences.push(`stock is ${total}, not ${activity.stock}`)
  for (const bucket of present) {
    if (bucket.startsAtMs !== Date.parse(activity.startsAt) || bucket.endsAtMs !== Date.parse(activity.endsAt))
      differences.push('the window differs')
    if (bucket.perUserLimit !== activity.perUserLimit)
      differences.push(`the limit is ${bucket.perUserLimit}, not ${activity.perUserLimit}`)
    if (bucket.state !== saleStateOf(activity.state)) differences.push(`the sale is ${bucket.state}`)
    if (!bucket.whole) differences.push('Redis was restarted and recovers')
  }
  const unique = [...new Set(differences)]
  if (unique.length > 0)
    return { ok: false, detail: unique.join('; '), action: 'Look at the newest reconciliation run; do not open.' }
  return { ok: true, detail: `${total} units in ${activity.buckets} buckets, exact window`, action: null }
}

function messagesItem({ buckets, live }: PreCheckView): Omit<PreCheckItem, 'item'> {
  const waiting = buckets.known ? sums(buckets.value).outboxLength : 0
  const lag = live.known ? live.value?.kafkaLag : undefined
  const ok = waiting <= highestLag && (lag ?? 0) <= highestLag
  return {
    ok,
    detail: `${waiting} wait for Kafka, ${lag ?? 'an unknown number'} wait for order`,
    action: ok ? null : 'Look at the relay of seckill and at the functions that consume.',
  }
}

function orderItem({ activity, orders }: PreCheckView): Omit<PreCheckItem, 'item'> {
  if (!orders.known) return { ok: false, detail: `order: ${orders.reason}`, action: 'Look at the function order.' }
  const allocated = orders.value?.allocated
  const ok = allocated === activity.stock
  return {
    ok,
    detail:
      allocated === undefined
        ? 'order does not know the allocation'
        : `order knows ${allocated} of ${activity.stock} units`,
    action: ok ? null : 'Wait a moment; then look at the delivery of inventory.allocated to order.',
  }
}

export function preCheck(view: PreCheckView): PreCheck {
  const items: PreCheckItem[] = [
    { item: 'activity', ...activityItem(view) },
    { item: 'allocation', ...allocationItem(view) },
    { item: 'sale-in-redis', ...saleItem(view) },
    view.seckill.known
      ? { item: 'seckill', ok: true, detail: 'ready', action: null }
      : {
          item: 'seckill',
          ok: false,
          detail: view.seckill.reason,
          action: 'Look at the function seckill and what it needs.',
        },
    { item: 'messages', ...messagesItem(view) },
    { item: 'order', ...orderItem(view) },
  ]
  return { ok: items.every((item) => item.ok), items, checkedAt: new Date(view.nowMs).toISOString() }
}
