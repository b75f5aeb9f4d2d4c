/** What the fate of an order does to the sale. Plain operations with effects passed in: the simulation runs them too. */
import { bucketOf } from '@stampede/shared/sale/bucket.ts'
import type { BucketRef, SaleStore } from '@stampede/shared/sale/types.ts'

export type OrderRef = { userId: string; orderNumber: string }
export type OrdersOfActivity = { tenantId: string; activityId: string; orders: readonly OrderRef[] }

export type SettleEffects = {
  store: Pick<SaleStore, 'confirm' | 'release'>
  /** How many buckets the sale has; undefined when Redis does not know it (settled and expired). */
  bucketsOf(tenantId: string, activityId: string): Promise<number | undefined>
  /** Both remember what was done, in case Redis loses its last second. */
  released(bucket: BucketRef, orders: readonly OrderRef[]): void
  confirmed(bucket: BucketRef, orders: readonly OrderRef[]): void
}

function byBucket({ tenantId, activityId, orders }: OrdersOfActivity, buckets: number): [BucketRef, OrderRef[]][] {
  const groups = new Map<number, OrderRef[]>()
  for (const { userId, orderNumber } of orders) {
    const bucket = bucketOf(userId, buckets)
    const group = groups.get(bucket)
    if (group) group.push({ userId, orderNumber })
    else groups.set(bucket, [{ userId, orderNumber }])
  }
  return [...groups].map(([bucket, group]) => [{ tenantId, activityId, bucket }, group])
}

/** Marks purchases as stored. Idempotent. Returns how many were marked now. */
export async function confirmOrders(batch: OrdersOfActivity, effects: SettleEffects): Promise<number> {
  const buckets = await effects.bucketsOf(batch.tenantId, batch.activityId)
  if (buckets === undefined) return 0
  const counts = await Promise.all(
    byBucket(batch, buckets).map(async ([bucket, orders]) => {
      const confirmed = await effects.store.confirm(bucket, orders)
      effects.confirmed(bucket, orders)
      return confirmed
    }),
  )
  return counts.reduce((sum, count) => sum + count, 0)
}

/** Gives stock and the right to buy back, once for each order number however often it is called. Returns how many were released now. */
export async function releaseOrders(batch: OrdersOfActivity, effects: SettleEffects): Promise<number> {
  const buckets = await effects.bucketsOf(batch.tenantId, batch.activityId)
  if (buckets === undefined) return 0
  const counts = await Promise.all(
    byBucket(batch, buckets).map(async ([bucket, orders]) => {
      const released = await effects.store.release(bucket, orders)
      // Also those that were released before: the release may be what Redis forgets.
      effects.released(bucket, orders)
      return released
    }),
  )
  return counts.reduce((sum, count) => sum + count, 0)
}
