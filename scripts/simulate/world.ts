/** Puts one schedule together: the processes, the services they share, and what is checked while they run. */
import {
  orderCancelled,
  orderCreated,
  orderRefundRequested,
  orderRejected,
  paymentSucceeded,
  purchaseAccepted,
} from '../../eventing/catalogue/events.ts'
import type { Allocation, PurchaseBatch } from '../../functions/order/effects.ts'
import type { SaleResult } from '../../functions/reconciliation/reconcile-sale.ts'
import type { RelayMessage } from '../../functions/seckill/relay.ts'
import type { BucketRef, SaleDefinition } from '../../shared/sale/types.ts'
import { createBroker } from './broker.ts'
import { buy, payAtOnce, settleOrders } from './buyers.ts'
import { createSimulatedDatabase, type OutboxRow } from './database/database.ts'
import { createFailures } from './failures.ts'
import { checkBuckets, checkOrders, checkRecovered } from './invariants.ts'
import { createLedger } from './ledger.ts'
import type { Plant } from './plants.ts'
import { createProcesses, newActor } from './processes.ts'
import type { Random } from './random.ts'
import type { SimulatedRedis } from './redis/redis.ts'
import { createScheduler, type Actor } from './scheduler.ts'
import type { Settings } from './settings.ts'
import { createSharedRedis } from './shared-redis.ts'

export const startMs = 1_700_000_000_000
const tenantId = 't'
const activityId = 'a'

type Reconciliation = SaleResult & { full: boolean; sinceMs: number }
export type World = ReturnType<typeof createWorld>

export function createWorld(options: {
  settings: Settings
  random: Random
  redis: SimulatedRedis
  plant: Plant
  trace?: (line: string) => void
}) {
  const { settings, random, redis, plant, trace } = options
  const scheduler = createScheduler({ random: random.split(), startMs, trace })
  const note = trace && ((text: string) => trace(`${scheduler.now() - startMs} ${text}`))
  const faultRandom = random.split()
  const failures = createFailures(settings, faultRandom)
  const ledger = createLedger()
  const sale: SaleDefinition = {
    tenantId,
    activityId,
    stock: settings.stock,
    perUserLimit: settings.perUserLimit,
    buckets: settings.buckets,
    startsAtMs: startMs,
    endsAtMs: startMs + 3_600_000,
  }
  const buckets: BucketRef[] = Array.from({ length: sale.buckets }, (_, bucket) => ({ tenantId, activityId, bucket }))

  const broker = createBroker({
    scheduler,
    random: random.split(),
    faults: failures.ofDelivery,
    deadLetter: ({ type, data }) => {
      if (type !== purchaseAccepted.type) return
      ledger.deadLettered((data as PurchaseBatch).purchases.map(({ orderNumber }) => orderNumber))
    },
  })
  const brokerFault = failures.ofRequest('broker')

  const sharedRedis = createSharedRedis({
    redis,
    scheduler,
    random: faultRandom,
    sale,
    buckets,
    lossMs: settings.faults.redisLossMs,
    ledger,
    fault: failures.ofRequest('redis'),
    written: (views, command) => {
      checkBuckets(world, views, command)
    },
    opened: (bucket) => {
      checkRecovered(world, bucket)
    },
    note,
  })

  /** How often the money of a payment was asked back. */
  const refunds = new Map<string, number>()
  const databaseFault = failures.ofRequest('database')
  const database = createSimulatedDatabase({
    scheduler,
    fault: databaseFault,
    committed: (events) =>
      scheduler.guard(() => {
        for (const event of events) {
          if (event.definition.type !== orderRefundRequested.type) continue
          const { paymentId } = event.data as { paymentId: string }
          refunds.set(paymentId, (refunds.get(paymentId) ?? 0) + 1)
        }
        checkOrders(world)
      }),
  })
  database.addAllocation(allocationOf(sale, settings))

  const processes = createProcesses(settings, random.split())
  const worstMoments = random.split()
  let lastReconciliation: Reconciliation | undefined
  const clean = { quietSinceMs: 0, fullSinceMs: 0 }
  let buyersActive = 0

  const world = {
    scheduler,
    random,
    settings,
    plant,
    sale,
    buckets,
    ledger,
    failures,
    broker,
    database,
    databaseFault,
    sharedRedis,
    processes,
    refunds,
    resends: new Map<string, number>(),
    seenOrders: new Set<string>(),
    payments: [] as { paymentId: string; orderNumber: string; readonly settled: boolean }[],
    outboxLock: { holder: undefined as { actor: Actor; life: number } | undefined },
    /** A line of the trace; undefined when nobody traces. */
    note,
    buyersActive: () => buyersActive,
    reconciled: (result: Reconciliation) => {
      lastReconciliation = result
      if (result.outcome === 'quiet') clean.quietSinceMs = result.sinceMs
      if (result.full && result.outcome === 'compared' && result.findings.length === 0)
        clean.fullSinceMs = result.sinceMs
      if (result.outcome === 'rebuilt' || result.outcome === 'rebuilding') ledger.state.rebuilt = true
      note?.(`reconciliation: ${result.outcome} ${JSON.stringify(result.findings)}`)
    },
    lastReconciliation: () => lastReconciliation,
    /** When the last comparison of the counters, and the last one of everything, began that found nothing to do. */
    clean: () => clean,

    /** The clock is about to cancel these: the worst moment for a payment. */
    aboutToCancel: (orderNumbers: readonly string[]) => {
      if (failures.isCalm() || !worstMoments.chance(settings.paysLate)) return
      for (const orderNumber of orderNumbers) payAtOnce(world, orderNumber)
    },

    sendToKafka: (actor: Actor, messages: readonly RelayMessage[]): Promise<void> =>
      scheduler.call(
        actor,
        `kafka send ${messages.map((message) => message.data.purchases.map((purchase) => purchase.orderNumber).join(' ')).join(' | ')}`,
        () => {
          for (const { id, data } of messages) {
            for (const { orderNumber } of data.purchases) ledger.inKafka.add(orderNumber)
            broker.publish({ type: purchaseAccepted.type, id, data })
          }
        },
        brokerFault,
      ),

    /** The outbox of order to the broker's ingress. */
    publish: (actor: Actor, { id, event }: OutboxRow): Promise<void> =>
      scheduler.call(
        actor,
        `publish ${event.definition.type}`,
        () => broker.publish({ type: event.definition.type, id: String(id), data: event.data }),
        brokerFault,
      ),

    begin: () => {
      sharedRedis.begin()
      processes.startAll(world)
      broker.subscribe({
        name: 'order',
        types: [purchaseAccepted.type, paymentSucceeded.type],
        receiver: processes.receivers.order,
      })
      broker.subscribe({
        name: 'seckill',
        types: [orderCreated.type, orderRejected.type, orderCancelled.type],
        receiver: processes.receivers.seckill,
      })
      const provider = newActor('payments')
      broker.subscribe({
        name: 'payments',
        types: [orderCreated.type],
        receiver: () => ({ actor: provider, handle: (event) => Promise.resolve(settleOrders(world, event.data)) }),
      })
      for (let index = 1; index <= settings.buyers; index++) {
        buyersActive++
        void buy(world, newActor(`u${index}`)).finally(() => buyersActive--)
      }
    },
  }

  return world
}

/** What the database of `order` has of the sale before it begins. */
function allocationOf(sale: SaleDefinition, settings: Settings): Allocation {
  return {
    tenantId: sale.tenantId,
    activityId: sale.activityId,
    variantId: 'v',
    allocated: sale.stock - settings.allocationShort,
    perUserLimit: sale.perUserLimit,
    priceCents: 100,
    currency: 'EUR',
    paymentTimeoutSeconds: settings.paymentTimeoutSeconds,
    startsAtMs: sale.startsAtMs,
    endsAtMs: sale.endsAtMs,
    sold: 0,
    state: 'open',
    closedAtMs: undefined,
    hasRejections: false,
    termsVersion: 1,
  }
}
