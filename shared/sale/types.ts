/**
 * The protocol of a sale in Redis, as functions see it. `ARCHITECTURE.md` ("The sale in Redis") says how it works and why;
 * `redis-sale-store.ts` is the implementation over the scripts in `lua/`; the simulation runs the same scripts on a store
 * in memory.
 */
import type { OrderNumber } from '../ids/order-number.ts'

/** One bucket of one activity: the unit that one Redis slot holds and one script call decides. */
export type BucketRef = { tenantId: string; activityId: string; bucket: number }

/** What the sale needs to know of an activity. Times in milliseconds since the epoch, UTC. */
export type SaleDefinition = {
  tenantId: string
  activityId: string
  stock: number
  perUserLimit: number
  buckets: number
  startsAtMs: number
  endsAtMs: number
}

export type SaleState = 'open' | 'paused' | 'closed' | 'rebuilding'

/** One press of "buy", already admitted: identifiers match [A-Za-z0-9_-]{1,64}. */
export type Purchase = {
  userId: string
  quantity: number
  /** Made before the decision; only used when the purchase is accepted. */
  orderNumber: OrderNumber
  /** Client's idempotency key, [A-Za-z0-9_-]{1,64}: the same key answers with the same order number. */
  idempotencyKey?: string
  traceparent?: string
}

/** The answer to one purchase. */
export type PurchaseVerdict =
  | { outcome: 'accepted'; orderNumber: OrderNumber }
  /** Same idempotency key as an earlier accepted purchase of this buyer: the same answer again. */
  | { outcome: 'replayed'; orderNumber: OrderNumber; quantity: number }
  /** The buyer has used up the per-user limit; `orderNumber` is the newest live order. */
  | { outcome: 'duplicate'; orderNumber: OrderNumber }
  /** Wants more than the per-user limit leaves (`remaining` ≥ 1). */
  | { outcome: 'over-limit'; remaining: number }
  /** Nothing left in this bucket. */
  | { outcome: 'sold-out' }
  /** Fewer left in this bucket than wanted. */
  | { outcome: 'insufficient'; left: number }
  | { outcome: 'not-started'; startsAtMs: number }
  | { outcome: 'ended' }
  | { outcome: 'paused' }
  | { outcome: 'closed' }
  /** No such sale in Redis (not warmed up). */
  | { outcome: 'unknown-activity' }
  /** Redis restarted or failed over and the sale has not been made whole yet. */
  | { outcome: 'recovering' }

export type PurchaseBatchResult = {
  /** One for each purchase, in order. */
  verdicts: PurchaseVerdict[]
  /** Units left in the bucket after the batch; undefined when the sale did not decide (early, paused, …). */
  left: number | undefined
  /** How often the sale was recovered from a restart of Redis; undefined when it did not decide. Another number than before means that this process has not replayed its journal for that restart. */
  recoveries?: number
}

/** An entry of a buyer in a bucket. */
export type BuyerEntry = {
  orderNumber: OrderNumber
  quantity: number
  /** accepted: not yet known to be stored; confirmed: the order is stored; released: given back. */
  status: 'accepted' | 'confirmed' | 'released'
}

export type BucketSnapshot = {
  state: SaleState
  /** Redis' clock, milliseconds. */
  nowMs: number
  total: number
  left: number
  /** Units of live purchases. In one bucket at any moment: left + sold = total + received − sent. */
  sold: number
  /** Units that came from other buckets and units that went to others, since the sale was created (`received`, `sent` of the hash). */
  received: number
  sent: number
  /** Live purchases whose order is known to be stored. */
  confirmed: number
  perUserLimit: number
  buckets: number
  startsAtMs: number
  endsAtMs: number
  /** Entries in the outbox stream (not yet acknowledged by Kafka). */
  outboxLength: number
  /** Counts up with each release and transfer in: a local sold-out mark is valid for one value. */
  version: number
  /** How often the sale was recovered from a restart of Redis. */
  recoveries: number
  /** True when the Redis process that answers is the one in which the sale was opened or recovered. */
  whole: boolean
}

/** One entry of the outbox stream: the accepted purchases of one script call. */
export type OutboxEntry = {
  id: string
  acceptedAtMs: number
  purchases: { userId: string; quantity: number; orderNumber: OrderNumber; traceparent?: string }[]
}

/** An accepted purchase or a release that a process must be able to repeat after Redis lost its last second. */
export type SaleOperation =
  | { kind: 'purchase'; userId: string; quantity: number; orderNumber: OrderNumber; idempotencyKey?: string }
  | { kind: 'release'; userId: string; orderNumber: OrderNumber }

/** Units that one bucket gave to another; the donor numbers its transfers. */
export type Transfer = { from: number; to: number; sequence: string; units: number }

export interface SaleStore {
  /**
   * Creates the sale (all buckets, stock split over them) where it does not exist yet; never changes anything of one that exists.
   * `left`: only so many are for sale, the others count as sold. To rebuild a sale that Redis lost altogether, leave `left` out, create
   * it in the state `rebuilding` (purchases are answered `recovering`), `restore` the orders that exist, then `setState` to `open`.
   */
  warmUp(sale: SaleDefinition, options?: { state?: SaleState; left?: number }): Promise<'created' | 'exists'>
  /** Known sales: the registry of activities in this Redis. */
  listSales(): Promise<{ tenantId: string; activityId: string; buckets: number }[]>
  /** Decides all purchases of one bucket in one atomic step. */
  purchase(bucket: BucketRef, purchases: readonly Purchase[]): Promise<PurchaseBatchResult>
  /** Gives purchases back: stock and right to buy, once for each order number. Returns how many were released now. */
  release(bucket: BucketRef, orders: readonly { userId: string; orderNumber: OrderNumber }[]): Promise<number>
  /** Marks purchases as stored. Idempotent. */
  confirm(bucket: BucketRef, orders: readonly { userId: string; orderNumber: OrderNumber }[]): Promise<number>
  /**
   * open ↔ paused → closed; closed is final. A sale that is being rebuilt is only closed, until `rebuilt` says that the rebuild ended.
   * Returns false when the change is not allowed or the sale does not exist.
   */
  setState(bucket: BucketRef, state: SaleState, options?: { rebuilt?: boolean }): Promise<boolean>
  snapshot(bucket: BucketRef): Promise<BucketSnapshot | undefined>
  /** Entries of many buyers at once. */
  buyers(bucket: BucketRef, userIds: readonly string[]): Promise<BuyerEntry[][]>
  /** Pages over all buyers; cursor '0' begins and ends. */
  scanBuyers(
    bucket: BucketRef,
    cursor: string,
    count: number,
  ): Promise<{ cursor: string; buyers: { userId: string; entries: BuyerEntry[] }[] }>
  /** Applies operations that Redis may have lost: unconditionally, idempotent by order number, the message to the outbox again. Returns how many were missing. */
  restore(bucket: BucketRef, operations: readonly SaleOperation[], options?: { resend?: boolean }): Promise<number>
  /** Puts the messages of live purchases into the outbox again (orders are idempotent by number). */
  resend(bucket: BucketRef, orders: readonly { userId: string; orderNumber: OrderNumber }[]): Promise<number>
  /** After a restart of Redis: the first call begins the grace period, a call after it ends it. Returns true when the sale is whole. */
  recover(bucket: BucketRef, graceMs: number): Promise<boolean>
  /** New entries of the outbox for this consumer, oldest first; creates the consumer group when needed. */
  readOutbox(bucket: BucketRef, consumer: string, count: number): Promise<OutboxEntry[]>
  /** Takes over entries that another consumer has held for longer than `idleMs`. */
  claimOutbox(bucket: BucketRef, consumer: string, idleMs: number, count: number): Promise<OutboxEntry[]>
  /** Acknowledges and deletes entries, after Kafka has them. */
  acknowledgeOutbox(bucket: BucketRef, ids: readonly string[]): Promise<void>
  /** Moves units between buckets in two idempotent halves, for a bucket that ran dry; `needed` units at least. Returns the units moved (0: none to be had). */
  rebalance(to: BucketRef, buckets: number, needed: number): Promise<number>
  /** Finishes transfers that a dead process left half done. */
  finishTransfers(bucket: BucketRef): Promise<number>
  /**
   * Repeats transfers from or to this bucket that Redis may have lost, idempotent by the donor's number: always the donor's half first, so
   * that no unit is in two buckets. `complete` is false when another bucket could not be asked for its half: repeat the call.
   */
  restoreTransfers(bucket: BucketRef, transfers: readonly Transfer[]): Promise<{ restored: number; complete: boolean }>
  /** Lowers `left` to what the purchases leave when it is too high; never raises it. Returns the units removed. */
  lowerLeft(bucket: BucketRef, expectedLeft: number): Promise<number>
  /** Lets the keys of a settled sale expire. */
  expire(sale: { tenantId: string; activityId: string; buckets: number }, ttlSeconds: number): Promise<void>
}
