/**
 * What this process applied to the sale and Redis may still forget. Redis with `appendfsync everysec` loses its last second or
 * two, a failover what was not copied yet; ten seconds counted back from the last call that succeeded cover both.
 *
 * A batch is kept as one piece of bytes outside the heap: a rush leaves hundreds of thousands of operations here, and as objects they
 * would be copied and traced by the garbage collector for ten seconds each.
 */
import type { BucketRef, BucketSnapshot, Purchase, PurchaseBatchResult, SaleOperation, Transfer } from './types.ts'

export type JournalOptions = {
  /** Milliseconds; any clock that does not jump is good. Default: the process's monotonic clock. */
  now?: () => number
  /** How long operations are kept, counted back from the last successful purchase call. Default 10,000. */
  keepMs?: number
  /** Limit for one bucket; the oldest go first. Default 1,000,000. */
  maximumOperations?: number
  /** Limit of buckets; the one that was written longest ago goes first. Default 1,024. */
  maximumBuckets?: number
}

type Order = { userId: string; orderNumber: string }
type RelayedPurchase = Order & { quantity: number }
type Kind = 'purchase' | 'relayed-purchase' | 'release' | 'confirmation'
type Batch = {
  atMs: number
  kind: Kind
  count: number
  /** `userId quantity orderNumber idempotencyKey` for each operation, '.' for what is missing. */
  lines: Buffer
}

/** More in ten seconds than a sale makes: each takes half of what a bucket has. */
const maximumTransfers = 10_000

type BucketJournal = {
  batches: Batch[]
  /** From and to this bucket, by donor and number; oldest first. Few, so as objects. */
  transfers: Map<string, { atMs: number; transfer: Transfer }>
  operations: number
  /** Recoveries of the sale that this process knows and, where it had to, has replayed its journal for. */
  recoveries: number | undefined
  mustReplay: boolean
}

export type Journal = {
  /** After each purchase call: remembers what was accepted, now or before. */
  purchased(bucket: BucketRef, purchases: readonly Purchase[], result: PurchaseBatchResult): void
  /**
   * Before purchases leave Redis for Kafka: the answer to the call that accepted them may never have come, and an order must not exist of
   * which Redis does not know.
   */
  relayed(bucket: BucketRef, purchases: readonly RelayedPurchase[]): void
  /** After each successful release call. */
  released(bucket: BucketRef, orders: readonly Order[]): void
  /** After each successful confirm call, also for purchases that Redis did not know: it may learn of them again. */
  confirmed(bucket: BucketRef, orders: readonly Order[]): void
  /**
   * Between the halves of a transfer: the units that the receiver sells must not be sold by the donor, too, when Redis forgets both halves.
   * Kept for both buckets. `recoveries` of the donor, where known.
   */
  transferred(donor: BucketRef, transfer: Transfer, recoveries?: number): void
  /** After a snapshot: a process without purchases notices a recovery by it. */
  observed(bucket: BucketRef, snapshot: Pick<BucketSnapshot, 'whole' | 'recoveries'>): void
  /** True from the moment when Redis was seen to have restarted until `replayed`. Nothing is forgotten meanwhile. */
  mustReplay(bucket: BucketRef): boolean
  /** The purchases and releases that Redis may have lost, oldest first. */
  operations(bucket: BucketRef): SaleOperation[]
  /** The transfers from and to this bucket that Redis may have lost, oldest first. */
  transfers(bucket: BucketRef): Transfer[]
  /** The confirmations that Redis may have lost. */
  confirmations(bucket: BucketRef): Order[]
  /** Everything was restored, in a Redis that had been recovered `recoveries` times by then: it may be lost again from now on. */
  replayed(bucket: BucketRef, recoveries: number): void
  /** The sale is settled. */
  forget(bucket: BucketRef): void
  /** Operations kept, over all buckets. */
  size(): number
}

export function createJournal(options: JournalOptions = {}): Journal {
  const {
    now = () => performance.now(),
    keepMs = 10_000,
    maximumOperations = 1_000_000,
    maximumBuckets = 1_024,
  } = options
  const buckets = new Map<string, BucketJournal>()

  const keyOf = (bucket: BucketRef) => `${bucket.tenantId}:${bucket.activityId}:${bucket.bucket}`
  const journalOf = (bucket: BucketRef): BucketJournal => {
    const key = keyOf(bucket)
    let journal = buckets.get(key)
    if (!journal) {
      journal = { batches: [], transfers: new Map(), operations: 0, recoveries: undefined, mustReplay: false }
      if (buckets.size >= maximumBuckets) buckets.delete(buckets.keys().next().value!)
      buckets.set(key, journal)
    }
    return journal
  }

  const batchOf = (kind: Kind, items: readonly Item[]): Batch => ({
    atMs: now(),
    kind,
    count: items.length,
    lines: pack(items),
  })

  const append = (key: string, journal: BucketJournal, batch: Batch): void => {
    journal.batches.push(batch)
    journal.operations += batch.count
    let dropped = 0
    while (journal.operations > maximumOperations) journal.operations -= journal.batches[dropped++]!.count
    if (dropped > 0) journal.batches.splice(0, dropped)
    touch(key, journal)
  }

  // The map's order is the order of the last write.
  const touch = (key: string, journal: BucketJournal): void => {
    buckets.delete(key)
    buckets.set(key, journal)
  }

  const keepTransfer = (bucket: BucketRef, transfer: Transfer): void => {
    const journal = journalOf(bucket)
    const { transfers } = journal
    const id = `${transfer.from}:${transfer.sequence}`
    transfers.delete(id)
    if (transfers.size >= maximumTransfers) transfers.delete(transfers.keys().next().value!)
    transfers.set(id, { atMs: now(), transfer })
    touch(keyOf(bucket), journal)
  }

  const prune = (journal: BucketJournal): void => {
    const { batches } = journal
    const oldestMs = now() - keepMs
    for (const [id, { atMs }] of journal.transfers) {
      if (atMs >= oldestMs) break
      journal.transfers.delete(id)
    }
    let old = 0
    while (old < batches.length && batches[old]!.atMs < oldestMs) old++
    // Moving the others for the sake of a few costs more than keeping the few a little longer.
    if (old === 0 || (old < 64 && old < batches.length / 8)) return
    for (const batch of batches.splice(0, old)) journal.operations -= batch.count
  }

  const sawRecoveries = (journal: BucketJournal, recoveries: number): void => {
    if (journal.recoveries === undefined) journal.recoveries = recoveries
    else if (journal.recoveries !== recoveries) journal.mustReplay = true
    if (!journal.mustReplay) prune(journal)
  }

  return {
    purchased: (bucket, purchases, result) => {
      const journal = journalOf(bucket)
      if (result.left === undefined) {
        if (result.verdicts[0]?.outcome === 'recovering') journal.mustReplay = true
        return
      }
      // A replay that is due must not miss these: they come after it in any case, restoring them changes nothing.
      const items = promisedBy(purchases, result)
      if (items.length > 0) append(keyOf(bucket), journal, batchOf('purchase', items))
      if (result.recoveries !== undefined) sawRecoveries(journal, result.recoveries)
    },

    relayed: (bucket, purchases) => {
      append(keyOf(bucket), journalOf(bucket), batchOf('relayed-purchase', purchases))
    },

    // Neither prunes: both work in a Redis that has not been recovered, too, so they do not prove that nothing was lost.
    released: (bucket, orders) => {
      if (orders.length > 0) append(keyOf(bucket), journalOf(bucket), batchOf('release', orders))
    },

    confirmed: (bucket, orders) => {
      if (orders.length > 0) append(keyOf(bucket), journalOf(bucket), batchOf('confirmation', orders))
    },

    transferred: (donor, transfer, recoveries) => {
      keepTransfer(donor, transfer)
      keepTransfer({ ...donor, bucket: transfer.to }, transfer)
      if (recoveries !== undefined) sawRecoveries(journalOf(donor), recoveries)
    },

    observed: (bucket, { whole, recoveries }) => {
      const journal = buckets.get(keyOf(bucket))
      if (!journal) return
      if (whole) sawRecoveries(journal, recoveries)
      else journal.mustReplay = true
    },

    mustReplay: (bucket) => buckets.get(keyOf(bucket))?.mustReplay ?? false,

    operations: (bucket) => {
      const batches = buckets.get(keyOf(bucket))?.batches ?? []
      // What was only seen in the outbox comes last: it lacks the idempotency key that the purchase itself has.
      return [
        ...batches.filter(({ kind }) => kind !== 'relayed-purchase'),
        ...batches.filter(({ kind }) => kind === 'relayed-purchase'),
      ].flatMap(operationsOf)
    },

    transfers: (bucket) => [...(buckets.get(keyOf(bucket))?.transfers.values() ?? [])].map(({ transfer }) => transfer),

    confirmations: (bucket) =>
      (buckets.get(keyOf(bucket))?.batches ?? []).flatMap((batch) =>
        batch.kind === 'confirmation' ? linesOf(batch).map(({ userId, orderNumber }) => ({ userId, orderNumber })) : [],
      ),

    replayed: (bucket, recoveries) => {
      const journal = journalOf(bucket)
      const atMs = now()
      for (const batch of journal.batches) batch.atMs = atMs
      for (const kept of journal.transfers.values()) kept.atMs = atMs
      journal.recoveries = recoveries
      journal.mustReplay = false
    },

    forget: (bucket) => {
      buckets.delete(keyOf(bucket))
    },

    size: () => {
      let operations = 0
      for (const journal of buckets.values()) operations += journal.operations
      return operations
    },
  }
}

/**
 * What this process promises with its answers: what was accepted now, and what was accepted before and is answered again under
 * its idempotency key. The process that accepted it may never have heard of that (its connection broke), and then nobody else
 * remembers it.
 */
function promisedBy(purchases: readonly Purchase[], { verdicts }: PurchaseBatchResult): readonly Purchase[] {
  let accepted = 0
  let replayed = 0
  for (let i = 0; i < verdicts.length; i++) {
    if (verdicts[i]!.outcome === 'accepted') accepted++
    else if (verdicts[i]!.outcome === 'replayed') replayed++
  }
  if (accepted === purchases.length) return purchases
  if (accepted + replayed === 0) return []
  return purchases.flatMap((purchase, i) => {
    const verdict = verdicts[i]!
    if (verdict.outcome === 'accepted') return [purchase]
    if (verdict.outcome !== 'replayed') return []
    return [{ ...purchase, orderNumber: verdict.orderNumber, quantity: verdict.quantity }]
  })
}

type Item = Order & { quantity?: number; idempotencyKey?: string | undefined }

/** All of it is ASCII: identifiers, numbers, order numbers. */
function pack(items: readonly Item[]): Buffer {
  let text = ''
  for (const { userId, quantity = 0, orderNumber, idempotencyKey = '.' } of items) {
    text += userId + ' ' + quantity + ' ' + orderNumber + ' ' + idempotencyKey + '\n'
  }
  return Buffer.from(text, 'latin1')
}

function linesOf({ lines }: Batch): (Order & { quantity: number; idempotencyKey: string | undefined })[] {
  const text = lines.toString('latin1')
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) => {
      const [userId = '', quantity, orderNumber = '', key] = line.split(' ')
      return { userId, quantity: Number(quantity), orderNumber, idempotencyKey: key === '.' ? undefined : key }
    })
}

function operationsOf(batch: Batch): SaleOperation[] {
  if (batch.kind === 'confirmation' || batch.count === 0) return []
  return linesOf(batch).map(({ userId, quantity, orderNumber, idempotencyKey }) => {
    if (batch.kind === 'release') return { kind: 'release', userId, orderNumber }
    if (batch.kind === 'relayed-purchase') return { kind: 'purchase', userId, quantity, orderNumber }
    return { kind: 'purchase', userId, quantity, orderNumber, idempotencyKey }
  })
}
