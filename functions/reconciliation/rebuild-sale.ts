/**
 * Makes a sale again that Redis lost although it was warmed up: all its buckets stand still ('rebuilding': buyers are told to
 * come back), every live order is restored, and only when nothing more arrives does it go on. Purchases that were accepted
 * and not stored when Redis was lost come through Kafka (then they are among the orders) or are gone with Redis: the README
 * says what that means for durability. What arrives later is restored by the next comparison, and the allocation in MySQL
 * guards against selling its units twice.
 */
import type { BucketSnapshot, SaleOperation, SaleState } from '@stampede/shared/sale/types.ts'
import type { OrderLine } from './reconcile-bucket.ts'

export type RebuildEffects = {
  buckets: number
  stock: number
  bucketOf(userId: string): number
  snapshots(): Promise<(BucketSnapshot | undefined)[]>
  /** Creates the buckets that are missing, in the state 'rebuilding'. */
  create(): Promise<void>
  setState(bucket: number, state: SaleState): Promise<boolean>
  /** Orders of the whole activity, by order number. */
  orderPage(after: string | undefined): Promise<{ orders: readonly OrderLine[]; next: string | undefined }>
  restore(bucket: number, operations: readonly SaleOperation[]): Promise<number>
  confirm(bucket: number, orders: readonly { userId: string; orderNumber: string }[]): Promise<number>
  finishTransfers(bucket: number): Promise<number>
  cover(bucket: number, units: number): Promise<number>
  lowerLeft(bucket: number, expectedLeft: number): Promise<number>
  /** What the activity says the sale should be. */
  wantedState(): Promise<'open' | 'paused' | 'closed'>
  pause(durationMs: number): Promise<void>
}

export type RebuildLimits = {
  /** Orders a script call. */
  pageSize: number
  maximumPages: number
  /** Time without a new order until the sale counts as complete. */
  settleMs: number
  /** Rounds in one run; the next run goes on. */
  maximumRounds: number
}

export const defaultRebuildLimits: RebuildLimits = {
  pageSize: 250,
  maximumPages: 20_000,
  settleMs: 2_000,
  maximumRounds: 10,
}

export type RebuildResult = { finished: boolean; restored: number }

export async function rebuildSale(
  effects: RebuildEffects,
  limits: RebuildLimits = defaultRebuildLimits,
): Promise<RebuildResult> {
  const numbers = Array.from({ length: effects.buckets }, (_, bucket) => bucket)
  await effects.create()
  // Those that were not lost stand still too: units moved between buckets can only be counted when none moves.
  for (const bucket of numbers) await effects.setState(bucket, 'rebuilding')

  let restored = 0
  let stable = false
  for (let round = 0; round < limits.maximumRounds && !stable; round++) {
    const now = await restoreAll(effects, limits)
    restored += now
    const waiting = (await effects.snapshots()).some(
      (snapshot) => !snapshot || !snapshot.whole || snapshot.outboxLength > 0,
    )
    stable = round > 0 && now === 0 && !waiting
    if (!stable) await effects.pause(limits.settleMs)
  }
  if (!stable) return { finished: false, restored }

  await balance(effects, numbers)
  // Asked only now: staff may have paused or closed the sale meanwhile.
  const wanted = await effects.wantedState()
  for (const bucket of numbers) await effects.setState(bucket, wanted)
  return { finished: true, restored }
}

/** Restores every live order; idempotent by order number. Returns how many were missing. */
async function restoreAll(effects: RebuildEffects, limits: RebuildLimits): Promise<number> {
  let restored = 0
  let after: string | undefined
  for (let pages = 0; pages < limits.maximumPages; pages++) {
    const page = await effects.orderPage(after)
    const live = page.orders.filter((order) => order.fact === 'live')
    for (const [bucket, orders] of Map.groupBy(live, (order) => effects.bucketOf(order.userId))) {
      for (let start = 0; start < orders.length; start += limits.pageSize) {
        const some = orders.slice(start, start + limits.pageSize)
        const operations = some.map(({ userId, quantity, orderNumber }) => ({
          kind: 'purchase' as const,
          userId,
          quantity,
          orderNumber,
        }))
        restored += await effects.restore(bucket, operations)
        await effects.confirm(bucket, some)
      }
    }
    if (page.next === undefined) return restored
    after = page.next
  }
  throw new Error('the activity has more orders than a rebuild reads')
}

/**
 * Units that a lost bucket had received or sent are forgotten with it. So buckets that sold more than their share get units
 * from the others, and what all of them together offer is lowered to what the orders leave.
 */
async function balance(effects: RebuildEffects, numbers: readonly number[]): Promise<void> {
  for (const bucket of numbers) await effects.finishTransfers(bucket)
  for (const bucket of numbers) {
    const left = (await effects.snapshots())[bucket]?.left ?? 0
    if (left < 0) await effects.cover(bucket, -left)
  }
  const snapshots = await effects.snapshots()
  let excess =
    snapshots.reduce((sum, snapshot) => sum + (snapshot ? snapshot.left + snapshot.sold : 0), 0) - effects.stock
  for (const bucket of numbers) {
    const left = Math.max(0, snapshots[bucket]?.left ?? 0)
    if (excess <= 0) return
    excess -= await effects.lowerLeft(bucket, Math.max(0, left - excess))
  }
}
