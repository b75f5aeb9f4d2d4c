/**
 * Makes a bucket whole after Redis restarted or failed over. Every process does this for every bucket that it has a journal of, as soon as a
 * purchase is answered `recovering` or `journal.mustReplay` is true; the sale goes on when the grace period is over. A process that comes
 * late still restores what it knows, then.
 */
import type { Journal } from './journal.ts'
import type { BucketRef, SaleStore } from './types.ts'

export type RecoveryStore = Pick<SaleStore, 'restore' | 'restoreTransfers' | 'recover' | 'snapshot' | 'confirm'>

export type RecoveryRound = {
  /** Operations and transfers that Redis had lost. */
  restored: number
  whole: boolean
}

/** Time that all processes have to notice and to restore. */
export const defaultGraceMs = 3_000

const nothingMoved = { restored: 0, complete: true }

/**
 * One round: restores this process's journal, then asks for the end of the grace period. Repeat it after the grace period until `whole`; all
 * of it is idempotent, and a second restart in between only begins it again. A sale that does not exist stays not whole, and the
 * journal is kept: it is restored when the sale was made again.
 */
export async function recoverBucket(
  store: RecoveryStore,
  bucket: BucketRef,
  journal: Journal,
  graceMs: number = defaultGraceMs,
): Promise<RecoveryRound> {
  const before = await store.snapshot(bucket)
  if (!before) return { restored: 0, whole: false }
  const operations = journal.operations(bucket)
  const purchases = operations.length === 0 ? 0 : await store.restore(bucket, operations)
  const transfers = journal.transfers(bucket)
  const moved = transfers.length === 0 ? nothingMoved : await store.restoreTransfers(bucket, transfers)
  const restored = purchases + moved.restored
  if (!(await store.recover(bucket, graceMs))) return { restored, whole: false }
  const after = await store.snapshot(bucket)
  // Any other number: Redis restarted again and was recovered while this round ran; what was restored may be lost again.
  const expected = before.recoveries + (before.whole ? 0 : 1)
  if (!after?.whole || after.recoveries !== expected) return { restored, whole: false }
  // Another bucket is away: the sale goes on here, without the units that came from there; the journal is kept for the next round.
  if (!moved.complete) return { restored, whole: false }
  // Only now do all processes have restored their purchases, also those whose orders this process confirmed.
  const confirmations = journal.confirmations(bucket)
  if (confirmations.length > 0) await store.confirm(bucket, confirmations)
  journal.replayed(bucket, after.recoveries)
  return { restored, whole: true }
}

export type RecoveryOptions = {
  graceMs?: number
  /** Waits; rejects or returns early when the process ends. */
  pause: (durationMs: number) => Promise<void>
  /** Default 20. */
  maximumRounds?: number
}

/** Rounds until the bucket is whole. Returns the number of restored operations, and false for `whole` when the rounds did not suffice. */
export async function recoverUntilWhole(
  store: RecoveryStore,
  bucket: BucketRef,
  journal: Journal,
  { graceMs = defaultGraceMs, pause, maximumRounds = 20 }: RecoveryOptions,
): Promise<RecoveryRound> {
  let restored = 0
  for (let round = 1; round <= maximumRounds; round++) {
    const result = await recoverBucket(store, bucket, journal, graceMs)
    restored += result.restored
    if (result.whole) return { restored, whole: true }
    if (round < maximumRounds) await pause(graceMs + 10)
  }
  return { restored, whole: false }
}
