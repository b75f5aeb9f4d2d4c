/** Every change of an activity: under its row lock, by the table of its states, with its history and its event in one transaction. */
import type { z } from 'zod'
import {
  activityCancelled,
  activityClosed,
  activityOpened,
  activityPaused,
  activityResumed,
  activityScheduled,
  activitySettled,
} from '@stampede/eventing/catalogue/events.ts'
import { actorOf, auditEvent, type AuditDetails } from '@stampede/shared/audit/audit-event.ts'
import type { OutgoingEvent } from '@stampede/shared/events/publish.ts'
import type { ChangeContext } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { allowedCommands, nextState, type ActivityCommand } from './activity-state.ts'
import {
  type Activity,
  countLive,
  insertActivity,
  insertTransition,
  lockActivity,
  lockTenant,
  saveActivity,
} from './store.ts'
import { nextLookMs } from './next-look.ts'
import { scheduleErrors, termsOf, type ActivityChange, type NewActivity } from './terms.ts'

const stateEvents = {
  open: activityOpened,
  pause: activityPaused,
  resume: activityResumed,
  close: activityClosed,
  cancel: activityCancelled,
} as const

/** The event that tells of a command; some changes are nobody else's business. */
function eventOf(command: ActivityCommand, before: Activity, after: Activity): OutgoingEvent | undefined {
  const { tenantId, activityId, updatedAt: at } = after
  const outgoing = <S extends z.ZodType>(event: OutgoingEvent<S>) =>
    // The id is stable for each fact: one version of one activity.
    ({ ...event, id: `${tenantId}:${activityId}:${after.version}`, time: at }) as unknown as OutgoingEvent
  switch (command) {
    case 'schedule':
      return outgoing({ definition: activityScheduled, subject: activityId, data: termsOf(after) })
    case 'cancel':
      if (before.state === 'draft') return undefined
      return outgoing({ definition: stateEvents.cancel, subject: activityId, data: { tenantId, activityId, at } })
    case 'open':
    case 'pause':
    case 'resume':
    case 'close':
      return outgoing({ definition: stateEvents[command], subject: activityId, data: { tenantId, activityId, at } })
    case 'settle':
      return outgoing({
        definition: activitySettled,
        subject: activityId,
        data: {
          tenantId,
          activityId,
          variantId: after.variantId,
          allocated: after.stock,
          sold: after.sold ?? 0,
          unsold: after.unsold ?? 0,
          at,
        },
      })
    default:
      return undefined
  }
}

/** `quota`: activities that the tenant may have at once, as far as they are not settled or cancelled; undefined: any number. */
export async function createActivity(
  context: ChangeContext,
  activityId: string,
  input: NewActivity,
  quota?: number,
): Promise<Activity> {
  const at = new Date(context.now()).toISOString()
  if (Date.parse(input.endsAt) <= Date.parse(input.startsAt)) {
    throw new Problem('invalid-request', 'The window ends before it begins.', {
      errors: [{ pointer: '/endsAt', detail: 'must be after startsAt' }],
    })
  }
  if (await lockActivity(context.tenant, activityId)) {
    throw new Problem('conflict', `The activity ${activityId} exists already.`)
  }
  const activity: Activity = {
    ...input,
    activityId,
    tenantId: context.tenantId,
    state: 'draft',
    version: 1,
    allocatedAt: null,
    refusal: null,
    reconciliation: null,
    consistency: null,
    sold: null,
    unsold: null,
    createdAt: at,
    updatedAt: at,
  }
  if (quota !== undefined) await keepToQuota(context, quota)
  await insertActivity(context.tenant, activity)
  await record(context, 'created', activity, { name: activity.name, stock: activity.stock })
  return activity
}

/** What staff do must stay provable; events and the clock leave their traces in the history. */
async function record(
  context: ChangeContext,
  verb: string,
  { activityId, version }: Activity,
  details: AuditDetails,
): Promise<void> {
  const { principal, tenantId } = context
  if (principal?.kind !== 'staff') return
  await context.outbox.add(context.tx, [
    auditEvent({
      by: 'activity',
      tenantId,
      actor: actorOf(principal),
      action: `activity.${verb}`,
      subject: `activity/${activityId}`,
      details: { version, ...details },
      atMs: context.now(),
    }),
  ])
}

const verbs: Record<ActivityCommand, string> = {
  change: 'changed',
  schedule: 'scheduled',
  'refuse-allocation': 'allocation-refused',
  'warm-up': 'warmed-up',
  open: 'opened',
  pause: 'paused',
  resume: 'resumed',
  close: 'closed',
  settle: 'settled',
  cancel: 'cancelled',
}

/** Under a lock of the tenant: of two that are created at once, both would see room for one. */
async function keepToQuota({ tenant, now }: ChangeContext, quota: number): Promise<void> {
  await lockTenant(tenant, new Date(now()))
  const activities = await countLive(tenant)
  if (activities < quota) return
  throw new Problem('quota-exceeded', `The tenant has ${activities} activities, and its quota is ${quota}.`, {
    // Nothing changes by itself: an activity has to be settled or cancelled first.
    retryable: false,
    extensions: { quota, activities },
  })
}

async function lockExisting({ tenant }: ChangeContext, activityId: string): Promise<Activity> {
  const activity = await lockActivity(tenant, activityId)
  if (!activity) throw new Problem('not-found', `There is no activity ${activityId}.`)
  return activity
}

function refused(activity: Activity, command: ActivityCommand): Problem {
  return new Problem('conflict', `An activity that is ${activity.state} does not allow "${command}".`, {
    extensions: { state: activity.state, allowed: allowedCommands(activity.state) },
  })
}

/**
 * Carries out a command. `guard` sees the locked activity and may throw; `changes` are saved with the new state.
 * A command that the state does not allow is a conflict that says what is allowed.
 */
export async function transition(
  context: ChangeContext,
  activityId: string,
  command: ActivityCommand,
  options: { guard?: (activity: Activity) => void; changes?: Partial<Activity> } = {},
): Promise<Activity> {
  const before = await lockExisting(context, activityId)
  const to = nextState(before.state, command)
  if (to === undefined) throw refused(before, command)
  options.guard?.(before)
  const at = new Date(context.now()).toISOString()
  const after: Activity = { ...before, ...options.changes, state: to, version: before.version + 1, updatedAt: at }
  await saveActivity(context.tenant, after)
  await insertTransition(context.tenant, after, {
    version: after.version,
    command,
    from: before.state,
    to,
    actor: context.actor,
    at,
  })
  const event = eventOf(command, before, after)
  if (event) await context.outbox.add(context.tx, [event])
  await record(context, verbs[command], after, { from: before.state, to })
  const lookMs = nextLookMs(after, context.now())
  if (lookMs !== undefined) await context.alarm('clock', lookMs)
  return after
}

export async function changeActivity(
  context: ChangeContext,
  activityId: string,
  change: ActivityChange,
): Promise<Activity> {
  const { version, ...changes } = change
  const defined = Object.fromEntries(
    Object.entries(changes).filter(([, value]) => value !== undefined),
  ) as Partial<Activity>
  return transition(context, activityId, 'change', {
    changes: { ...defined, refusal: null },
    guard: (activity) => {
      if (activity.version !== version) {
        throw new Problem('conflict', `The activity changed: it has version ${activity.version} now.`, {
          extensions: { version: activity.version },
        })
      }
      const { startsAt, endsAt } = { ...activity, ...defined }
      if (Date.parse(endsAt) <= Date.parse(startsAt)) {
        throw new Problem('invalid-request', 'The window ends before it begins.', {
          errors: [{ pointer: '/endsAt', detail: 'must be after startsAt' }],
        })
      }
    },
  })
}

export function scheduleActivity(context: ChangeContext, activityId: string): Promise<Activity> {
  return transition(context, activityId, 'schedule', {
    changes: { refusal: null, allocatedAt: null },
    guard: (activity) => {
      const errors = scheduleErrors(activity, context.now())
      if (errors.length > 0)
        throw new Problem('unprocessable', 'The activity cannot be scheduled as it is.', { errors })
    },
  })
}

/** Saves facts that other functions told, in any state, without a transition. */
export async function noteFacts(context: ChangeContext, activityId: string, facts: Partial<Activity>): Promise<void> {
  const activity = await lockActivity(context.tenant, activityId)
  if (activity) await saveActivity(context.tenant, { ...activity, ...facts })
}

/** A command of an event or of the clock: nothing happens when the state does not allow it (any more). */
export async function transitionIfAllowed(
  context: ChangeContext,
  activityId: string,
  command: ActivityCommand,
  changes: Partial<Activity> = {},
): Promise<Activity | undefined> {
  const activity = await lockActivity(context.tenant, activityId)
  if (!activity || nextState(activity.state, command) === undefined) return undefined
  return transition(context, activityId, command, { changes })
}
