/** What this function counts. Alert on: any `rejected`, a growing queue, the age of the outbox. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { CancelReason, PaymentOutcome } from './effects.ts'
import type { PurchaseOutcome } from './settle-purchases.ts'

export type OrderMetrics = ReturnType<typeof createOrderMetrics>

export function createOrderMetrics(registry: Registry, queued: () => number = () => 0) {
  const registers = [registry]
  const purchases = new Counter({
    name: 'stampede_order_purchases_total',
    help: 'Accepted purchases by what became of them; reason is set for rejections',
    labelNames: ['outcome', 'reason'] as const,
    registers,
  })
  const cancelled = new Counter({
    name: 'stampede_order_cancelled_total',
    help: 'Orders that were cancelled unpaid',
    labelNames: ['reason'] as const,
    registers,
  })
  const payments = new Counter({
    name: 'stampede_order_payments_total',
    help: 'Payments by what became of them; all but paid go back to the buyer',
    labelNames: ['outcome'] as const,
    registers,
  })
  const groupSize = new Histogram({
    name: 'stampede_order_group_purchases',
    help: 'Purchases that were settled in one transaction',
    buckets: [1, 5, 10, 25, 50, 100, 250, 500, 1_000],
    registers,
  })
  const transactionSeconds = new Histogram({
    name: 'stampede_order_group_seconds',
    help: 'Time to settle and commit a group of purchases',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  })
  void new Gauge({
    name: 'stampede_order_queued_purchases',
    help: 'Purchases that wait for a transaction',
    registers,
    collect() {
      this.set(queued())
    },
  })
  return {
    settled: (outcomes: readonly (readonly PurchaseOutcome[])[], seconds: number) => {
      const counts = new Map<string, { labels: { outcome: string; reason: string }; count: number }>()
      let size = 0
      for (const ofBatch of outcomes) {
        size += ofBatch.length
        for (const outcome of ofBatch) {
          const reason = 'reason' in outcome ? outcome.reason : ''
          const key = `${outcome.outcome}:${reason}`
          const entry = counts.get(key) ?? { labels: { outcome: outcome.outcome, reason }, count: 0 }
          entry.count += 1
          counts.set(key, entry)
        }
      }
      for (const { labels, count } of counts.values()) purchases.inc(labels, count)
      groupSize.observe(size)
      transactionSeconds.observe(seconds)
    },
    cancelled: (reason: CancelReason, count: number) => cancelled.inc({ reason }, count),
    paid: (outcome: PaymentOutcome) => payments.inc({ outcome }),
  }
}
