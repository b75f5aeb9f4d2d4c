/**
 * The database of `order` in memory: transactions with row locks that wait, deadlocks that are detected, reads of what is
 * committed plus one's own, and atomic commit. Every statement is a step, so a crash can fall between any two of them.
 */
import type { Allocation, OrderStore } from '../../../functions/order/effects.ts'
import type { OrderEvent } from '../../../functions/order/order-events.ts'
import type { Actor, Fault, Scheduler } from '../scheduler.ts'
import { createRowLocks, Deadlock } from './row-locks.ts'
import { activityKey, DuplicateRow, emptyTables, type Tables } from './rows.ts'
import { statementsOf, type Statements, type Transaction } from './statements.ts'

class DoesNotFit extends Error {}

export type OutboxRow = { id: number; event: OrderEvent }

const maximumAttempts = 4

export type SimulatedDatabase = ReturnType<typeof createSimulatedDatabase>

export function createSimulatedDatabase(options: {
  scheduler: Scheduler
  fault: () => Fault
  /** After each commit: what must hold of the committed rows at every moment. */
  committed: (events: readonly OrderEvent[]) => void
}) {
  const { scheduler, fault } = options
  const tables = emptyTables()
  const outbox: OutboxRow[] = []
  const open = new Set<Transaction>()
  const locks = createRowLocks()
  let nextOutboxId = 1

  const end = (tx: Transaction) => {
    open.delete(tx)
    // A deadlock has ended it already.
    if (!tx.ended) locks.release(tx)
  }

  const commit = (tx: Transaction) => {
    for (const name of Object.keys(tables) as (keyof Tables)[]) {
      for (const [key, row] of tx.written[name]) (tables[name] as Map<string, unknown>).set(key, row)
    }
    for (const event of tx.events) outbox.push({ id: nextOutboxId++, event })
    end(tx)
    options.committed(tx.events)
  }

  const transaction = async <T>(actor: Actor, work: (tx: Statements) => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt++) {
      const tx: Transaction = {
        actor,
        written: emptyTables(),
        events: [],
        locks: new Set(),
        waitsFor: undefined,
        ended: false,
      }
      open.add(tx)
      try {
        const result = await work(statementsOf(tx, { scheduler, fault, locks, tables }))
        await scheduler.call(
          actor,
          'sql commit',
          () => {
            if (tx.ended) throw new Error('the transaction was rolled back')
            commit(tx)
          },
          fault,
        )
        return result
      } catch (error) {
        // The driver drops a connection that failed, and the server rolls back.
        end(tx)
        if (!(error instanceof Deadlock) || attempt >= maximumAttempts) throw error
      }
    }
  }

  /** The store as one process sees it. */
  const storeFor = (actor: Actor): OrderStore => ({
    prepareAtOnce: () => {},
    transaction: (work) => transaction(actor, work),
    storeAtOnce: async (group, sent) => {
      try {
        await transaction(actor, async (tx) => {
          const stored = tx.storeAtOnce(group)
          sent()
          if (!(await stored)) throw new DoesNotFit()
        })
        return true
      } catch (error) {
        if (error instanceof DoesNotFit) return false
        throw error
      }
    },
    findOverdue: (nowMs, limit, without) =>
      scheduler.call(
        actor,
        'sql find overdue',
        () => {
          const overdue = [...tables.orders.values()]
            .filter((order) => order.state === 'pending-payment' && order.payByMs <= nowMs)
            .filter((order) => !without.some((activity) => activityKey(activity) === activityKey(order)))
            .sort((a, b) => a.payByMs - b.payByMs)
            .slice(0, limit)
          return [...Map.groupBy(overdue, activityKey).values()].map((orders) => ({
            tenantId: orders[0]!.tenantId,
            activityId: orders[0]!.activityId,
            orderNumbers: orders.map((order) => order.orderNumber),
          }))
        },
        fault,
      ),
    isDuplicate: (error) => error instanceof DuplicateRow,
  })

  return {
    tables: tables as {
      readonly [K in keyof Tables]: ReadonlyMap<string, Tables[K] extends Map<string, infer V> ? V : never>
    },
    storeFor,
    /** Committed events that nobody has published and deleted yet. */
    outbox: outbox as readonly OutboxRow[],
    readOutbox: (actor: Actor) => scheduler.call(actor, 'sql read outbox', () => outbox.slice(0, 20), fault),
    deletePublished: (actor: Actor, ids: readonly number[]) =>
      scheduler.call(
        actor,
        'sql delete from outbox',
        () => {
          for (const id of ids) {
            const at = outbox.findIndex((row) => row.id === id)
            if (at >= 0) outbox.splice(at, 1)
          }
        },
        fault,
      ),
    /** Rows before the sale begins. */
    addAllocation: (allocation: Allocation) => void tables.allocations.set(activityKey(allocation), allocation),
    /** The process died: its transactions are rolled back as soon as the server notices, a commit on its way may come first. */
    abandon(actor: Actor) {
      for (const tx of open) {
        if (tx.actor === actor && !tx.ended) {
          scheduler.later('sql rollback of a dead connection', 1, () => end(tx))
        }
      }
    },
    /** The server died: open transactions are rolled back, what is committed stays. */
    crash() {
      for (const tx of open) end(tx)
    },
  }
}
