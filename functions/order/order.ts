/** What the handlers of order need: connections, and each operation with its effects. */
import { z } from 'zod'
import type { paymentSucceeded, purchaseAccepted } from '@stampede/eventing/catalogue/events.ts'
import { gridAfter, gridFrom } from '@stampede/shared/alarms/grid.ts'
import type { HostServices } from '@stampede/shared/function/declaration.ts'
import { connectEventDatabase } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { cancelOverdue, cancelOwnOrder } from './cancel-order.ts'
import { migrations } from './generated/migrations.ts'
import { createOrderWriter } from './order-writer.ts'
import { payOrder } from './pay-order.ts'
import { createOrderReader } from './read-orders.ts'
import type { PurchaseOutcome } from './settle-purchases.ts'
import { connectForWriting, createOrderStore } from './store.ts'

const count = (fallback: number, maximum: number) => z.coerce.number().int().min(1).max(maximum).default(fallback)

export const orderConfig = z.object({
  DATABASE_URL: z.string(),
  K_SINK: z.string(),
  K_SINK_TOKEN_FILE: z.string().optional(),
  SERVICE_SECRET: z.string(),
  /** Purchases in one transaction. */
  ORDER_GROUP: count(500, 1_000),
  /** Purchases that wait for a transaction in this process; beyond it deliveries are answered 503. */
  ORDER_QUEUE: count(20_000, 1_000_000),
  /** A purchase (or payment) whose activity (or order) stays unknown is given up when it is older than this. */
  UNKNOWN_GRACE_SECONDS: count(600, 86_400),
  /** `store`: every accepted purchase becomes an order; `reject`: not those accepted later than the close and its grace. */
  PURCHASES_AFTER_CLOSE: z.enum(['store', 'reject']).default('store'),
  CLOSE_GRACE_SECONDS: z.coerce.number().int().min(0).max(86_400).default(60),
})
export type OrderConfig = z.output<typeof orderConfig>

/** One look cancels what became overdue in this time. */
const overdueEveryMs = 15_000

export type OrderServices = ReturnType<typeof createOrderServices>

export function createOrderServices(config: OrderConfig, host: HostServices, now: () => number = Date.now) {
  const events = connectEventDatabase(config, host, migrations, now)
  const { database, schema, wakeRelay } = events
  const writing = connectForWriting(config.DATABASE_URL)
  const store = createOrderStore(database, schema)
  const reader = createOrderReader(database, schema)
  const graceMs = config.UNKNOWN_GRACE_SECONDS * 1_000
  const writer = createOrderWriter({
    store: createOrderStore(writing, schema),
    metrics: host.metrics,
    now,
    policy: {
      unknownActivityGraceMs: graceMs,
      rejectAfterCloseMs: config.PURCHASES_AFTER_CLOSE === 'reject' ? config.CLOSE_GRACE_SECONDS * 1_000 : undefined,
    },
    maximumGroup: config.ORDER_GROUP,
    maximumQueue: config.ORDER_QUEUE,
    deadline: (payByMs) => host.alarms.set('cancel-overdue', gridFrom(payByMs, overdueEveryMs)),
    committed: wakeRelay,
  })
  const effects = { store, now }

  return {
    reader,
    effects,

    /** All purchases of a delivery. Resolves when each of them is an order or rejected. */
    async onPurchasesAccepted(batch: z.output<typeof purchaseAccepted.data>) {
      const outcomes = await writer.settle(batch).catch((error: unknown) => {
        if (!store.isDuplicate(error)) throw error
        throw new Problem('unprocessable', 'An order number belongs to a purchase of somebody else.', { cause: error })
      })
      refuseUnsettled(outcomes, batch.activityId)
    },

    async onPaymentSucceeded({ paidAt, ...payment }: z.output<typeof paymentSucceeded.data>) {
      const received = { ...payment, paidAtMs: Date.parse(paidAt) }
      const { outcome, repeated } = await payOrder(received, { ...effects, unknownOrderGraceMs: graceMs })
      if (repeated) return
      writer.metrics.paid(outcome)
      wakeRelay()
    },

    async cancelOwn(request: { tenantId: string; userId: string; orderNumber: string }) {
      const { order, cancelledNow } = await cancelOwnOrder(request, effects)
      if (cancelledNow) {
        writer.metrics.cancelled('buyer', 1)
        wakeRelay()
      }
      return order
    },

    /** Resolves with when the next orders are overdue. */
    async cancelOverdue(): Promise<number | undefined> {
      const cancelled = await cancelOverdue({
        ...effects,
        signal: host.draining,
        failed: (activity, error) =>
          host.log.error({ err: error, ...activity }, 'overdue orders could not be cancelled'),
      })
      if (cancelled > 0) {
        writer.metrics.cancelled('payment-timeout', cancelled)
        host.log.info({ cancelled }, 'unpaid orders were cancelled')
        wakeRelay()
      }
      const payByMs = await store.nextDeadline()
      return payByMs === undefined
        ? undefined
        : gridFrom(Math.max(payByMs, gridAfter(now(), overdueEveryMs)), overdueEveryMs)
    },

    pruneInbox: events.pruneInbox,
    ready: events.ready,

    async stop() {
      await writer.idle()
      await Promise.all([writing.close(), events.stop()])
    },
  }
}

function refuseUnsettled(outcomes: readonly PurchaseOutcome[], activityId: string): void {
  if (outcomes.some(({ outcome }) => outcome === 'not-yet')) {
    throw new Problem('dependency-unavailable', `The activity ${activityId} is not known here yet.`, {
      retryAfterSeconds: 2,
    })
  }
  const conflicting = outcomes.filter(({ outcome }) => outcome === 'conflicting').length
  if (conflicting > 0) {
    // The others of the delivery are settled: only those that can never be are for a person to look at.
    throw new Problem('unprocessable', `${conflicting} order numbers belong to other purchases.`)
  }
}
