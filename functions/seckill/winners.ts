/**
 * Who has bought in a sold-out sale, kept in memory, so that "sold out" and "you already have an order" are both true without
 * asking Redis. Nobody can win while nothing is left, so the list holds for as long as no unit comes back, which shows in the
 * buckets' `version`.
 */
import type { BucketRef, BucketSnapshot, PurchaseVerdict, SaleStore } from '@stampede/shared/sale/types.ts'

export type Winner = { units: number; orderNumber: string }
export type Winners = ReadonlyMap<string, Winner>

const pageSize = 1_000
const soldOut: PurchaseVerdict = Object.freeze({ outcome: 'sold-out' })

/** True when no unit is in any bucket nor on its way between two, and the sale is whole. */
export function isSoldOut(snapshots: readonly BucketSnapshot[]): boolean {
  let left = 0
  let travelling = 0
  for (const snapshot of snapshots) {
    if (!snapshot.whole) return false
    left += snapshot.left
    travelling += snapshot.sent - snapshot.received
  }
  return left === 0 && travelling === 0
}

export function versionOf(snapshots: readonly BucketSnapshot[]): string {
  return snapshots.map((snapshot) => snapshot.version).join()
}

/** All buyers of these buckets; undefined when there are more than `limit`. */
export async function loadWinners(
  store: Pick<SaleStore, 'scanBuyers'>,
  buckets: readonly BucketRef[],
  limit: number,
): Promise<Map<string, Winner> | undefined> {
  const winners = new Map<string, Winner>()
  for (const bucket of buckets) {
    let cursor = '0'
    do {
      const page = await store.scanBuyers(bucket, cursor, pageSize)
      cursor = page.cursor
      for (const { userId, entries } of page.buyers) {
        let units = 0
        let orderNumber = ''
        for (const entry of entries) {
          if (entry.status === 'released') continue
          units += entry.quantity
          orderNumber = entry.orderNumber
        }
        winners.set(userId, { units, orderNumber })
      }
      if (winners.size > limit) return undefined
    } while (cursor !== '0')
  }
  return winners
}

/**
 * What the script would say when nothing is left; undefined when only the script knows (an idempotency key of a buyer who has
 * bought: the key is not in memory).
 */
export function decideSoldOut(
  winners: Winners,
  perUserLimit: number,
  userId: string,
  quantity: number,
  idempotencyKey: string | undefined,
): PurchaseVerdict | undefined {
  const winner = winners.get(userId)
  if (winner === undefined)
    return quantity > perUserLimit ? { outcome: 'over-limit', remaining: perUserLimit } : soldOut
  if (idempotencyKey !== undefined) return undefined
  const remaining = perUserLimit - winner.units
  if (remaining < 1) return { outcome: 'duplicate', orderNumber: winner.orderNumber }
  return quantity > remaining ? { outcome: 'over-limit', remaining } : soldOut
}
