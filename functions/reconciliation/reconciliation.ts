/** What the handlers of reconciliation need: connections, and runs under their lease. */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { reconciliationCompleted, type SaleTerms } from '@stampede/eventing/catalogue/events.ts'
import { earliest, gridAfter } from '@stampede/shared/alarms/grid.ts'
import type { HostServices } from '@stampede/shared/function/declaration.ts'
import { connectEventDatabase } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { createLock, type HeldLock } from '@stampede/shared/redis/lock.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { migrations } from './generated/migrations.ts'
import { createMetrics } from './metrics.ts'
import { createOtherFunctions } from './other-functions.ts'
import { defaultBucketLimits } from './reconcile-bucket.ts'
import { reconcileSale, type SaleResult } from './reconcile-sale.ts'
import { createSaleEffects } from './sale-effects.ts'
import {
  beginRun,
  endSale,
  findSale,
  finishRun,
  newestRun,
  pruneQuietRuns,
  watchedSales,
  watchSale,
  type FoundInBucket,
  type RunResult,
  type SaleRef,
  type WatchedSale,
} from './store.ts'

const limit = (fallback: number, maximum: number) => z.coerce.number().int().min(0).max(maximum).default(fallback)

export const reconciliationConfig = z.object({
  DATABASE_URL: z.string(),
  REDIS_URL: z.string(),
  K_SINK: z.string(),
  K_SINK_TOKEN_FILE: z.string().optional(),
  SERVICE_SECRET: z.string(),
  ORDER_URL: z.string(),
  INVENTORY_URL: z.string(),
  ACTIVITY_URL: z.string(),
  /** Purchases younger than this are on their way: no opinion about them. */
  RECONCILIATION_GRACE_MS: limit(60_000, 3_600_000),
  RECONCILIATION_MAXIMUM_RESENDS: limit(5, 20),
  /** Every so many runs everything is looked at one by one, although the counters agree. */
  RECONCILIATION_FULL_EVERY: z.coerce.number().int().min(1).max(1_000).default(10),
  /** Time without a new order until a rebuilt sale counts as complete. */
  RECONCILIATION_SETTLE_MS: limit(2_000, 60_000),
})
export type ReconciliationConfig = z.output<typeof reconciliationConfig>

const salesPage = 50
const maximumSales = 10_000
/** A schedule's delivery is answered after this time; the runs go on. */
const answerAfterMs = 20_000
const keepQuietRunsMs = 7 * 86_400_000
const leaseMs = 10_000
const compareEveryMs = 60_000

export type Reconciliation = ReturnType<typeof createReconciliation>
export type RunAnswer = {
  runId: string
  outcome: SaleResult['outcome']
  repaired: number
  open: number
  findings: FoundInBucket[]
}

export function createReconciliation(config: ReconciliationConfig, host: HostServices, now: () => number = Date.now) {
  const events = connectEventDatabase(config, host, migrations, now)
  const { database, schema } = events
  const redis = connectRedis(config.REDIS_URL)
  const sales = createSaleStore(redis)
  const lock = createLock(redis, { leaseMs })
  const newId = orderNumbers(now)
  const others = createOtherFunctions({
    orderUrl: config.ORDER_URL,
    inventoryUrl: config.INVENTORY_URL,
    activityUrl: config.ACTIVITY_URL,
    service: host.name,
    secret: config.SERVICE_SECRET,
  })
  const metrics = createMetrics(host)
  const limits = {
    bucket: {
      ...defaultBucketLimits,
      graceMs: config.RECONCILIATION_GRACE_MS,
      maximumResends: config.RECONCILIATION_MAXIMUM_RESENDS,
    },
    rebuild: { pageSize: 250, maximumPages: 20_000, settleMs: config.RECONCILIATION_SETTLE_MS, maximumRounds: 10 },
  }

  /** Compares under the lease and stores what came out, whatever it was. */
  const runHeld = async (sale: WatchedSale, held: HeldLock, full: boolean): Promise<RunAnswer> => {
    const { terms } = sale
    const run = { runId: newId(), fencingToken: held.fencingToken }
    const began = await database.transaction((tx) =>
      beginRun(tx.forTenant(sale.tenantId), sale.activityId, { ...run, at: new Date(now()) }),
    )
    if (!began) throw new Problem('conflict', 'Another run of this sale began meanwhile.')
    const signal = AbortSignal.any([held.lost, host.draining])
    const effects = createSaleEffects({
      terms,
      sales,
      others,
      database,
      now,
      signal,
      warmUpGraceMs: config.RECONCILIATION_GRACE_MS,
    })
    try {
      const result = await reconcileSale(effects, { full }, limits)
      return await store(sale, run, result)
    } catch (error) {
      const failure = error instanceof Problem ? error.detail : 'unexpected: see the log'
      const failed: RunResult = {
        state: 'failed',
        outcome: null,
        buyers: 0,
        orders: 0,
        repaired: 0,
        open: 0,
        failure,
        findings: [],
      }
      await database
        .transaction((tx) => finishRun(tx.forTenant(sale.tenantId), sale.activityId, run, failed, new Date(now())))
        .catch(() => {})
      throw error
    }
  }

  const store = async (
    sale: SaleRef,
    run: { runId: string; fencingToken: number },
    result: SaleResult,
  ): Promise<RunAnswer> => {
    const { outcome, findings, buyers, orders } = result
    const repaired = findings.reduce((sum, finding) => sum + finding.repaired, 0)
    const open = findings.reduce((sum, finding) => sum + (finding.count - Math.min(finding.count, finding.repaired)), 0)
    const stored: RunResult = { state: 'done', outcome, buyers, orders, repaired, open, failure: null, findings }
    await events.change(sale.tenantId, host.name, async ({ tx, tenant, outbox }) => {
      const at = new Date(now())
      const before = await newestRun(tenant, sale.activityId)
      const counts = await finishRun(tenant, sale.activityId, run, stored, at)
      // Silence while there is nothing to tell; the run after a finding tells that it is gone.
      if (!counts || (before !== undefined && before.open === 0 && findings.length === 0)) return
      const { tenantId, activityId } = sale
      const summary = summarise(findings)
      await outbox.add(tx, [
        {
          definition: reconciliationCompleted,
          subject: activityId,
          data: { tenantId, activityId, runId: run.runId, repaired, open, findings: summary, at: at.toISOString() },
        },
      ])
    })
    metrics.note(outcome, findings, sale)
    if (open > 0)
      host.log.warn(
        { ...ref(sale), runId: run.runId, findings: summarise(findings) },
        'the reconciliation leaves findings open',
      )
    else if (repaired > 0)
      host.log.info({ ...ref(sale), runId: run.runId, findings: summarise(findings) }, 'the reconciliation repaired')
    return { runId: run.runId, outcome, repaired, open, findings }
  }

  /** One run of one sale; undefined when another runner has it. */
  const runSale = async (
    sale: WatchedSale,
    options: { full?: boolean; waitMs?: number } = {},
  ): Promise<RunAnswer | undefined> => {
    const held = await lock.acquire(`reconciliation:${sale.tenantId}:${sale.activityId}`, {
      waitMs: options.waitMs ?? 0,
    })
    if (!held) return undefined
    try {
      return await runHeld(sale, held, options.full ?? sale.runs % config.RECONCILIATION_FULL_EVERY === 0)
    } finally {
      await held.release().catch(() => false)
    }
  }

  /** A sale that has not begun has nothing that could differ. */
  const nextRunMs = ({ terms }: WatchedSale): number =>
    Math.max(Date.parse(terms.startsAt), gridAfter(now(), compareEveryMs))

  /** Resolves with when to compare again; undefined when there is no sale to look after. */
  const runAll = async (): Promise<number | undefined> => {
    let after = { tenantId: '', activityId: '' }
    let next: number | undefined
    for (let seen = 0; seen < maximumSales && !host.draining.aborted; seen += salesPage) {
      const page = await watchedSales(database.forPlatform(), after, salesPage)
      for (const sale of page) {
        if (host.draining.aborted) break
        await runSale(sale).catch((error: unknown) => {
          metrics.failed.inc()
          host.log.warn({ err: error, ...ref(sale) }, 'the sale could not be compared; the next run tries again')
        })
        next = earliest([next, nextRunMs(sale)])
      }
      const last = page.at(-1)
      if (!last || page.length < salesPage) return next
      after = ref(last)
    }
    // Cut short: the rest comes in its turn.
    return gridAfter(now(), compareEveryMs)
  }

  let running: Promise<number | undefined> | undefined
  return {
    database,
    schema,

    /** The clock. A long run goes on after the answer; while it does, the next tick does nothing. Resolves with when the next one is. */
    async tick(): Promise<number | undefined> {
      await schema()
      running ??= runAll().finally(() => {
        running = undefined
      })
      const limited = new AbortController()
      try {
        const later = sleep(answerAfterMs, 'later' as const, { signal: limited.signal, ref: false })
        const next = await Promise.race([running, later])
        return next === 'later' ? gridAfter(now(), compareEveryMs) : next
      } finally {
        limited.abort()
      }
    },

    /** Staff's wish: everything is looked at one by one. */
    async runNow(sale: SaleRef): Promise<RunAnswer> {
      await schema()
      const watched = await findSale(database.forTenant(sale.tenantId), sale.activityId)
      if (!watched) throw new Problem('not-found', `No sale of the activity ${sale.activityId} is looked after.`)
      const answer = await runSale(watched, { full: true, waitMs: 2_000 })
      if (!answer)
        throw new Problem('conflict', 'This sale is being compared at this moment.', { retryAfterSeconds: 5 })
      return answer
    },

    async watch(terms: SaleTerms): Promise<void> {
      await schema()
      await host.alarms.beforeCommit('compare', Date.parse(terms.startsAt))
      await database.transaction((tx) => watchSale(tx.forTenant(terms.tenantId), terms, new Date(now())))
    },

    async end(sale: SaleRef): Promise<void> {
      await schema()
      await database.transaction((tx) => endSale(tx.forTenant(sale.tenantId), sale.activityId, new Date(now())))
    },

    async prune(): Promise<void> {
      await schema()
      const step = 1_000
      for (let rounds = 0; rounds < 1_000; rounds++) {
        if ((await pruneQuietRuns(database.forPlatform(), new Date(now() - keepQuietRunsMs), step)) < step) return
      }
    },

    ready: events.ready,

    async stop() {
      await running?.catch(() => {})
      await events.stop()
      redis.disconnect()
    },
  }
}

const ref = ({ tenantId, activityId }: SaleRef): SaleRef => ({ tenantId, activityId })

/** One line for each kind, over all buckets. */
export function summarise(findings: readonly FoundInBucket[]): { kind: string; count: number; repaired: boolean }[] {
  return [...Map.groupBy(findings, (finding) => finding.kind)].map(([kind, of]) => ({
    kind,
    count: of.reduce((sum, finding) => sum + finding.count, 0),
    repaired: of.every((finding) => finding.repaired >= finding.count),
  }))
}
