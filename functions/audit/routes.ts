/** HTTP of audit: shapes and handlers. */
import { z } from 'zod'
import { route } from '@stampede/shared/function/declaration.ts'
import type { Audit } from './audit.ts'
import { findingKinds } from './verify.ts'

const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)
const instant = z.iso.datetime({ offset: true })
const sequence = z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER)

const recordView = z.object({
  sequence: z.int(),
  recordId: identifier,
  source: z.string(),
  actor: z.object({ kind: z.enum(['user', 'staff', 'service', 'system']), id: identifier, tenantId: identifier }),
  action: z.string(),
  subject: z.string(),
  details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  at: z.string(),
  recordedAt: z.string(),
  previousHash: z.string(),
  hash: z.string(),
})

const verificationView = z.object({
  ok: z.boolean(),
  checked: z.int(),
  checkpoints: z.int(),
  throughSequence: z.int(),
  complete: z.boolean(),
  finding: z
    .object({
      kind: z.enum(findingKinds),
      sequence: z.int(),
      recordId: z.string().nullable(),
      detail: z.string(),
    })
    .nullable(),
})

const staff = { auth: 'staff', permission: 'audit.read' } as const

export const routes = [
  route(
    'GET',
    '/api/v1/audit-records',
    {
      ...staff,
      summary: 'Who did what in the tenant, newest first.',
      query: z.object({
        actor: identifier.optional(),
        action: z
          .string()
          .regex(/^[a-z-]+(\.[a-z-]+)*$/)
          .max(100)
          .optional(),
        subject: z.string().max(200).optional(),
        since: instant.optional(),
        until: instant.optional(),
        cursor: sequence.optional(),
        limit: z.coerce.number().int().min(1).max(200).default(50),
      }),
      reply: z.object({ records: z.array(recordView), nextCursor: z.int().nullable() }),
    },
    async ({ query: { cursor, ...filter }, principal }, audit: Audit) => {
      const found = await audit.list(principal.tenantId, { ...filter, before: cursor ?? Number.MAX_SAFE_INTEGER })
      return {
        records: found.map(({ tenantId: _tenantId, detailsText: _detailsText, ...record }) => record),
        nextCursor: found.length === filter.limit ? (found.at(-1)?.sequence ?? null) : null,
      }
    },
  ),
  route(
    'POST',
    '/api/v1/audit-records/verifications',
    {
      ...staff,
      summary:
        'Verifies the chain of the tenant and says which record is broken first. Long chains take several calls: "complete" is false, and the next call begins behind "throughSequence".',
      body: z.strictObject({ fromSequence: z.int().min(1).default(1) }).default({ fromSequence: 1 }),
      reply: verificationView,
      timeoutMs: 60_000,
    },
    async ({ body, principal }, audit: Audit) => {
      const { tenantId: _tenantId, ...verification } = await audit.verify(principal.tenantId, body.fromSequence)
      return verification
    },
  ),
]
