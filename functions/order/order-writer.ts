/** Stores accepted purchases as orders: the group commit over the decisions of `settle-purchases.ts`. */
import { LRUCache } from 'lru-cache'
import type { Registry } from 'prom-client'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { Allocation, OrderStore, PurchaseBatch } from './effects.ts'
import { createGroupCommit } from './group-commit.ts'
import { createOrderMetrics, type OrderMetrics } from './metrics.ts'
import {
  defaultSettlePolicy,
  prepareGroup,
  settleGroup,
  type PurchaseGroup,
  type PurchaseOutcome,
  type SettlePolicy,
} from './settle-purchases.ts'
import { traceGroup } from './trace-purchases.ts'

export type OrderWriterOptions = {
  store: OrderStore
  metrics: Registry
  now?: () => number
  policy?: SettlePolicy
  /** Purchases a transaction; default 500. */
  maximumGroup?: number
  /** Purchases that may wait; default 20,000. */
  maximumQueue?: number
  /** See `SettleEffects`. */
  deadline?: (payByMs: number) => Promise<void>
  /** Called after each commit: there may be events in the outbox. */
  committed?: () => void
}

export type OrderWriter = {
  /** Resolves with what became of each purchase, in order, when that is durable. */
  settle: (batch: PurchaseBatch) => Promise<PurchaseOutcome[]>
  metrics: OrderMetrics
  /** Resolves when nothing is under way. */
  idle: () => Promise<void>
}

/** Activities whose terms are kept in memory. */
const maximumKnownActivities = 10_000

export function createOrderWriter(options: OrderWriterOptions): OrderWriter {
  const { store, committed, deadline, now = Date.now, policy = defaultSettlePolicy } = options
  const terms = new LRUCache<string, Allocation>({ max: maximumKnownActivities })
  const effects = { store, terms, now, policy, ...(deadline ? { deadline } : {}) }
  const groups = createGroupCommit<PurchaseBatch, PurchaseGroup, PurchaseOutcome[]>({
    prepare: (batches) => prepareGroup(batches, effects),
    settle: async (group, meanwhile) => {
      const start = performance.now()
      const outcomes = await traceGroup(group.batches, () => settleGroup(group, effects, meanwhile))
      metrics.settled(outcomes, (performance.now() - start) / 1_000)
      committed?.()
      return outcomes
    },
    weigh: (batch) => batch.purchases.length,
    maximumGroup: options.maximumGroup ?? 500,
    maximumQueue: options.maximumQueue ?? 20_000,
    isEnvironmental: (error) => error instanceof Problem && error.retryable,
  })
  const metrics = createOrderMetrics(options.metrics, () => groups.waiting())
  return { settle: groups.submit, metrics, idle: groups.idle }
}
