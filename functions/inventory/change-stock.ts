/**
 * Reserve, confirm, release and adjust. Each runs in the caller's transaction under the lock of the stock's row, writes the
 * ledger, and announces a low stock through the outbox. Reservations are idempotent by their id.
 */
import { createHash } from 'node:crypto'
import { inventoryLowStock } from '@stampede/eventing/catalogue/events.ts'
import { actorOf, auditEvent } from '@stampede/shared/audit/audit-event.ts'
import type { ChangeContext } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { applyMovement, available, fellBelowThreshold, type Movement, type Stock } from './stock.ts'
import {
  ensureStock,
  findReservedVariant,
  insertReservation,
  lockReservation,
  lockStock,
  saveStock,
  settleReservationRow,
  type Reservation,
} from './store.ts'

/** Saves the movement of a locked stock and announces when it takes the stock below its threshold. */
async function move(
  context: ChangeContext,
  before: Stock,
  movement: Movement,
  changes: Partial<Stock> = {},
): Promise<Stock> {
  const at = new Date(context.now())
  const after = { ...applyMovement(before, movement), ...changes }
  await saveStock(context.tenant, after, movement, at)
  if (fellBelowThreshold(before, after)) {
    const { tenantId, variantId } = after
    await context.outbox.add(context.tx, [
      {
        definition: inventoryLowStock,
        // One fact for each version of a stock.
        id: createHash('sha256')
          .update(`low-stock:${tenantId}:${variantId}:${after.version}`)
          .digest('hex')
          .slice(0, 32),
        subject: variantId,
        data: {
          tenantId,
          variantId,
          available: available(after),
          threshold: after.lowStockThreshold,
          at: at.toISOString(),
        },
      },
    ])
  }
  return after
}

export type ReserveOutcome =
  { outcome: 'reserved' | 'already-reserved' } | { outcome: 'insufficient'; available: number }

/** Sets units aside. The same id again is the same reservation; with another variant or quantity it is a conflict. */
export async function reserve(
  context: ChangeContext,
  wanted: { reservationId: string; variantId: string; quantity: number },
): Promise<ReserveOutcome> {
  const { tenant } = context
  // The stock is locked before the reservation, always: no deadlock, and two requests with the same new id see each other.
  const stock = await lockStock(tenant, wanted.variantId)
  const existing = await lockReservation(tenant, wanted.reservationId)
  if (existing) {
    if (existing.variantId === wanted.variantId && existing.quantity === wanted.quantity)
      return { outcome: 'already-reserved' }
    throw new Problem('conflict', `The reservation ${wanted.reservationId} exists with another variant or quantity.`)
  }
  if (!stock || available(stock) < wanted.quantity)
    return { outcome: 'insufficient', available: stock ? available(stock) : 0 }
  await insertReservation(tenant, wanted, new Date(context.now()))
  await move(context, stock, {
    kind: 'reserve',
    onHandChange: 0,
    reservedChange: wanted.quantity,
    reference: wanted.reservationId,
    actor: context.actor,
  })
  return { outcome: 'reserved' }
}

/**
 * Ends a reservation: `confirmed` units leave the house, the rest goes back to the variant. Once: the same again changes
 * nothing, another number is a conflict.
 */
export async function settleReservation(
  context: ChangeContext,
  reservationId: string,
  confirmedOf: (reservation: Reservation) => number,
): Promise<'settled' | 'already-settled'> {
  const { tenant, actor } = context
  // Stock before reservation, as everywhere: the variant of a reservation never changes, so it can be read without a lock.
  const variantId = await findReservedVariant(tenant, reservationId)
  let stock = variantId === undefined ? undefined : await lockStock(tenant, variantId)
  const seen = await lockReservation(tenant, reservationId)
  if (!seen || !stock) throw new Problem('not-found', `There is no reservation ${reservationId}.`)
  const confirmed = confirmedOf(seen)
  if (confirmed < 0 || confirmed > seen.quantity) {
    throw new Problem('unprocessable', `${confirmed} units cannot be confirmed of a reservation of ${seen.quantity}.`)
  }
  if (seen.confirmed !== undefined) {
    if (seen.confirmed === confirmed) return 'already-settled'
    throw new Problem(
      'conflict',
      `The reservation ${reservationId} was settled with ${seen.confirmed} of ${seen.quantity} units confirmed.`,
    )
  }
  await settleReservationRow(tenant, reservationId, confirmed, new Date(context.now()))
  const released = seen.quantity - confirmed
  const reference = reservationId
  if (confirmed > 0)
    stock = await move(context, stock, {
      kind: 'confirm',
      onHandChange: -confirmed,
      reservedChange: -confirmed,
      reference,
      actor,
    })
  if (released > 0)
    await move(context, stock, { kind: 'release', onHandChange: 0, reservedChange: -released, reference, actor })
  return 'settled'
}

export type Adjustment = {
  variantId: string
  /** The version the person saw; 0 for a variant without stock. */
  version: number
  /** Counted units on hand; unchanged when left out. */
  onHand?: number | undefined
  lowStockThreshold?: number | undefined
  reason: string
}

/** Sets a stock to what was counted. Conflicts when it changed since the person looked. */
export async function adjust(context: ChangeContext, adjustment: Adjustment): Promise<Stock> {
  const { tenant } = context
  if (adjustment.version === 0) await ensureStock(tenant, adjustment.variantId, new Date(context.now()))
  const stock = await lockStock(tenant, adjustment.variantId)
  if (!stock)
    throw new Problem('not-found', `There is no stock of variant ${adjustment.variantId}. Send version 0 to create it.`)
  if (stock.version !== adjustment.version) {
    throw new Problem('conflict', `The stock changed: it has version ${stock.version} now.`, {
      extensions: { version: stock.version },
    })
  }
  const onHand = adjustment.onHand ?? stock.onHand
  if (onHand < stock.reserved) {
    throw new Problem('unprocessable', `${stock.reserved} units are reserved; there cannot be fewer on hand.`)
  }
  await record(context, stock, { ...adjustment, onHand })
  return move(
    context,
    stock,
    {
      kind: 'adjust',
      onHandChange: onHand - stock.onHand,
      reservedChange: 0,
      actor: context.actor,
      reason: adjustment.reason,
    },
    { lowStockThreshold: adjustment.lowStockThreshold ?? stock.lowStockThreshold },
  )
}

/** What staff correct must stay provable. */
async function record(context: ChangeContext, before: Stock, adjustment: Adjustment): Promise<void> {
  const { principal, tenantId } = context
  if (principal?.kind !== 'staff') return
  const { variantId, onHand, lowStockThreshold, reason } = adjustment
  await context.outbox.add(context.tx, [
    auditEvent({
      by: 'inventory',
      tenantId,
      actor: actorOf(principal),
      action: 'stock.adjusted',
      subject: `stock/${variantId}`,
      details: { onHandBefore: before.onHand, onHand, lowStockThreshold, reason, version: before.version + 1 },
      atMs: context.now(),
    }),
  ])
}
