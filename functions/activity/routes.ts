/** HTTP of activity: shapes and handlers. */
import { z } from 'zod'
import { Reply, route } from '@stampede/shared/function/declaration.ts'
import { activityStates, type ActivityCommand } from './activity-state.ts'
import type { ActivityService } from './activity.ts'
import { changeActivity, createActivity, scheduleActivity } from './change-activity.ts'
import { livePage } from './live-page.ts'
import { reportCsv } from './report-csv.ts'
import { reportPage } from './report-page.ts'
import { reportShape } from './report.ts'
import { listActivities, listTransitions, type Activity } from './store.ts'
import { activityChange, identifier, newActivity } from './terms.ts'

const activityView = z.object({
  activityId: identifier,
  state: z.enum(activityStates),
  version: z.int(),
  name: z.string(),
  variantId: z.string(),
  stock: z.int(),
  perUserLimit: z.int(),
  buckets: z.int(),
  startsAt: z.string(),
  endsAt: z.string(),
  priceCents: z.int(),
  currency: z.string(),
  paymentTimeoutSeconds: z.int(),
  allocatedAt: z.string().nullable(),
  refusal: z.unknown(),
  reconciliation: z.unknown(),
  consistency: z.unknown(),
  sold: z.int().nullable(),
  unsold: z.int().nullable(),
  createdAt: z.string(),
  updatedAt: z.string(),
})

const show = ({ tenantId: _tenantId, ...activity }: Activity) => activity
const params = z.object({ activityId: identifier })
const reading = { auth: 'staff', permission: 'activities.read' } as const
const managing = { auth: 'staff', permission: 'activities.manage' } as const

const preCheckView = z.object({
  ok: z.boolean(),
  checkedAt: z.string(),
  items: z.array(z.object({ item: z.string(), ok: z.boolean(), detail: z.string(), action: z.string().nullable() })),
})

const commandRoute = (command: ActivityCommand, summary: string) =>
  route(
    'POST',
    `/api/v1/activities/:activityId/${command}`,
    { ...managing, summary, params, reply: activityView, problems: ['not-found', 'conflict'] },
    async ({ params, principal }, activities: ActivityService) =>
      show(await activities.command(principal.tenantId, params.activityId, command, principal)),
  )

export const routes = [
  route(
    'POST',
    '/api/v1/activities',
    {
      ...managing,
      summary: 'Creates a draft.',
      body: newActivity,
      reply: activityView,
      status: 201,
      problems: ['conflict', 'quota-exceeded', 'dependency-unavailable'],
    },
    async ({ body, principal }, activities: ActivityService) => {
      await activities.mustHaveRoom(principal.tenantId)
      const quota = await activities.activityQuota(principal.tenantId)
      return activities.change(principal.tenantId, principal, async (context) =>
        show(await createActivity(context, body.activityId ?? activities.newId(), body, quota)),
      )
    },
  ),
  route(
    'GET',
    '/api/v1/activities',
    {
      ...reading,
      summary: 'Activities, newest first.',
      query: z.object({
        cursor: identifier.optional(),
        state: z.enum(activityStates).optional(),
        limit: z.coerce.number().int().min(1).max(200).default(50),
      }),
      reply: z.object({ activities: z.array(activityView), nextCursor: z.string().nullable() }),
    },
    async ({ query, principal }, activities: ActivityService) => {
      await activities.schema()
      const found = await listActivities(activities.database.forTenant(principal.tenantId), {
        before: query.cursor,
        state: query.state,
        limit: query.limit,
      })
      return {
        activities: found.map(show),
        nextCursor: found.length === query.limit ? (found.at(-1)?.activityId ?? null) : null,
      }
    },
  ),
  route(
    'GET',
    '/api/v1/activities/:activityId',
    { ...reading, summary: 'One activity.', params, reply: activityView, problems: ['not-found'] },
    async ({ params, principal }, activities: ActivityService) =>
      show(await activities.get(principal.tenantId, params.activityId)),
  ),
  route(
    'GET',
    '/api/v1/activities/:activityId/history',
    {
      ...reading,
      summary: 'Every change of state: when, by what and by whom.',
      params,
      reply: z.object({
        transitions: z.array(
          z.object({
            version: z.int(),
            command: z.string(),
            from: z.string(),
            to: z.string(),
            actor: z.string(),
            at: z.string(),
          }),
        ),
      }),
      problems: ['not-found'],
    },
    async ({ params, principal }, activities: ActivityService) => {
      await activities.get(principal.tenantId, params.activityId)
      return {
        transitions: await listTransitions(activities.database.forTenant(principal.tenantId), params.activityId),
      }
    },
  ),
  route(
    'PATCH',
    '/api/v1/activities/:activityId',
    {
      ...managing,
      summary: 'Changes a draft, or one whose allocation was refused. Names the version that was seen.',
      params,
      body: activityChange,
      reply: activityView,
      problems: ['not-found', 'conflict'],
    },
    ({ params, body, principal }, activities: ActivityService) =>
      activities.change(principal.tenantId, principal, async (context) =>
        show(await changeActivity(context, params.activityId, body)),
      ),
  ),
  route(
    'POST',
    '/api/v1/activities/:activityId/schedule',
    {
      ...managing,
      summary: 'Schedules: the stock is set aside and the sale is loaded before it begins.',
      params,
      reply: activityView,
      problems: ['not-found', 'conflict', 'unprocessable'],
    },
    ({ params, principal }, activities: ActivityService) =>
      activities.change(principal.tenantId, principal, async (context) =>
        show(await scheduleActivity(context, params.activityId)),
      ),
  ),
  route(
    'POST',
    '/api/v1/activities/:activityId/pre-check',
    {
      ...managing,
      summary: 'Is everything ready for the sale? Changes nothing.',
      params,
      reply: preCheckView,
      problems: ['not-found'],
    },
    ({ params, principal }, activities: ActivityService) => activities.preCheck(principal.tenantId, params.activityId),
  ),
  route(
    'POST',
    '/api/v1/activities/:activityId/warm-up',
    {
      ...managing,
      summary: 'Loads the sale into Redis now.',
      params,
      reply: z.object({ outcome: z.enum(['warmed-up', 'already-warm', 'needs-rebuild', 'not-allocated']) }),
      problems: ['not-found', 'conflict', 'dependency-unavailable'],
    },
    ({ params, principal }, activities: ActivityService) => activities.warmUp(principal.tenantId, params.activityId),
  ),
  commandRoute('open', 'Opens a sale whose window began; the clock does it too.'),
  commandRoute('pause', 'Pauses: no purchases until it is resumed.'),
  commandRoute('resume', 'Goes on after a pause.'),
  commandRoute('close', 'Ends the sale for good.'),
  route(
    'POST',
    '/api/v1/activities/:activityId/settle',
    {
      ...managing,
      summary: 'After the sale, when all orders are final and everything agrees: unsold stock goes back.',
      params,
      reply: activityView,
      problems: ['not-found', 'conflict', 'unprocessable', 'dependency-unavailable'],
    },
    async ({ params, principal }, activities: ActivityService) =>
      show(await activities.settle(principal.tenantId, params.activityId, principal)),
  ),
  route(
    'POST',
    '/api/v1/activities/:activityId/cancel',
    {
      ...managing,
      summary: 'Withdraws an activity that has sold nothing.',
      params,
      reply: activityView,
      problems: ['not-found', 'conflict', 'dependency-unavailable'],
    },
    async ({ params, principal }, activities: ActivityService) =>
      show(await activities.cancel(principal.tenantId, params.activityId, principal)),
  ),
  route(
    'GET',
    '/api/v1/activities/:activityId/report',
    {
      ...reading,
      summary: 'What was sold, when, and what became of it: JSON, CSV or a page.',
      params,
      query: z.object({ format: z.enum(['json', 'csv', 'html']).default('json') }),
      reply: reportShape,
      mediaTypes: ['text/csv', 'text/html'],
      problems: ['not-found', 'dependency-unavailable'],
      timeoutMs: 60_000,
    },
    async ({ params, query, principal }, activities: ActivityService) => {
      const report = await activities.report(principal.tenantId, params.activityId)
      if (query.format === 'json') return report
      if (query.format === 'csv') {
        return new Reply(200, reportCsv(report), {
          'content-type': 'text/csv; charset=utf-8',
          'content-disposition': `attachment; filename="${params.activityId}.csv"`,
        })
      }
      const { html, headers } = reportPage(report)
      return new Reply(200, html, headers)
    },
  ),
  route(
    'GET',
    '/api/v1/activity-states/:activityId',
    {
      auth: 'service',
      summary: 'What state an activity is in, for other functions.',
      params,
      reply: z.object({ state: z.enum(activityStates), version: z.int() }),
      problems: ['not-found'],
    },
    async ({ params, principal }, activities: ActivityService) => {
      const { state, version } = await activities.get(principal.tenantId, params.activityId)
      return { state, version }
    },
  ),
  route(
    'GET',
    '/api/v1/activity-rows',
    {
      auth: 'service',
      summary: 'Rows that this function holds of the tenant, for its quota; counted up to a limit.',
      query: z.object({ most: z.coerce.number().int().min(1).max(10_000_001) }),
      reply: z.object({ rows: z.int() }),
      timeoutMs: 30_000,
    },
    async ({ query, principal }, activities: ActivityService) => ({
      rows: await activities.countRows(principal.tenantId, query.most),
    }),
  ),
  route(
    'GET',
    '/activities/:activityId/live',
    { auth: 'public', summary: 'The sale as it runs, as a page.', params, mediaTypes: ['text/html'] },
    () => {
      const { html, headers } = livePage()
      return new Reply(200, html, headers)
    },
  ),
]
