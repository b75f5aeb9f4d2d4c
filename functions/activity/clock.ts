/** What time does to activities: open, close, settle; and the sale in Redis is made to say what the activity says. */
import type { ActivityService } from './activity.ts'
import { transitionIfAllowed } from './change-activity.ts'
import type { ActivityCommand } from './activity-state.ts'
import { readSale, sums } from './sale.ts'
import { nextLookMs, soonMs } from './next-look.ts'
import { listForClock, nextStart, type Activity } from './store.ts'
import { earliest, gridAfter } from '@stampede/shared/alarms/grid.ts'
import { Problem } from '@stampede/shared/http/problem.ts'

const pageSize = 100
const maximumActivities = 10_000
const clockActor = 'clock'

/**
 * Goes through every activity that time can change. A failure of one is logged and does not hold up the others. Resolves with the
 * moment of the next tick, as far as it is known.
 */
export async function tick(service: ActivityService): Promise<number | undefined> {
  await service.schema()
  const looks: (number | undefined)[] = []
  let after = { tenantId: '', activityId: '' }
  for (let seen = 0; seen < maximumActivities && !service.draining.aborted; seen += pageSize) {
    const page = await listForClock(
      service.database.forPlatform(),
      ['scheduled', 'warmed-up', 'open', 'paused', 'closed'],
      new Date(service.now()),
      after,
      pageSize,
    )
    for (const activity of page) {
      const after = await advance(service, activity).catch((error: unknown) =>
        service.log.warn(
          { err: error, tenantId: activity.tenantId, activityId: activity.activityId },
          'the clock tries again in a minute',
        ),
      )
      looks.push(after ? nextLookMs(after, service.now()) : gridAfter(service.now(), soonMs))
    }
    const last = page.at(-1)
    if (!last || page.length < pageSize) break
    after = last
  }
  looks.push(await nextStart(service.database.forPlatform(), new Date(service.now())))
  return earliest(looks)
}

/** Resolves with what became of it. */
async function advance(service: ActivityService, activity: Activity): Promise<Activity> {
  let current = activity
  const apply = async (command: ActivityCommand) => {
    const after = await service.change(current.tenantId, clockActor, (context) =>
      transitionIfAllowed(context, current.activityId, command),
    )
    if (after) current = after
    return after !== undefined
  }
  const over = service.now() >= Date.parse(activity.endsAt)

  if (current.state === 'scheduled') {
    const warm = await isWarm(service, current)
    // The sale is there and only its event is late.
    if (warm) await apply('warm-up')
    else if (over) return withdraw(service, current)
    else return current
  }
  if (current.state === 'warmed-up') await apply('open')
  if (over && (current.state === 'open' || current.state === 'paused')) await apply('close')
  if (current.state === 'closed') {
    await service.applyStateOrWait(current)
    await service.sample(current)
    return trySettle(service, current)
  }
  await service.applyStateOrWait(current)
  await service.sample(current)
  return current
}

async function isWarm(service: ActivityService, activity: Activity): Promise<boolean> {
  const buckets = await readSale(service.sales, activity)
  return buckets.every((bucket) => bucket !== undefined) && sums(buckets).total === activity.stock
}

/** The window passed and the sale was never loaded. Only when inventory says so too is nothing sold for sure. */
async function withdraw(service: ActivityService, activity: Activity): Promise<Activity> {
  const { tenantId, activityId } = activity
  const allocation = await service.others.allocation(tenantId, activityId)
  if (allocation?.warmUpBegunAt) {
    const after = await service.change(tenantId, clockActor, (context) =>
      transitionIfAllowed(context, activityId, 'close'),
    )
    return after ?? activity
  }
  return service.cancel(tenantId, activityId, clockActor)
}

/** Not yet is the ordinary case: orders wait for payment. */
async function trySettle(service: ActivityService, activity: Activity): Promise<Activity> {
  try {
    return await service.settle(activity.tenantId, activity.activityId, clockActor)
  } catch (error) {
    if (!(error instanceof Problem) || error.problem !== 'unprocessable') throw error
    return activity
  }
}
