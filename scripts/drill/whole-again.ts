/**
 * When a sale is whole again after a failure, told from what was stored and when: the first purchase pressed after the kill
 * whose order is stored, and before which nothing that was accepted is still missing.
 */
import type { Ledger } from '../sale/audit.ts'
import type { HeldOrder } from '../sale/tally.ts'

/** Milliseconds from the kill; undefined when the sale never became whole. Clocks: database and crowd on one machine. */
export function wholeAgainMs(held: readonly HeldOrder[], ledger: Ledger, killedAtMs: number): number | undefined {
  const inOrder = held.toSorted((one, other) => one.answeredAtMs - other.answeredAtMs)
  let lastStoredMs = killedAtMs
  for (const purchase of inOrder) {
    const stored = ledger.orders.get(purchase.orderNumber)
    // A rejected purchase was given back; its moment is not stored with the orders and does not delay the sale.
    if (stored === undefined) {
      if (ledger.rejected.has(purchase.orderNumber)) continue
      return undefined
    }
    lastStoredMs = Math.max(lastStoredMs, stored.storedAtMs)
    if (purchase.pressedAtMs > killedAtMs) return Math.round(lastStoredMs - killedAtMs)
  }
  return undefined
}
