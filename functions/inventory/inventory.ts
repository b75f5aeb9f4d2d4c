/** What the handlers of inventory need: connections, and each operation in its transaction. */
import type { Redis, Cluster } from 'ioredis'
import { z } from 'zod'
import {
  inventoryWarmedUp,
  type SaleTerms,
  type activityCancelled,
  type activitySettled,
} from '@stampede/eventing/catalogue/events.ts'
import { earliest, gridAfter } from '@stampede/shared/alarms/grid.ts'
import { mustHaveRoom } from '@stampede/shared/access/storage-quota.ts'
import type { HostServices, ReceivedEvent } from '@stampede/shared/function/declaration.ts'
import { connectEventDatabase } from '@stampede/shared/function/event-database.ts'
import { createServiceClient } from '@stampede/shared/http/client.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { allocate, cancelAllocation, settleAllocation } from './allocate.ts'
import {
  dueForWarmUp,
  findAllocation,
  lockAllocation,
  markWarmedUp,
  markWarmUpBegun,
  nextStart,
} from './allocation-store.ts'
import { migrations } from './generated/migrations.ts'
import { countRows } from './store.ts'
import { warmUp, type WarmUpOutcome } from './warm-up.ts'

export const inventoryConfig = z.object({
  DATABASE_URL: z.string(),
  REDIS_URL: z.string(),
  K_SINK: z.string(),
  K_SINK_TOKEN_FILE: z.string().optional(),
  SERVICE_SECRET: z.string(),
  ORDER_URL: z.string(),
  /** Sales that begin within this time are loaded into Redis. */
  WARM_UP_HORIZON_SECONDS: z.coerce.number().int().min(60).max(86_400).default(1_800),
  /** How long buyers can still ask for the result of a settled sale. */
  SETTLED_SALE_TTL_SECONDS: z.coerce.number().int().min(60).max(31_536_000).default(604_800),
  /** How far clocks may differ. */
  CLOCK_SKEW_MS: z.coerce.number().int().min(0).max(60_000).default(5_000),
})
export type InventoryConfig = z.output<typeof inventoryConfig>

/** Allocations that one tick of the clock looks at, at most. */
const maximumWarmUpsPerTick = 10_000
const warmUpPage = 100
/** Sales that run are looked after so often. */
const lookEveryMs = 300_000
/** A warm-up that failed is tried again so soon. */
const soonMs = 20_000

const orderTotals = z.object({ sold: z.number() })

export type Inventory = Awaited<ReturnType<typeof createInventory>>

export function createInventory(config: InventoryConfig, host: HostServices, now: () => number = Date.now) {
  const events = connectEventDatabase(config, host, migrations, now)
  const { database, schema, change, once } = events
  const redis: Redis | Cluster = connectRedis(config.REDIS_URL)
  const sales = createSaleStore(redis)
  const horizonMs = config.WARM_UP_HORIZON_SECONDS * 1_000
  const orders = createServiceClient({
    baseUrl: config.ORDER_URL,
    service: host.name,
    secret: config.SERVICE_SECRET,
    timeoutMs: 3_000,
  })

  const snapshots = (tenantId: string, activityId: string, buckets: number) =>
    Promise.all(Array.from({ length: buckets }, (_, bucket) => sales.snapshot({ tenantId, activityId, bucket })))

  const closeSale = async (tenantId: string, activityId: string, buckets: number) => {
    for (let bucket = 0; bucket < buckets; bucket++) await sales.setState({ tenantId, activityId, bucket }, 'closed')
  }

  const markWarm = (tenantId: string, activityId: string) =>
    change(tenantId, host.name, async ({ tx, tenant, outbox }) => {
      const allocation = await lockAllocation(tenant, activityId)
      if (allocation?.state !== 'allocated' || !allocation.terms) return false
      if (allocation.warmedAt) return true
      const at = new Date(now())
      const { stock, buckets } = allocation.terms
      await markWarmedUp(tenant, activityId, at)
      await outbox.add(tx, [
        {
          definition: inventoryWarmedUp,
          subject: activityId,
          data: { tenantId, activityId, stock, buckets, at: at.toISOString() },
        },
      ])
      return true
    })

  const warmUpAllocation = async (tenantId: string, activityId: string): Promise<WarmUpOutcome> => {
    await schema()
    const outcome = await warmUp(
      {
        now,
        findAllocation: () => findAllocation(database.forTenant(tenantId), activityId),
        snapshots: (buckets) => snapshots(tenantId, activityId, buckets),
        orderedUnits: async () => (await orders.get(`/api/v1/order-totals/${activityId}`, tenantId, orderTotals)).sold,
        markBegun: () => markWarmUpBegun(database.forTenant(tenantId), activityId, new Date(now())),
        create: (sale) => sales.warmUp(sale),
        markWarm: () => markWarm(tenantId, activityId),
        closeSale: (buckets) => closeSale(tenantId, activityId, buckets),
      },
      config.CLOCK_SKEW_MS,
    )
    if (outcome === 'unknown') throw new Problem('not-found', `There is no allocation for the activity ${activityId}.`)
    if (outcome === 'needs-rebuild')
      host.log.error({ tenantId, activityId }, 'Redis lost a sale that may have sold: it waits for the reconciliation')
    return outcome
  }

  return {
    database,
    schema,
    change,
    findAllocation: async (tenantId: string, activityId: string) => {
      await schema()
      return findAllocation(database.forTenant(tenantId), activityId)
    },
    warmUpAllocation,
    countRows: async (tenantId: string, most: number) => {
      await schema()
      return countRows(database.forTenant(tenantId), most)
    },
    mustHaveRoom: (tenantId: string) => mustHaveRoom(host, tenantId, now),

    async onScheduled(event: ReceivedEvent<SaleTerms>) {
      const { tenantId, activityId, startsAt } = event.data
      const warmUpMs = Date.parse(startsAt) - horizonMs
      await once(event, async (context) => {
        await context.alarm('warm-up', warmUpMs)
        await allocate(context, event.data)
      })
      if (warmUpMs > now()) return
      const allocation = await findAllocation(database.forTenant(tenantId), activityId)
      if (allocation?.state !== 'allocated' || allocation.warmedAt) return
      // The allocation stands; when Redis does not answer, the clock tries again.
      await warmUpAllocation(tenantId, activityId).catch((error: unknown) =>
        host.log.warn({ err: error, tenantId, activityId }, 'the sale could not be warmed up yet'),
      )
    },

    async onCancelled(event: ReceivedEvent<z.output<typeof activityCancelled.data>>) {
      await once(event, (context) => cancelAllocation(context, event.data))
      const { tenantId, activityId } = event.data
      const allocation = await findAllocation(database.forTenant(tenantId), activityId)
      // Repeating this is harmless, so it needs no memory: an event that failed here comes again.
      if (allocation?.terms && allocation.state === 'cancelled')
        await closeSale(tenantId, activityId, allocation.terms.buckets)
    },

    async onSettled(event: ReceivedEvent<z.output<typeof activitySettled.data>>) {
      await once(event, (context) => settleAllocation(context, event.data))
      const { tenantId, activityId } = event.data
      const buckets = (await findAllocation(database.forTenant(tenantId), activityId))?.terms?.buckets
      // Also when the event comes again: Redis may have been away the first time.
      if (buckets) await sales.expire({ tenantId, activityId, buckets }, config.SETTLED_SALE_TTL_SECONDS)
    },

    /** The clock: loads every sale that is about to begin, and looks after those that run. Resolves with when to look next. */
    async warmUpDue(): Promise<number | undefined> {
      await schema()
      const window = {
        startsBefore: new Date(now() + horizonMs),
        endsAfter: new Date(now()),
      }
      let after = { tenantId: '', activityId: '' }
      let lookMs: number | undefined
      for (let looked = 0; looked < maximumWarmUpsPerTick && !host.draining.aborted; looked += warmUpPage) {
        const due = await dueForWarmUp(database.forPlatform(), window, after, warmUpPage)
        for (const { tenantId, activityId } of due) {
          let againMs = lookEveryMs
          await warmUpAllocation(tenantId, activityId).catch((error: unknown) => {
            againMs = soonMs
            host.log.warn(
              { err: error, tenantId, activityId },
              'the sale could not be warmed up; the next tick tries again',
            )
          })
          lookMs = earliest([lookMs, gridAfter(now(), againMs)])
        }
        const last = due.at(-1)
        if (!last || due.length < warmUpPage) break
        after = last
      }
      const startMs = await nextStart(database.forPlatform(), window.startsBefore)
      return earliest([lookMs, startMs === undefined ? undefined : startMs - horizonMs])
    },

    pruneInbox: events.pruneInbox,
    ready: events.ready,

    async stop() {
      await events.stop()
      redis.disconnect()
    },
  }
}
