/** After the sale: do Redis, the orders and the allocation tell the same story? Pure. */
import type { BucketSnapshot } from '@stampede/shared/sale/types.ts'

/** What order counts for an activity. */
export type OrderCounts = {
  /** Units that may be sold; undefined when order does not know the activity. */
  allocated: number | undefined
  /** Units of orders that hold stock, as the allocation counts them. */
  sold: number
  /** Orders and units by state. */
  byState: Record<string, { orders: number; units: number }>
  /** Purchases by reason that did not become orders. */
  rejected: Record<string, number>
}

export type Check = { check: string; ok: boolean; detail: string }
export type Consistency = { ok: boolean; checks: Check[]; sold: number; unsold: number; checkedAt: string }

export type ConsistencyView = {
  stock: number
  buckets: readonly (BucketSnapshot | undefined)[]
  orders: OrderCounts
  /** Units set aside by inventory; undefined when it does not know the activity. */
  allocated: number | undefined
  /** Kinds of the open findings of the newest reconciliation. */
  openFindings: readonly string[]
  checkedAt: string
}

const releasedStates = new Set(['cancelled', 'refunded'])
/** Fewer units on offer than possible harms nobody once the sale is over: what is unsold is counted from the orders. */
const harmlessFindings = new Set(['left-too-low'])

export function checkConsistency(view: ConsistencyView): Consistency {
  const { stock, orders, openFindings } = view
  const buckets = view.buckets.filter((bucket) => bucket !== undefined)
  const sum = (field: 'total' | 'left' | 'sold' | 'outboxLength') =>
    buckets.reduce((units, bucket) => units + bucket[field], 0)
  const live = Object.entries(orders.byState).reduce(
    (units, [state, of]) => units + (releasedStates.has(state) ? 0 : of.units),
    0,
  )
  const pending = orders.byState['pending-payment']?.orders ?? 0
  const refunding = orders.byState['refunding']?.orders ?? 0
  const complete = buckets.length === view.buckets.length
  const blocking = openFindings.filter((kind) => !harmlessFindings.has(kind))
  const checks: Check[] = [
    {
      check: 'sale-in-redis',
      ok: complete && buckets.every((bucket) => bucket.whole),
      detail: complete
        ? 'all buckets are there'
        : `${view.buckets.length - buckets.length} of ${view.buckets.length} buckets are missing`,
    },
    { check: 'stock', ok: sum('total') === stock, detail: `${sum('total')} units in Redis, ${stock} in the activity` },
    { check: 'outbox-empty', ok: sum('outboxLength') === 0, detail: `${sum('outboxLength')} messages wait for Kafka` },
    {
      check: 'redis-and-orders',
      ok: sum('sold') === live,
      detail: `${sum('sold')} units sold in Redis, ${live} in orders`,
    },
    {
      check: 'orders-and-allocation',
      ok: orders.sold === live,
      detail: `${orders.sold} units taken from the allocation, ${live} in orders`,
    },
    {
      check: 'not-oversold',
      ok: live <= stock && sum('left') <= stock - live,
      detail: `${live} of ${stock} units sold, ${sum('left')} still on offer`,
    },
    {
      check: 'allocation',
      ok: view.allocated === stock && orders.allocated === stock,
      detail: `${view.allocated ?? 'no'} units set aside by inventory, ${orders.allocated ?? 'no'} known to order`,
    },
    {
      check: 'nothing-pending',
      ok: pending + refunding === 0,
      detail: `${pending} orders wait for payment, ${refunding} for a refund`,
    },
    {
      check: 'reconciliation',
      ok: blocking.length === 0,
      detail: blocking.length === 0 ? 'no open findings' : `open: ${blocking.join(', ')}`,
    },
  ]
  return { ok: checks.every((check) => check.ok), checks, sold: live, unsold: stock - live, checkedAt: view.checkedAt }
}
