/** HTTP of reconciliation, for staff. */
import { z } from 'zod'
import { route } from '@stampede/shared/function/declaration.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { Reconciliation } from './reconciliation.ts'
import { findRun, listRuns } from './store.ts'

const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)
const runId = z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/)

const finding = z.object({
  bucket: z.int(),
  kind: z.string(),
  repair: z.string(),
  count: z.int(),
  units: z.int(),
  repaired: z.int(),
  /** Some of them. */
  orderNumbers: z.array(z.string()),
})

const run = z.object({
  runId,
  activityId: identifier,
  fencingToken: z.int(),
  state: z.enum(['running', 'done', 'failed']),
  outcome: z.string().nullable(),
  startedAt: z.string(),
  finishedAt: z.string().nullable(),
  buyers: z.int(),
  orders: z.int(),
  repaired: z.int(),
  open: z.int(),
  failure: z.string().nullable(),
})

const reading = { auth: 'staff', permission: 'reconciliation.read' } as const
const running = { auth: 'staff', permission: 'reconciliation.run' } as const

export const routes = [
  route(
    'GET',
    '/api/v1/reconciliation-runs',
    {
      ...reading,
      summary: 'Runs, newest first; of one activity when it is named.',
      query: z.object({
        activityId: identifier.optional(),
        cursor: runId.optional(),
        limit: z.coerce.number().int().min(1).max(200).default(50),
      }),
      reply: z.object({ runs: z.array(run), nextCursor: z.string().nullable() }),
    },
    async ({ query, principal }, reconciliation: Reconciliation) => {
      await reconciliation.schema()
      const runs = await listRuns(reconciliation.database.forTenant(principal.tenantId), {
        activityId: query.activityId,
        before: query.cursor,
        limit: query.limit,
      })
      return { runs, nextCursor: runs.length === query.limit ? (runs.at(-1)?.runId ?? null) : null }
    },
  ),
  route(
    'GET',
    '/api/v1/reconciliation-runs/:runId',
    {
      ...reading,
      summary: 'One run with its findings.',
      params: z.object({ runId }),
      reply: run.extend({ findings: z.array(finding) }),
      problems: ['not-found'],
    },
    async ({ params, principal }, reconciliation: Reconciliation) => {
      await reconciliation.schema()
      const found = await findRun(reconciliation.database.forTenant(principal.tenantId), params.runId)
      if (!found) throw new Problem('not-found', `There is no run ${params.runId}.`)
      return found
    },
  ),
  route(
    'POST',
    '/api/v1/reconciliation-runs',
    {
      ...running,
      summary: 'Compares a sale now, everything one by one.',
      body: z.strictObject({ activityId: identifier }),
      reply: z.object({
        runId,
        outcome: z.enum(['compared', 'quiet', 'recovering', 'rebuilt', 'rebuilding', 'not-in-redis']),
        repaired: z.int(),
        open: z.int(),
        findings: z.array(finding),
      }),
      problems: ['not-found', 'conflict', 'dependency-unavailable'],
      timeoutMs: 120_000,
    },
    ({ body, principal }, reconciliation: Reconciliation) =>
      reconciliation.runNow({ tenantId: principal.tenantId, activityId: body.activityId }),
  ),
]
