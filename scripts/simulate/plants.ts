/**
 * Bugs that can be planted, to show that the simulation finds them. A plant changes the text of a script, or what stands
 * between an operation and its effects; the operations themselves stay as they are. A patch whose place is gone fails loudly.
 */
import type { OrderStore, OrderTransaction } from '../../functions/order/effects.ts'
import type { SaleMemory } from '../../functions/seckill/sale-memory.ts'
import type { BucketEffects } from '../../functions/reconciliation/reconcile-bucket.ts'
import { bucketKeys } from '../../shared/sale/keys.ts'
import type { SaleStore } from '../../shared/sale/types.ts'
import type { Actor } from './scheduler.ts'
import type { World } from './world.ts'

export type Plant = {
  summary: string
  /** Replacements in scripts: name of the script, what is there, what stands there instead. */
  scripts: readonly { script: string; find: string; replace: string }[]
  store(store: SaleStore, world: World, actor: Actor): SaleStore
  memory(memory: SaleMemory): SaleMemory
  /** The way of a batch to Kafka. */
  send(send: () => Promise<void>): Promise<void>
  orderStore(store: OrderStore): OrderStore
  graceMs: number | undefined
  reconciliation(effects: BucketEffects): BucketEffects
}

export const noPlant: Plant = {
  summary: 'nothing is planted',
  scripts: [],
  store: (store) => store,
  memory: (memory) => memory,
  send: (send) => send(),
  orderStore: (store) => store,
  graceMs: undefined,
  reconciliation: (effects) => effects,
}

/** Changes what an operation sees in its transactions. */
const inTransaction = (change: (tx: OrderTransaction) => Partial<OrderTransaction>) => (store: OrderStore) => ({
  ...store,
  storeAtOnce: () => Promise.resolve(false),
  transaction: <T>(work: (tx: OrderTransaction) => Promise<T>) =>
    store.transaction((tx) => work({ ...tx, ...change(tx) })),
})

export const plants = {
  'release-not-idempotent': {
    ...noPlant,
    summary: 'a second release of the same order number gives the units back again',
    scripts: [
      {
        script: 'release',
        find: "if status ~= 'x' then\n          tombstone",
        replace: 'if true then\n          tombstone',
      },
    ],
  },
  'message-outside-script': {
    ...noPlant,
    summary: 'the message to send is written by a second command after the decision',
    scripts: [
      {
        script: 'purchase',
        find: "redis.call('XADD', outbox_key, '*', 't'",
        replace: "redis.call('EXISTS', outbox_key, 't'",
      },
    ],
    store: (store, world, actor) => {
      const redis = world.sharedRedis.client(actor)
      return {
        ...store,
        purchase: async (bucket, purchases) => {
          const result = await store.purchase(bucket, purchases)
          const lines = purchases
            .filter((_, index) => result.verdicts[index]?.outcome === 'accepted')
            .map(({ userId, quantity, orderNumber }) => `${userId} ${quantity} ${orderNumber} .`)
          if (lines.length > 0)
            await redis.xadd(bucketKeys(bucket).outbox, '*', 't', world.scheduler.now(), 'p', lines.join('\n'))
          return result
        },
      }
    },
  },
  'stock-checked-outside-script': {
    ...noPlant,
    summary: 'the stock is read first and the script deducts without looking',
    scripts: [
      { script: 'purchase', find: 'elseif left < 1 then', replace: 'elseif false then' },
      { script: 'purchase', find: 'elseif wanted > left then', replace: 'elseif false then' },
    ],
    store: (store) => ({
      ...store,
      purchase: async (bucket, purchases) => {
        const snapshot = await store.snapshot(bucket)
        if (!snapshot || snapshot.left > 0) return store.purchase(bucket, purchases)
        return {
          verdicts: purchases.map(() => ({ outcome: 'sold-out' as const })),
          left: 0,
          recoveries: snapshot.recoveries,
        }
      },
    }),
  },
  'limit-ignores-confirmed': {
    ...noPlant,
    summary: 'purchases whose order is stored do not count for the per-user limit',
    scripts: [{ script: 'purchase', find: "if status ~= 'x' then", replace: "if status == 'a' then" }],
  },
  'relay-acks-before-kafka': {
    ...noPlant,
    summary: 'the relay deletes entries from the outbox when it has read them',
    store: (store) => ({
      ...store,
      readOutbox: async (bucket, consumer, count) => {
        const entries = await store.readOutbox(bucket, consumer, count)
        await store.acknowledgeOutbox(
          bucket,
          entries.map((entry) => entry.id),
        )
        return entries
      },
    }),
  },
  'relay-ignores-kafka-errors': {
    ...noPlant,
    summary: 'a batch that Kafka did not take counts as sent',
    send: (send) => send().catch(() => {}),
  },
  'no-claims': {
    ...noPlant,
    summary: 'nobody takes over what a dead process had read from the outbox',
    store: (store) => ({ ...store, claimOutbox: () => Promise.resolve([]) }),
  },
  'transfer-not-idempotent': {
    ...noPlant,
    summary: 'the second half of a transfer between buckets adds the units each time',
    scripts: [
      {
        script: 'transferIn',
        find: "redis.call('HSETNX', received_key, transfer, units) == 0",
        replace: "redis.call('HSET', received_key, transfer, units) == 2",
      },
    ],
  },
  'recover-without-grace': {
    ...noPlant,
    summary: 'the first process that notices a restart of Redis opens the sale at once',
    graceMs: 0,
  },
  'no-journal-replay-after-redis-loss': {
    ...noPlant,
    summary: 'nobody restores what Redis lost with its last second',
    memory: (memory) => memory,
    store: (store) => ({ ...store, restore: () => Promise.resolve(0) }),
  },
  'transfers-not-replayed': {
    ...noPlant,
    summary: 'nobody repeats the transfers between buckets that Redis lost with its last second',
    store: (store) => ({ ...store, restoreTransfers: () => Promise.resolve({ restored: 0, complete: true }) }),
  },
  'restore-without-message': {
    ...noPlant,
    summary: 'restored purchases are not sent again',
    store: (store) => ({
      ...store,
      restore: (bucket, operations) => store.restore(bucket, operations, { resend: false }),
    }),
  },
  'run-not-compared': {
    ...noPlant,
    summary: 'a restarted Redis sells on without being made whole',
    scripts: [{ script: 'purchase', find: 'sale[1] ~= redis_process() or', replace: '' }],
  },
  'order-not-idempotent': {
    ...noPlant,
    summary: 'a message that comes again is counted again',
    orderStore: inTransaction((tx) => ({
      insertOrders: (orders) => tx.insertOrders(orders).catch(() => {}),
      findKnown: () => Promise.resolve(new Map()),
    })),
  },
  'rejection-forgotten': {
    ...noPlant,
    summary: 'a purchase that was rejected becomes an order when its message comes again',
    orderStore: inTransaction((tx) => ({
      findKnown: async (tenantId, numbers) =>
        new Map([...(await tx.findKnown(tenantId, numbers))].filter(([, known]) => known.rejectedFor === undefined)),
      insertRejections: (rejections) => tx.insertRejections(rejections).catch(() => {}),
    })),
  },
  'allocation-not-checked': {
    ...noPlant,
    summary: 'order stores whatever was accepted',
    orderStore: inTransaction((tx) => ({
      lockAllocations: async (activities) =>
        (await tx.lockAllocations(activities)).map((allocation) => ({
          ...allocation,
          allocated: 1_000_000,
          perUserLimit: 1_000_000,
        })),
    })),
  },
  'cancel-ignores-payment': {
    ...noPlant,
    summary: 'the clock cancels orders that were paid since it looked',
    orderStore: inTransaction((tx) => ({
      lockPending: async (activity, numbers) => {
        const orders = await Promise.all(numbers.map((number) => tx.findOrder(activity.tenantId, number)))
        return orders.flatMap((order) => (order && order.state !== 'cancelled' ? [order] : []))
      },
      applyTransition: (transition) =>
        tx.applyTransition({
          ...transition,
          from: transition.actor === 'schedule' ? transition.orders[0]!.state : transition.from,
        }),
    })),
  },
  'cancel-keeps-allocation': {
    ...noPlant,
    summary: 'a cancelled order does not give its units back to the allocation',
    orderStore: inTransaction((tx) => ({
      addSold: (activity, units) => (units < 0 ? Promise.resolve() : tx.addSold(activity, units)),
    })),
  },
  'payment-not-idempotent': {
    ...noPlant,
    summary: 'a payment that is told twice is decided twice',
    orderStore: inTransaction((tx) => ({
      findPayment: () => Promise.resolve(undefined),
      insertPayment: (payment) =>
        tx.insertPayment({ ...payment, paymentId: `${payment.paymentId}-${payment.receivedAtMs}` }),
    })),
  },
  'reconciliation-trusts-absence': {
    ...noPlant,
    summary: 'an accepted purchase whose order is not stored yet is released as if it never would be',
    reconciliation: (effects) => ({
      ...effects,
      lookUpOrders: async (numbers) =>
        (await effects.lookUpOrders(numbers)).map(({ orderNumber, fact }) => ({
          orderNumber,
          fact: fact === 'unknown' ? ('ended' as const) : fact,
        })),
    }),
  },
} as const satisfies Record<string, Plant>

export type PlantName = keyof typeof plants
export const plantNames = Object.keys(plants) as PlantName[]
export const isPlant = (name: string): name is PlantName => name in plants

/** The change of the scripts' text that a plant makes. `scripts`: name → text. */
export function scriptPatch(plant: Plant, scripts: ReadonlyMap<string, string>): (code: string) => string {
  const changed = new Map<string, string>()
  for (const { script, find, replace } of plant.scripts) {
    const original = scripts.get(script)
    const before = original === undefined ? undefined : (changed.get(original) ?? original)
    if (original === undefined || !before?.includes(find))
      throw new Error(`the plant does not fit the script ${script} any more: ${find}`)
    changed.set(original, before.replace(find, replace))
  }
  return (code) => changed.get(code) ?? code
}
