/**
 * The database of `order` in memory: transactions with row locks that wait, deadlocks that are detected, reads of what is
 * committed plus one's own, and atomic commit. Every statement is a step, so a crash can fall between any two of them.
 */
import type {
  Allocation,
  GroupAtOnce,
  KnownPurchase,
  Order,
  OrderStore,
  OrderTransaction,
  Payment,
  Rejection,
  Transition,
} from '../../functions/order/effects.ts'
import type { OrderEvent } from '../../functions/order/order-events.ts'
import { holdsStock } from '../../functions/order/order-state.ts'
import type { Actor, Fault, Respond, Scheduler } from './scheduler.ts'
class DoesNotFit extends Error {}

class DuplicateRow extends Error {
  override readonly name = 'DuplicateRow'
}
class Deadlock extends Error {
  override readonly name = 'Deadlock'
}

type Tables = {
  allocations: Map<string, Allocation>
  orders: Map<string, Order>
  rejections: Map<string, Rejection>
  payments: Map<string, Payment>
  inbox: Map<string, true>
}
export type OutboxRow = { id: number; event: OrderEvent }

type Transaction = {
  actor: Actor
  /** Rows written and not committed; they shadow the committed ones. */
  written: Tables
  events: OrderEvent[]
  locks: Set<string>
  waitsFor: Transaction | undefined
  ended: boolean
}

const emptyTables = (): Tables => ({
  allocations: new Map(),
  orders: new Map(),
  rejections: new Map(),
  payments: new Map(),
  inbox: new Map(),
})
const activityKey = (activity: { tenantId: string; activityId: string }) =>
  `${activity.tenantId}:${activity.activityId}`
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
  const holders = new Map<string, Transaction>()
  let queue: { tx: Transaction; keys: readonly string[]; retry: () => void }[] = []
  let nextOutboxId = 1

  const end = (tx: Transaction) => {
    tx.ended = true
    open.delete(tx)
    for (const key of tx.locks) holders.delete(key)
    const waiting = queue
    queue = []
    for (const entry of waiting) {
      entry.tx.waitsFor = undefined
      entry.retry()
    }
  }

  /** Calls `then` once the transaction holds all these locks. */
  const lock = (
    tx: Transaction,
    keys: readonly string[],
    respond: Pick<Respond<never>, 'reject'>,
    then: () => void,
  ): void => {
    if (tx.ended) {
      respond.reject(new Error('the transaction was rolled back'))
      return
    }
    for (const key of keys) {
      const holder = holders.get(key)
      if (!holder || holder === tx) {
        holders.set(key, tx)
        tx.locks.add(key)
        continue
      }
      for (let other: Transaction | undefined = holder; other; other = other.waitsFor) {
        if (other !== tx) continue
        end(tx)
        respond.reject(new Deadlock('deadlock found when trying to get lock'))
        return
      }
      tx.waitsFor = holder
      queue.push({ tx, keys, retry: () => lock(tx, keys, respond, then) })
      return
    }
    try {
      then()
    } catch (error) {
      respond.reject(error)
    }
  }

  const visible = <K extends keyof Tables>(tx: Transaction, table: K, key: string): ReturnType<Tables[K]['get']> =>
    (tx.written[table].get(key) ?? tables[table].get(key)) as ReturnType<Tables[K]['get']>
  const insert = (tx: Transaction, table: keyof Tables, key: string, row: unknown) => {
    if (visible(tx, table, key) !== undefined) throw new DuplicateRow(`duplicate ${key} in ${table}`)
    ;(tx.written[table] as Map<string, unknown>).set(key, row)
  }
  const ordersSeen = (tx: Transaction): Order[] => [...new Map([...tables.orders, ...tx.written.orders]).values()]
  const liveUnitsOf = (tx: Transaction, activity: { tenantId: string; activityId: string }, userId: string): number =>
    ordersSeen(tx)
      .filter(
        (order) => order.userId === userId && activityKey(order) === activityKey(activity) && holdsStock(order.state),
      )
      .reduce((sum, order) => sum + order.quantity, 0)

  const commit = (tx: Transaction) => {
    for (const name of Object.keys(tables) as (keyof Tables)[]) {
      for (const [key, row] of tx.written[name]) (tables[name] as Map<string, unknown>).set(key, row)
    }
    for (const event of tx.events) outbox.push({ id: nextOutboxId++, event })
    end(tx)
    options.committed(tx.events)
  }

  function transactionOf(tx: Transaction): OrderTransaction & { storeAtOnce(group: GroupAtOnce): Promise<boolean> } {
    const statement = <T>(name: string, keys: readonly string[], run: () => T): Promise<T> =>
      scheduler.request<T>(
        tx.actor,
        `sql ${name}`,
        (respond) => lock(tx, keys, respond, () => respond.resolve(run())),
        fault,
      )
    const insertOrder = (
      order: Omit<Order, 'state' | 'version' | 'cancelReason' | 'paidAtMs' | 'cancelledAtMs' | 'paymentId'>,
    ) =>
      insert(tx, 'orders', order.orderNumber, {
        ...order,
        state: 'pending-payment',
        version: 1,
        cancelReason: undefined,
        paidAtMs: undefined,
        cancelledAtMs: undefined,
        paymentId: undefined,
      })
    const allocationLocks = (activities: readonly { tenantId: string; activityId: string }[]) =>
      activities.map((activity) => `allocation ${activityKey(activity)}`)
    const orderLocks = (numbers: readonly string[]) => numbers.map((number) => `order ${number}`)
    return {
      storeAtOnce: (group) =>
        statement(
          'store at once',
          [...allocationLocks(group.allocations), ...orderLocks(group.orders.map((order) => order.orderNumber))],
          () => {
            for (const wanted of group.allocations) {
              const allocation = visible(tx, 'allocations', activityKey(wanted))
              if (!allocation || allocation.termsVersion !== wanted.termsVersion) return false
              if (allocation.sold + wanted.units > allocation.allocated) return false
              tx.written.allocations.set(activityKey(wanted), { ...allocation, sold: allocation.sold + wanted.units })
            }
            for (const order of group.orders) {
              if (visible(tx, 'orders', order.orderNumber)) return false
              insertOrder(order)
            }
            for (const order of group.orders) {
              const terms = group.allocations.find((wanted) => activityKey(wanted) === activityKey(order))
              if (terms?.hasRejections && visible(tx, 'rejections', order.orderNumber)) return false
              if (liveUnitsOf(tx, order, order.userId) > (terms?.perUserLimit ?? 0)) return false
            }
            tx.events.push(...group.events)
            return true
          },
        ),
      lockAllocations: (activities) =>
        statement('lock allocations', allocationLocks(activities), () =>
          activities.flatMap((activity) => visible(tx, 'allocations', activityKey(activity)) ?? []),
        ),
      holdUnknown: (activity) =>
        statement('hold unknown', allocationLocks([activity]), () => {
          if (visible(tx, 'allocations', activityKey(activity))) throw new DuplicateRow('the allocation exists')
        }),
      findKnown: (_tenantId, orderNumbers) =>
        statement('find known', [], () => {
          const known = new Map<string, KnownPurchase>()
          for (const number of orderNumbers) {
            const order = visible(tx, 'orders', number)
            const rejection = visible(tx, 'rejections', number)
            const row = order ?? rejection
            if (!row) continue
            const { tenantId, activityId, userId, quantity } = row
            known.set(number, {
              tenantId,
              activityId,
              userId,
              quantity,
              rejectedFor: order ? undefined : rejection?.reason,
            })
          }
          return known
        }),
      liveUnits: (activity, userIds) =>
        statement('live units', [], () => {
          const units = new Map<string, number>()
          for (const userId of userIds) {
            const count = liveUnitsOf(tx, activity, userId)
            if (count > 0) units.set(userId, count)
          }
          return units
        }),
      insertOrders: (orders) =>
        statement('insert orders', orderLocks(orders.map((order) => order.orderNumber)), () => {
          for (const order of orders) insertOrder(order)
        }),
      insertRejections: (rejections) =>
        statement(
          'insert rejections',
          [...allocationLocks(rejections), ...rejections.map((rejection) => `rejection ${rejection.orderNumber}`)],
          () => {
            for (const rejection of rejections) {
              insert(tx, 'rejections', rejection.orderNumber, rejection)
              const allocation = visible(tx, 'allocations', activityKey(rejection))
              if (!allocation || allocation.hasRejections) continue
              const marked = { ...allocation, hasRejections: true, termsVersion: allocation.termsVersion + 1 }
              tx.written.allocations.set(activityKey(rejection), marked)
            }
          },
        ),
      addSold: (activity, units) =>
        statement('add sold', allocationLocks([activity]), () => {
          const allocation = visible(tx, 'allocations', activityKey(activity))
          if (!allocation) throw new Error('no such allocation')
          if (allocation.sold + units < 0 || (units > 0 && allocation.sold + units > allocation.allocated)) {
            throw new Error(`the allocation does not allow a change of ${units} units`)
          }
          tx.written.allocations.set(activityKey(activity), { ...allocation, sold: allocation.sold + units })
        }),
      saveAllocation: (terms) =>
        statement('save allocation', allocationLocks([terms]), () => {
          const before = visible(tx, 'allocations', activityKey(terms))
          tx.written.allocations.set(activityKey(terms), {
            ...terms,
            sold: before?.sold ?? 0,
            hasRejections:
              before?.hasRejections ??
              [...tables.rejections.values()].some((known) => activityKey(known) === activityKey(terms)),
            termsVersion: (before?.termsVersion ?? 0) + 1,
          })
        }),
      lockOrder: (_tenantId, orderNumber) =>
        statement('lock order', orderLocks([orderNumber]), () => visible(tx, 'orders', orderNumber)),
      lockPending: (_activity, orderNumbers) => {
        // SKIP LOCKED: what somebody else holds is left out.
        const free = () => orderNumbers.filter((number) => (holders.get(`order ${number}`) ?? tx) === tx)
        return scheduler.request<Order[]>(
          tx.actor,
          'sql lock pending',
          (respond) => {
            const numbers = free()
            lock(tx, orderLocks(numbers), respond, () =>
              respond.resolve(
                numbers.flatMap((number) => {
                  const order = visible(tx, 'orders', number)
                  return order?.state === 'pending-payment' ? [order] : []
                }),
              ),
            )
          },
          fault,
        )
      },
      findRejection: (_tenantId, orderNumber) =>
        statement('find rejection', [], () => visible(tx, 'rejections', orderNumber)),
      findOrder: (_tenantId, orderNumber) => statement('find order', [], () => visible(tx, 'orders', orderNumber)),
      applyTransition: (transition) =>
        statement('apply transition', orderLocks(transition.orders.map((order) => order.orderNumber)), () => {
          for (const { orderNumber } of transition.orders) applyTransition(tx, orderNumber, transition)
        }),
      findPayment: (_tenantId, paymentId) =>
        statement('find payment', [], () => visible(tx, 'payments', paymentId)?.outcome),
      insertPayment: (payment) =>
        statement('insert payment', [`payment ${payment.paymentId}`], () =>
          insert(tx, 'payments', payment.paymentId, payment),
        ),
      addEvents: (events) =>
        statement('add events', [], () => {
          tx.events.push(...events)
        }),
      firstTime: (event) =>
        statement('inbox', [`inbox ${event.source} ${event.id}`], () => {
          const key = `${event.source} ${event.id}`
          if (visible(tx, 'inbox', key)) return false
          tx.written.inbox.set(key, true)
          return true
        }),
    }
  }

  const applyTransition = (
    tx: Transaction,
    orderNumber: string,
    { from, to, atMs, cancelReason, payment }: Transition,
  ) => {
    const current = visible(tx, 'orders', orderNumber)
    if (current?.state !== from) throw new Error(`order ${orderNumber} was no longer ${from}`)
    tx.written.orders.set(orderNumber, {
      ...current,
      state: to,
      version: current.version + 1,
      cancelReason: cancelReason ?? current.cancelReason,
      paymentId: payment?.paymentId ?? current.paymentId,
      paidAtMs: payment?.paidAtMs ?? current.paidAtMs,
      cancelledAtMs: to === 'cancelled' ? atMs : current.cancelledAtMs,
    })
  }

  const transaction = async <T>(
    actor: Actor,
    work: (tx: ReturnType<typeof transactionOf>) => Promise<T>,
  ): Promise<T> => {
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
        const result = await work(transactionOf(tx))
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
        if (!tx.ended) end(tx)
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
        if (tx.actor === actor) {
          scheduler.later('sql rollback of a dead connection', 1, () => {
            if (!tx.ended) end(tx)
          })
        }
      }
    },
    /** The server died: open transactions are rolled back, what is committed stays. */
    crash() {
      for (const tx of open) end(tx)
    },
  }
}
