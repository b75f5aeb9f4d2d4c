/** One process of `order`: the production operations over the simulated database, and the relay of its outbox to the broker. */
import { purchaseAccepted, paymentSucceeded } from '../../eventing/catalogue/events.ts'
import { cancelOverdue, cancelOwnOrder } from '../../functions/order/cancel-order.ts'
import type { Allocation, PurchaseBatch } from '../../functions/order/effects.ts'
import { createGroupCommit } from '../../functions/order/group-commit.ts'
import { payOrder, type ReceivedPayment } from '../../functions/order/pay-order.ts'
import {
  defaultSettlePolicy,
  prepareGroup,
  settleGroup,
  type PurchaseGroup,
  type PurchaseOutcome,
} from '../../functions/order/settle-purchases.ts'
import type { SimulatedEvent } from './broker.ts'
import { Unreachable, type Actor } from './scheduler.ts'
import type { World } from './world.ts'

export type OrderProcess = {
  handle(event: SimulatedEvent): Promise<void>
  cancel(request: { userId: string; orderNumber: string }): Promise<void>
}

const cancelEveryMs = 2_000
const relayEveryMs = 1_500

export function startOrderProcess(world: World, actor: Actor): OrderProcess {
  const { scheduler, database, sale, plant } = world
  const random = world.random.split()
  const store = plant.orderStore(database.storeFor(actor))
  const terms = new Map<string, Allocation>()
  const pause = (durationMs: number) => scheduler.sleep(actor, 'pause', durationMs)

  const settling = { store, terms, now: scheduler.now, policy: defaultSettlePolicy }
  const commits = createGroupCommit<PurchaseBatch, PurchaseGroup, PurchaseOutcome[]>({
    prepare: (batches) => prepareGroup(batches, settling),
    settle: async (group, meanwhile) => {
      const outcomes = await settleGroup(group, settling, meanwhile)
      wakeRelay()
      return outcomes
    },
    weigh: (batch) => batch.purchases.length,
    // Small, so that groups also wait for each other.
    maximumGroup: 8,
    maximumQueue: 10_000,
    isEnvironmental: (error) => error instanceof Unreachable,
  })

  let relaying = false
  const relayOutbox = async (): Promise<void> => {
    // One relay of the table at a time, over all processes: the lock in the database.
    const { holder } = world.outboxLock
    if (relaying || (holder && holder.actor.alive && holder.actor.life === holder.life)) return
    relaying = true
    world.outboxLock.holder = { actor, life: actor.life }
    try {
      for (let rows = await database.readOutbox(actor); rows.length > 0; rows = await database.readOutbox(actor)) {
        const done: number[] = []
        try {
          for (const row of rows) {
            await world.publish(actor, row)
            done.push(row.id)
          }
        } finally {
          if (done.length > 0) await database.deletePublished(actor, done)
        }
      }
    } catch {
      // The next look tries again.
    } finally {
      relaying = false
      world.outboxLock.holder = undefined
    }
  }
  const wakeRelay = () => void relayOutbox()

  const every = async (periodMs: number, work: () => Promise<unknown>): Promise<void> => {
    for (;;) {
      await pause(periodMs + random.below(periodMs))
      await work().catch(() => {})
    }
  }
  void every(relayEveryMs, relayOutbox)
  const watched = {
    ...store,
    findOverdue: async (...asked: Parameters<typeof store.findOverdue>) => {
      const overdue = await store.findOverdue(...asked)
      world.aboutToCancel(overdue.flatMap((group) => group.orderNumbers))
      return overdue
    },
  }
  void every(cancelEveryMs, () => cancelOverdue({ store: watched, now: scheduler.now }))

  return {
    handle: async (event) => {
      if (event.type === purchaseAccepted.type) {
        const stored = commits.submit(event.data as PurchaseBatch)
        scheduler.awaitsImmediate()
        const outcomes = await stored
        if (outcomes.some(({ outcome }) => outcome === 'not-yet')) throw new Error('not yet')
      } else if (event.type === paymentSucceeded.type) {
        await payOrder(event.data as ReceivedPayment, { store, now: scheduler.now, unknownOrderGraceMs: 600_000 })
      }
      wakeRelay()
    },
    cancel: async ({ userId, orderNumber }) => {
      await cancelOwnOrder({ tenantId: sale.tenantId, userId, orderNumber }, { store, now: scheduler.now })
      wakeRelay()
    },
  }
}
