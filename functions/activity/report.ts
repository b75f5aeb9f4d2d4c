/** What is told of a sale afterwards (and while it runs): one object, shown as JSON, CSV and a page. */
import { z } from 'zod'
import { orderNumberTimeMs } from '@stampede/shared/ids/order-number.ts'
import type { OrderCounts } from './consistency.ts'
import type { OrderPage } from './other-functions.ts'
import { termsOf } from './terms.ts'
import type { Activity, Sample, Transition } from './store.ts'

export const reportShape = z.object({
  activity: z.object({
    tenantId: z.string(),
    activityId: z.string(),
    name: z.string(),
    variantId: z.string(),
    state: z.string(),
    stock: z.int(),
    perUserLimit: z.int(),
    buckets: z.int(),
    startsAt: z.string(),
    endsAt: z.string(),
    priceCents: z.int(),
    currency: z.string(),
    paymentTimeoutSeconds: z.int(),
  }),
  /** Units. sold: of orders that hold stock. */
  units: z.object({ allocated: z.int(), sold: z.int(), unsold: z.int(), oversold: z.int() }),
  /** Purchases that were accepted, and what became of them. accepted = stored + rejected + waiting. */
  funnel: z.object({
    accepted: z.int(),
    waiting: z.int(),
    rejected: z.int(),
    stored: z.int(),
    pending: z.int(),
    paid: z.int(),
    cancelled: z.int(),
    refunded: z.int(),
  }),
  /** Gross: paid units times price, in minor units. */
  revenueCents: z.int(),
  /** Presses that were refused, by reason, as far as the clock sampled them. */
  refused: z.record(z.string(), z.int()),
  /** Accepted purchases that order refused, by reason. */
  rejectedByReason: z.record(z.string(), z.int()),
  /** Units sold (of stored orders, by the time of acceptance) in each step, and all together until its end. */
  soldOverTime: z.object({
    stepMs: z.int(),
    /** Not all orders were read. */
    truncated: z.boolean(),
    points: z.array(z.object({ at: z.string(), units: z.int(), cumulative: z.int() })),
  }),
  history: z.array(
    z.object({ at: z.string(), command: z.string(), from: z.string(), to: z.string(), actor: z.string() }),
  ),
  consistency: z.unknown(),
  reconciliation: z.unknown(),
  generatedAt: z.string(),
})
export type Report = z.output<typeof reportShape>

const pageSize = 1_000
/** A page of orders is one call: a report reads 400,000 orders at most. */
const maximumPages = 400
const pointsWanted = 60
const steps = [
  100, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000, 21_600_000, 86_400_000,
]

type Sold = { atMs: number; units: number }

/** Reads all orders of an activity; cancelled ones were sold too, for a while, and count where they happened. */
export async function readSold(
  orderPage: (after: string | undefined, limit: number) => Promise<OrderPage>,
): Promise<{ sold: Sold[]; truncated: boolean }> {
  const sold: Sold[] = []
  let after: string | undefined
  for (let pages = 0; pages < maximumPages; pages++) {
    const page = await orderPage(after, pageSize)
    for (const { orderNumber, quantity } of page.orders)
      sold.push({ atMs: orderNumberTimeMs(orderNumber), units: quantity })
    if (!page.next) return { sold, truncated: false }
    after = page.next
  }
  return { sold, truncated: true }
}

/** Gathers sales into at most about 60 equal steps of a round length. */
export function overTime(sold: readonly Sold[], truncated: boolean): Report['soldOverTime'] {
  if (sold.length === 0) return { stepMs: 1_000, truncated, points: [] }
  let firstMs = Infinity
  let lastMs = -Infinity
  for (const { atMs } of sold) {
    firstMs = Math.min(firstMs, atMs)
    lastMs = Math.max(lastMs, atMs)
  }
  const stepMs =
    steps.find((step) => (lastMs - firstMs) / step <= pointsWanted) ?? Math.ceil((lastMs - firstMs) / pointsWanted)
  const beginMs = Math.floor(firstMs / stepMs) * stepMs
  const units = Array.from({ length: Math.floor((lastMs - beginMs) / stepMs) + 1 }, () => 0)
  for (const sale of sold) {
    const step = Math.floor((sale.atMs - beginMs) / stepMs)
    units[step] = (units[step] ?? 0) + sale.units
  }
  let cumulative = 0
  const points = units.map((inStep, index) => {
    cumulative += inStep
    return { at: new Date(beginMs + index * stepMs).toISOString(), units: inStep, cumulative }
  })
  return { stepMs, truncated, points }
}

export type ReportView = {
  activity: Activity
  orders: OrderCounts | undefined
  /** Accepted purchases in Redis that order has not confirmed. */
  waiting: number
  soldOverTime: Report['soldOverTime']
  samples: readonly Sample[]
  history: readonly Transition[]
  nowMs: number
}

const paidStates = ['paid', 'shipped', 'delivered', 'completed', 'refunding'] as const

export function buildReport(view: ReportView): Report {
  const { activity, history, nowMs } = view
  const byState = view.orders?.byState ?? {}
  const of = (state: string) => byState[state] ?? { orders: 0, units: 0 }
  const total = (states: readonly string[], field: 'orders' | 'units') =>
    states.reduce((sum, state) => sum + of(state)[field], 0)
  const all = Object.keys(byState)
  const stored = total(all, 'orders')
  const rejectedByReason = view.orders?.rejected ?? {}
  const rejected = Object.values(rejectedByReason).reduce((sum, orders) => sum + orders, 0)
  const sold = total(
    all.filter((state) => state !== 'cancelled' && state !== 'refunded'),
    'units',
  )
  const refused = view.samples.findLast((sample) => sample.refused !== null)?.refused ?? {}
  const { tenantId, activityId, ...terms } = termsOf(activity)
  return {
    activity: { tenantId, activityId, ...terms, state: activity.state },
    units: {
      allocated: activity.stock,
      sold,
      unsold: Math.max(0, activity.stock - sold),
      oversold: Math.max(0, sold - activity.stock),
    },
    funnel: {
      accepted: stored + rejected + view.waiting,
      waiting: view.waiting,
      rejected,
      stored,
      pending: of('pending-payment').orders,
      paid: total(paidStates, 'orders'),
      cancelled: of('cancelled').orders,
      refunded: of('refunded').orders,
    },
    revenueCents: total(paidStates, 'units') * activity.priceCents,
    refused,
    rejectedByReason,
    soldOverTime: view.soldOverTime,
    history: history.map(({ at, command, from, to, actor }) => ({ at, command, from, to, actor })),
    consistency: activity.consistency,
    reconciliation: activity.reconciliation,
    generatedAt: new Date(nowMs).toISOString(),
  }
}
