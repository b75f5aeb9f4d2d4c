/** What the handlers of activity need: connections, and each operation with its effects. */
import type { Redis, Cluster } from 'ioredis'
import { z } from 'zod'
import type {
  inventoryAllocationRefused,
  inventoryWarmedUp,
  reconciliationCompleted,
  SaleTerms,
} from '@stampede/eventing/catalogue/events.ts'
import { gridAfter } from '@stampede/shared/alarms/grid.ts'
import { mustHaveRoom } from '@stampede/shared/access/storage-quota.ts'
import type { HostServices, ReceivedEvent } from '@stampede/shared/function/declaration.ts'
import { connectEventDatabase, type Actor } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import type { ActivityCommand } from './activity-state.ts'
import { noteFacts, transition, transitionIfAllowed } from './change-activity.ts'
import { checkConsistency, type Consistency } from './consistency.ts'
import { migrations } from './generated/migrations.ts'
import { soonMs } from './next-look.ts'
import { createOtherFunctions } from './other-functions.ts'
import { learn, preCheck, type PreCheck } from './pre-check.ts'
import { buildReport, overTime, readSold, type Report } from './report.ts'
import { followActivity, holdSale, readSale, sums } from './sale.ts'
import { countRows, findActivity, insertSample, listSamples, listTransitions, type Activity } from './store.ts'

export const activityConfig = z.object({
  DATABASE_URL: z.string(),
  REDIS_URL: z.string(),
  K_SINK: z.string(),
  K_SINK_TOKEN_FILE: z.string().optional(),
  SERVICE_SECRET: z.string(),
  ORDER_URL: z.string(),
  INVENTORY_URL: z.string(),
  SECKILL_URL: z.string(),
})
export type ActivityConfig = z.output<typeof activityConfig>

const maximumSamples = 2_000
export type ActivityService = ReturnType<typeof createActivityService>

export function createActivityService(config: ActivityConfig, host: HostServices, now: () => number = Date.now) {
  const events = connectEventDatabase(config, host, migrations, now)
  const { database, schema, change, once } = events
  const redis: Redis | Cluster = connectRedis(config.REDIS_URL)
  const sales = createSaleStore(redis)
  const others = createOtherFunctions({
    orderUrl: config.ORDER_URL,
    inventoryUrl: config.INVENTORY_URL,
    seckillUrl: config.SECKILL_URL,
    service: host.name,
    secret: config.SERVICE_SECRET,
  })

  const get = async (tenantId: string, activityId: string): Promise<Activity> => {
    await schema()
    const activity = await findActivity(database.forTenant(tenantId), activityId)
    if (!activity) throw new Problem('not-found', `There is no activity ${activityId}.`)
    return activity
  }

  /** The decision stands when Redis does not answer: its event and the clock bring it there. */
  const applyStateOrWait = async (activity: Activity): Promise<boolean> => {
    try {
      await followActivity(sales, activity, () => get(activity.tenantId, activity.activityId))
      return true
    } catch (error) {
      host.log.warn(
        { err: error, activityId: activity.activityId },
        'the sale in Redis does not follow yet; the clock tries again',
      )
      await host.alarms.set('clock', gridAfter(now(), soonMs))
      return false
    }
  }

  const sample = async (activity: Activity): Promise<void> => {
    const seen = sums(await readSale(sales, activity))
    const live = await learn(others.live(activity.tenantId, activity.activityId))
    await insertSample(database.forTenant(activity.tenantId), activity.activityId, {
      at: new Date(now()).toISOString(),
      sold: seen.sold,
      left: seen.left,
      outboxLength: seen.outboxLength,
      refused: (live.known ? live.value?.refused : undefined) ?? null,
    })
  }

  const consistency = async (activity: Activity): Promise<Consistency> => {
    const { tenantId, activityId } = activity
    const allocation = await others.allocation(tenantId, activityId)
    // Redis before order: an order that is stored in between shows as a difference and is looked at again, never the other way round.
    const buckets = await readSale(sales, activity)
    const orders = await others.orderCounts(tenantId, activityId)
    const reconciliation = activity.reconciliation as { findings?: { kind: string; repaired: boolean }[] } | null
    return checkConsistency({
      stock: activity.stock,
      buckets,
      orders: orders ?? { allocated: undefined, sold: 0, byState: {}, rejected: {} },
      allocated: allocation?.state === 'allocated' ? allocation.quantity : undefined,
      openFindings: (reconciliation?.findings ?? [])
        .filter((finding) => !finding.repaired)
        .map((finding) => finding.kind),
      checkedAt: new Date(now()).toISOString(),
    })
  }

  const settle = async (tenantId: string, activityId: string, actor: Actor): Promise<Activity> => {
    const activity = await get(tenantId, activityId)
    if (activity.state !== 'closed')
      return change(tenantId, actor, (context) => transition(context, activityId, 'settle'))
    const result = await consistency(activity)
    if (!result.ok) {
      await change(tenantId, actor, (context) => noteFacts(context, activityId, { consistency: result }))
      throw new Problem('unprocessable', 'The activity cannot be settled yet.', {
        extensions: { failed: result.checks.filter((check) => !check.ok) },
      })
    }
    const changes = { consistency: result, sold: result.sold, unsold: result.unsold }
    return change(tenantId, actor, (context) => transition(context, activityId, 'settle', { changes }))
  }

  /** Only when nothing was sold: the sale is held first, so that nothing can be sold between the look and the decision. */
  const cancel = async (tenantId: string, activityId: string, actor: Actor): Promise<Activity> => {
    const activity = await get(tenantId, activityId)
    const mayHaveSale = activity.state === 'scheduled' || activity.state === 'warmed-up'
    try {
      if (mayHaveSale) {
        const orders = await others.orderCounts(tenantId, activityId)
        const sold = Math.max(orders?.sold ?? 0, await holdSale(sales, activity))
        if (sold > 0) {
          throw new Problem('conflict', `${sold} units are sold already. Close the activity instead.`, {
            extensions: { sold },
          })
        }
      }
      const after = await change(tenantId, actor, (context) => transition(context, activityId, 'cancel'))
      await applyStateOrWait(after)
      return after
    } catch (error) {
      // It goes on as before.
      if (mayHaveSale) await applyStateOrWait(await get(tenantId, activityId))
      throw error
    }
  }

  const command = async (
    tenantId: string,
    activityId: string,
    name: ActivityCommand,
    actor: Actor,
  ): Promise<Activity> => {
    const after = await change(tenantId, actor, (context) =>
      transition(context, activityId, name, {
        guard: (activity) => {
          if (name === 'open' && now() < Date.parse(activity.startsAt)) {
            throw new Problem('not-started', `The window begins at ${activity.startsAt}; it opens by itself.`)
          }
        },
      }),
    )
    await applyStateOrWait(after)
    return after
  }

  return {
    database,
    schema,
    sales,
    others,
    now,
    newId: orderNumbers(now),
    log: host.log,
    draining: host.draining,
    change,
    get,
    countRows: async (tenantId: string, most: number) => {
      await schema()
      return countRows(database.forTenant(tenantId), most)
    },
    mustHaveRoom: (tenantId: string) => mustHaveRoom(host, tenantId, now),
    /** Activities that the tenant may have at once; undefined: any number. */
    activityQuota: async (tenantId: string) =>
      (host.access.quotaSync(tenantId) ?? (await host.access.load(tenantId)).quota).activities,
    command,
    settle,
    cancel,
    applyStateOrWait,
    sample,

    async preCheck(tenantId: string, activityId: string): Promise<PreCheck> {
      const activity = await get(tenantId, activityId)
      const [allocation, buckets, seckill, live, orders] = await Promise.all([
        learn(others.allocation(tenantId, activityId)),
        learn(readSale(sales, activity)),
        learn(others.seckillReady()),
        learn(others.live(tenantId, activityId)),
        learn(others.orderCounts(tenantId, activityId)),
      ])
      return preCheck({ activity, nowMs: now(), allocation, buckets, seckill, live, orders })
    },

    async warmUp(tenantId: string, activityId: string) {
      const activity = await get(tenantId, activityId)
      if (activity.state !== 'scheduled' && activity.state !== 'warmed-up') {
        throw new Problem('conflict', `An activity that is ${activity.state} is not warmed up.`, {
          extensions: { state: activity.state },
        })
      }
      return others.warmUp(tenantId, activityId)
    },

    async report(tenantId: string, activityId: string): Promise<Report> {
      const activity = await get(tenantId, activityId)
      const [orders, { sold, truncated }, buckets, samples, history] = await Promise.all([
        others.orderCounts(tenantId, activityId),
        readSold((after, limit) => others.orderPage(tenantId, activityId, after, limit)),
        learn(readSale(sales, activity)),
        listSamples(database.forTenant(tenantId), activityId, maximumSamples),
        listTransitions(database.forTenant(tenantId), activityId),
      ])
      return buildReport({
        activity,
        orders,
        waiting: buckets.known ? sums(buckets.value).outboxLength : 0,
        soldOverTime: overTime(sold, truncated),
        samples,
        history,
        nowMs: now(),
      })
    },

    onAllocated: (event: ReceivedEvent<SaleTerms>) =>
      once(event, (context) =>
        noteFacts(context, event.data.activityId, { allocatedAt: new Date(now()).toISOString() }),
      ),

    onAllocationRefused: (event: ReceivedEvent<z.output<typeof inventoryAllocationRefused.data>>) =>
      once(event, (context) => {
        const { activityId, wanted, available, at } = event.data
        return transitionIfAllowed(context, activityId, 'refuse-allocation', { refusal: { wanted, available, at } })
      }),

    onWarmedUp: (event: ReceivedEvent<z.output<typeof inventoryWarmedUp.data>>) =>
      once(event, (context) => transitionIfAllowed(context, event.data.activityId, 'warm-up')),

    onReconciled: (event: ReceivedEvent<z.output<typeof reconciliationCompleted.data>>) =>
      once(event, async (context) => {
        const { activityId, runId, repaired, open, findings, at } = event.data
        const known = await findActivity(context.tenant, activityId)
        // Run ids are sortable by time: an old run that comes late changes nothing.
        if (((known?.reconciliation as { runId?: string } | null)?.runId ?? '') >= runId) return
        await noteFacts(context, activityId, { reconciliation: { runId, repaired, open, findings, at } })
      }),

    pruneInbox: events.pruneInbox,
    ready: events.ready,

    async stop() {
      await events.stop()
      redis.disconnect()
    },
  }
}
