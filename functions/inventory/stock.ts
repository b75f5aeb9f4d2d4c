/** Stock of a variant: pure decisions. Units are whole numbers. */
import { Problem } from '@stampede/shared/http/problem.ts'

export type Stock = {
  tenantId: string
  variantId: string
  onHand: number
  /** Set aside for reservations; onHand − reserved is available. */
  reserved: number
  lowStockThreshold: number
  /** Counts every change. */
  version: number
}

export type MovementKind = 'adjust' | 'reserve' | 'confirm' | 'release'

/** A change of a stock with its reason, as the ledger keeps it. */
export type Movement = {
  kind: MovementKind
  onHandChange: number
  reservedChange: number
  reference?: string
  actor: string
  reason?: string
}

export const defaultLowStockThreshold = 100
/** The same limit as for the stock of an activity in the event catalogue, times ten for the warehouse behind it. */
export const maximumUnits = 1_000_000_000

export const available = (stock: Pick<Stock, 'onHand' | 'reserved'>) => stock.onHand - stock.reserved

/** The stock after a movement. Throws when units would be missing: callers decide that first, this is the last guard. */
export function applyMovement(stock: Stock, movement: Movement): Stock {
  const onHand = stock.onHand + movement.onHandChange
  const reserved = stock.reserved + movement.reservedChange
  if (reserved < 0 || onHand < reserved || onHand > maximumUnits) {
    throw new Problem(
      'unprocessable',
      `The change would leave ${onHand} units on hand with ${reserved} of them reserved.`,
    )
  }
  return { ...stock, onHand, reserved, version: stock.version + 1 }
}

/** True when this change took the available units below the threshold; not again while they stay below. */
export function fellBelowThreshold(before: Stock, after: Stock): boolean {
  return available(before) >= before.lowStockThreshold && available(after) < after.lowStockThreshold
}
