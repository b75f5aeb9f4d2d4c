/** This function's transactions. What routes only read is in `read-orders.ts`. */
import { connectDatabase, type Database, type Transaction } from '@stampede/shared/database/connect.ts'
import { didNotHold, isDuplicateKey } from '@stampede/shared/database/errors.ts'
import type { Row } from '@stampede/shared/database/sessions.ts'
import { createInbox } from '@stampede/shared/events/inbox.ts'
import type {
  Deadlines,
  KnownPurchase,
  OrderStore,
  OrderTransaction,
  OverdueOrders,
  PaymentOutcome,
} from './effects.ts'
import { releasedStates } from './order-state.ts'
import { toAllocation, toOrder, toRejection } from './sql.ts'
import {
  deletePlaceholder,
  giveUnitsBack,
  heldAllocations,
  heldOrder,
  heldPending,
  insertPayment,
  insertPlaceholder,
  insertRejections,
  insertTransitions,
  knownPurchases,
  liveUnitsOfBuyers,
  markRejections,
  orderByNumber,
  earliestDeadline,
  overdueOrders,
  paymentById,
  putAllocation,
  rejectionByNumber,
  takeUnits,
  updateState,
} from './statements.ts'
import { atOnceStatements, byTenant, insertOrders, orderRow, outbox } from './store-at-once.ts'

const inbox = createInbox('order_inbox')

/**
 * The database as the order writer uses it. One connection: parallel transactions would wait for each other at the allocation,
 * and measured slower.
 */
export const connectForWriting = (url: string): Database =>
  connectDatabase(url, { poolSize: 1, multipleStatements: true })

/** `storeAtOnce` needs a database with `multipleStatements`. `prepared` is awaited before each use: the schema is there then. */
export function createOrderStore(
  database: Database,
  prepared: () => Promise<void> = async () => {},
): OrderStore & Deadlines {
  return {
    isDuplicate: isDuplicateKey,
    prepareAtOnce: (group) => void atOnceStatements(group),
    storeAtOnce: async (group, sent) => {
      await prepared()
      try {
        await database.transactionAtOnce(atOnceStatements(group), sent)
        return true
      } catch (error) {
        if (isDuplicateKey(error) || didNotHold(error)) return false
        throw error
      }
    },
    transaction: async (work) => {
      await prepared()
      return database.transaction((connection) => work(onConnection(connection)))
    },
    findOverdue: async (nowMs, limit, without) => {
      await prepared()
      const rows = await database.forPlatform().rows(overdueOrders, {
        now: new Date(nowMs),
        // Nothing is called '', and a list has at least one value.
        without: ['', ...without.map(({ tenantId, activityId }) => `${tenantId} ${activityId}`)],
        limit,
      })
      return groupOverdue(rows)
    },
    nextDeadline: async () => {
      await prepared()
      const row = await database.forPlatform().row(earliestDeadline, {})
      return (row?.['payBy'] as Date | null | undefined)?.getTime()
    },
  }
}

function groupOverdue(rows: readonly Row[]): OverdueOrders[] {
  const groups = Map.groupBy(rows, (row) => `${String(row['tenant_id'])}:${String(row['activity_id'])}`)
  return [...groups.values()].map((group) => ({
    tenantId: String(group[0]?.['tenant_id']),
    activityId: String(group[0]?.['activity_id']),
    orderNumbers: group.map((row) => String(row['order_number'])),
  }))
}

function onConnection(tx: Transaction): OrderTransaction {
  return {
    lockAllocations: async (activities) => {
      const allocations = []
      for (const [tenantId, own] of byTenant(activities)) {
        const activityIds = [...new Set(own.map(({ activityId }) => activityId))]
        const rows = await tx.forTenant(tenantId).rows(heldAllocations, { activityIds })
        allocations.push(...rows.map(toAllocation))
      }
      return allocations
    },

    holdUnknown: async ({ tenantId, activityId }) => {
      // A row that is inserted and deleted leaves nothing but its lock.
      await tx.forTenant(tenantId).change(insertPlaceholder, { activityId })
      await tx.forTenant(tenantId).change(deletePlaceholder, { activityId })
    },

    findKnown: async (tenantId, orderNumbers) => {
      const known = new Map<string, KnownPurchase>()
      if (orderNumbers.length === 0) return known
      for (const row of await tx.forTenant(tenantId).rows(knownPurchases, { orderNumbers })) {
        known.set(String(row['order_number']), {
          tenantId,
          activityId: String(row['activity_id']),
          userId: String(row['user_id']),
          quantity: Number(row['quantity']),
          rejectedFor: (row['reason'] as KnownPurchase['rejectedFor'] | null) ?? undefined,
        })
      }
      return known
    },

    liveUnits: async ({ tenantId, activityId }, userIds) => {
      if (userIds.length === 0) return new Map()
      const rows = await tx.forTenant(tenantId).rows(liveUnitsOfBuyers, { activityId, userIds, releasedStates })
      return new Map(rows.map((row) => [String(row['user_id']), Number(row['units'])]))
    },

    insertOrders: async (orders) => {
      for (const [tenantId, own] of byTenant(orders))
        await tx.forTenant(tenantId).changeAll(insertOrders, own.map(orderRow))
    },

    insertRejections: async (rejections) => {
      for (const [tenantId, own] of byTenant(rejections)) {
        const tenant = tx.forTenant(tenantId)
        await tenant.changeAll(
          insertRejections,
          own.map((rejection) => ({ ...rejection, rejectedAt: new Date(rejection.rejectedAtMs) })),
        )
        await tenant.change(markRejections, { activityIds: [...new Set(own.map(({ activityId }) => activityId))] })
      }
    },

    addSold: async ({ tenantId, activityId }, units) => {
      // The condition repeats the decision: should the two ever differ, the transaction fails instead of overselling.
      const tenant = tx.forTenant(tenantId)
      const affected = await (units > 0
        ? tenant.change(takeUnits, { activityId, units })
        : tenant.change(giveUnitsBack, { activityId, units: -units }))
      if (affected !== 1) throw new Error(`the allocation of ${activityId} does not allow a change of ${units} units`)
    },

    saveAllocation: async (terms, atMs) => {
      await tx.forTenant(terms.tenantId).change(putAllocation, {
        ...terms,
        startsAt: new Date(terms.startsAtMs),
        endsAt: new Date(terms.endsAtMs),
        closedAt: terms.closedAtMs === undefined ? null : new Date(terms.closedAtMs),
        at: new Date(atMs),
      })
    },

    findOrder: async (tenantId, orderNumber) => {
      const row = await tx.forTenant(tenantId).row(orderByNumber, { orderNumber })
      return row && toOrder(row)
    },

    lockOrder: async (tenantId, orderNumber) => {
      const row = await tx.forTenant(tenantId).row(heldOrder, { orderNumber })
      return row && toOrder(row)
    },

    lockPending: async ({ tenantId, activityId }, orderNumbers) => {
      if (orderNumbers.length === 0) return []
      return (await tx.forTenant(tenantId).rows(heldPending, { activityId, orderNumbers })).map(toOrder)
    },

    findRejection: async (tenantId, orderNumber) => {
      const row = await tx.forTenant(tenantId).row(rejectionByNumber, { orderNumber })
      return row && toRejection(row)
    },

    applyTransition: async ({ orders, from, to, actor, atMs, cancelReason = null, payment }) => {
      const first = orders[0]
      if (!first) return
      const tenant = tx.forTenant(first.tenantId)
      const at = new Date(atMs)
      const affected = await tenant.change(updateState, {
        orderNumbers: orders.map(({ orderNumber }) => orderNumber),
        from,
        to,
        cancelReason: to === 'cancelled' ? cancelReason : null,
        cancelledAt: to === 'cancelled' ? at : null,
        paymentId: payment?.paymentId ?? null,
        paidAt: payment ? new Date(payment.paidAtMs) : null,
      })
      if (affected !== orders.length) throw new Error(`${orders.length - affected} orders were no longer ${from}`)
      await tenant.changeAll(
        insertTransitions,
        orders.map(({ orderNumber, version }) => ({
          orderNumber,
          version: version + 1,
          from,
          to,
          actor,
          reason: cancelReason,
          at,
        })),
      )
    },

    findPayment: async (tenantId, paymentId) => {
      const row = await tx.forTenant(tenantId).row(paymentById, { paymentId })
      return row && (row['outcome'] as PaymentOutcome)
    },

    insertPayment: async (payment) => {
      await tx.forTenant(payment.tenantId).change(insertPayment, {
        ...payment,
        paidAt: new Date(payment.paidAtMs),
        receivedAt: new Date(payment.receivedAtMs),
      })
    },

    addEvents: (events) => outbox.add(tx, events),
    firstTime: (event) => inbox.firstTime(tx, event),
  }
}
