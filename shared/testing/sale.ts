/** Sales of tests: own random activities, so that tests share one Redis without meeting. */
import { randomBytes } from 'node:crypto'
import { orderNumbers } from '../ids/order-number.ts'
import type { BucketRef, BucketSnapshot, Purchase, PurchaseVerdict, SaleDefinition, SaleStore } from '../sale/types.ts'

const nextOrderNumber = orderNumbers()

/** A sale that runs now. */
export function newSale(overrides: Partial<SaleDefinition> = {}): SaleDefinition {
  return {
    tenantId: 'test',
    activityId: `sale-${randomBytes(8).toString('hex')}`,
    stock: 10,
    perUserLimit: 1,
    buckets: 1,
    startsAtMs: 0,
    endsAtMs: Date.now() + 3_600_000,
    ...overrides,
  }
}

export function bucketRef(sale: { tenantId: string; activityId: string }, bucket = 0): BucketRef {
  return { tenantId: sale.tenantId, activityId: sale.activityId, bucket }
}

export function bucketRefs(sale: SaleDefinition): BucketRef[] {
  return Array.from({ length: sale.buckets }, (_, bucket) => bucketRef(sale, bucket))
}

/** One press of "buy" with a new order number. */
export function press(userId: string, quantity = 1, idempotencyKey?: string): Purchase {
  return { userId, quantity, orderNumber: nextOrderNumber(), idempotencyKey }
}

export async function buy(store: SaleStore, bucket: BucketRef, ...purchases: Purchase[]): Promise<PurchaseVerdict[]> {
  return (await store.purchase(bucket, purchases)).verdicts
}

/** Fails when the sale does not exist. */
export async function snapshotOf(store: SaleStore, bucket: BucketRef): Promise<BucketSnapshot> {
  const snapshot = await store.snapshot(bucket)
  if (!snapshot) throw new Error(`no bucket ${bucket.bucket} of ${bucket.activityId}`)
  return snapshot
}

/** Units that the outbox holds in live messages; reads all entries that were not read before. */
export async function readMessages(
  store: SaleStore,
  bucket: BucketRef,
): Promise<{ userId: string; quantity: number; orderNumber: string }[]> {
  const messages = []
  for (;;) {
    const entries = await store.readOutbox(bucket, 'test', 1_000)
    if (entries.length === 0) return messages
    messages.push(...entries.flatMap((entry) => entry.purchases))
  }
}
