/**
 * The way of an accepted purchase from a bucket's outbox in Redis to Kafka. `relayOnce` is one step of it, with every effect
 * passed in: production (`relay-loop.ts`) and the simulation run this same code.
 *
 * Nothing is acknowledged before Kafka has it. A process that dies in between leaves entries that another one claims, so a
 * purchase may be sent twice; `order` decides by order number.
 */
import { hash } from 'node:crypto'
import type { z } from 'zod'
import type { purchaseAccepted } from '@stampede/eventing/catalogue/events.ts'
import { bucketOf } from '@stampede/shared/sale/bucket.ts'
import type { BucketRef, OutboxEntry, SaleStore } from '@stampede/shared/sale/types.ts'

export type PurchaseAcceptedData = z.output<typeof purchaseAccepted.data>

/** One `purchase.accepted` event to be sent: the purchases of one shard of the buyers of one batch. */
export type RelayMessage = {
  /** The same for the same purchases, so that an event that is sent twice is recognised by (source, id). */
  id: string
  /** Kafka key: keeps the events of one buyer in order. */
  partitionKey: string
  /** When the oldest of the purchases was accepted, by Redis' clock. */
  acceptedAtMs: number
  data: PurchaseAcceptedData
}

export type RelayEffects = {
  store: Pick<SaleStore, 'readOutbox' | 'claimOutbox' | 'acknowledgeOutbox'>
  /** Remembers what leaves Redis, in case Redis forgets it afterwards. */
  leaving(bucket: BucketRef, purchases: PurchaseAcceptedData['purchases']): void
  /** Resolves when Kafka has all messages on all replicas that must have them. */
  send(messages: readonly RelayMessage[]): Promise<void>
}

export type RelayOptions = {
  /** Name of this process in the consumer group. */
  consumer: string
  /** Shards of the buyers: at most this many events for each thousand purchases of a batch. */
  shards: number
  /** Purchases aimed at for each batch. May change from batch to batch. */
  readonly batchPurchases: number
  /** Entries that another process has held for longer are taken over. */
  claimIdleMs: number
}

/** What one bucket's relay remembers from step to step. Losing it (a crash) costs a second delivery, never a purchase. */
export type RelayState = {
  /** Read or claimed, but Kafka has not acknowledged them. */
  unsent: OutboxEntry[]
  /** Kafka has them, but Redis has not heard of it. */
  unacknowledged: string[]
  /** Purchases an entry of this bucket carries on average: decides how many entries make a batch. */
  purchasesPerEntry: number
}

export type RelayStep = { entries: number; purchases: number; events: number; oldestAcceptedAtMs: number | undefined }

const nothing: RelayStep = { entries: 0, purchases: 0, events: 0, oldestAcceptedAtMs: undefined }
/** The catalogue's limit on purchases in one event. */
const maximumPurchasesPerEvent = 1_000
const maximumEntriesPerBatch = 1_000
/** Kafka refuses more than 1 MB for one partition at once, for ever; a purchase with its trace is 170 bytes at most. */
const maximumPurchasesPerSend = 4_000
/** Assumed of an unknown bucket: what a script call carries under load. Too few would read a backlog in one piece. */
const usualPurchasesPerEntry = 64

export function newRelayState(): RelayState {
  return { unsent: [], unacknowledged: [], purchasesPerEntry: usualPurchasesPerEntry }
}

/** Groups purchases into events by a shard of the buyers. */
export function toMessages(bucket: BucketRef, entries: readonly OutboxEntry[], shards: number): RelayMessage[] {
  const open = new Map<number, RelayMessage>()
  const messages: RelayMessage[] = []
  for (const entry of entries) {
    for (const purchase of entry.purchases) {
      const shard = bucketOf(purchase.userId, shards)
      let message = open.get(shard)
      if (!message || message.data.purchases.length === maximumPurchasesPerEvent) {
        message = {
          id: '',
          partitionKey: `${bucket.tenantId}:${bucket.activityId}:${shard}`,
          acceptedAtMs: entry.acceptedAtMs,
          data: { tenantId: bucket.tenantId, activityId: bucket.activityId, bucket: bucket.bucket, purchases: [] },
        }
        open.set(shard, message)
        messages.push(message)
      }
      message.data.purchases.push(purchase)
    }
  }
  for (const message of messages) {
    const orderNumbers = message.data.purchases.map((purchase) => purchase.orderNumber).join()
    message.id = hash('sha256', orderNumbers, 'base64url').slice(0, 32)
  }
  return messages
}

/**
 * One step for one bucket: what is left from an earlier step first, then entries of dead processes when `claim` is set, then
 * new entries. Throws what the effects throw; the step can then be repeated with the same state.
 * At most one step for each bucket may be under way, so that the events of a buyer stay in order.
 */
export async function relayOnce(
  bucket: BucketRef,
  state: RelayState,
  effects: RelayEffects,
  options: RelayOptions,
  claim = false,
): Promise<RelayStep> {
  await acknowledge(bucket, state, effects)
  if (state.unsent.length === 0) {
    const count = Math.min(maximumEntriesPerBatch, Math.ceil(options.batchPurchases / state.purchasesPerEntry))
    if (claim) state.unsent = await effects.store.claimOutbox(bucket, options.consumer, options.claimIdleMs, count)
    if (state.unsent.length === 0) state.unsent = await effects.store.readOutbox(bucket, options.consumer, count)
  }
  const entries = state.unsent
  if (entries.length === 0) return nothing
  const messages = toMessages(bucket, entries, options.shards)
  for (const { data } of messages) effects.leaving(bucket, data.purchases)
  for (const some of inSends(messages)) await effects.send(some)
  let purchases = 0
  for (const message of messages) purchases += message.data.purchases.length
  state.unsent = []
  state.unacknowledged = entries.map((entry) => entry.id)
  state.purchasesPerEntry = Math.max(1, (state.purchasesPerEntry + purchases / entries.length) / 2)
  await acknowledge(bucket, state, effects)
  return { entries: entries.length, purchases, events: messages.length, oldestAcceptedAtMs: entries[0]?.acceptedAtMs }
}

/** One after the other, so that the order holds: entries may carry many more purchases than was expected. */
function* inSends(messages: readonly RelayMessage[]): Generator<RelayMessage[]> {
  let some: RelayMessage[] = []
  let purchases = 0
  for (const message of messages) {
    const own = message.data.purchases.length
    if (some.length > 0 && purchases + own > maximumPurchasesPerSend) {
      yield some
      some = []
      purchases = 0
    }
    some.push(message)
    purchases += own
  }
  if (some.length > 0) yield some
}

async function acknowledge(bucket: BucketRef, state: RelayState, effects: RelayEffects): Promise<void> {
  if (state.unacknowledged.length === 0) return
  await effects.store.acknowledgeOutbox(bucket, state.unacknowledged)
  state.unacknowledged = []
}
