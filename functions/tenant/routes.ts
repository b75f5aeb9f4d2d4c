/** HTTP of tenant: shapes and handlers. */
import { z } from 'zod'
import { actorOf } from '@stampede/shared/audit/audit-event.ts'
import { route } from '@stampede/shared/function/declaration.ts'
import { newTenant, tenantId, tenantQuota, tenantSettings } from './settings.ts'
import type { Tenant } from './store.ts'
import { tenantStates, type TenantCommand } from './tenant-state.ts'
import type { Tenants } from './tenant.ts'

const tenantView = z.object({
  tenantId: z.string(),
  name: z.string(),
  state: z.enum(tenantStates),
  reason: z.string().nullable(),
  quota: tenantQuota,
  settings: tenantSettings,
  storageRows: z.int().nullable(),
  storageExceeded: z.boolean(),
  version: z.int(),
  createdAt: z.string(),
  updatedAt: z.string(),
})
/** What staff of a tenant see of it; the platform's reasons are not for them. */
const ownView = tenantView.omit({ reason: true, createdAt: true, updatedAt: true })
const showOwn = ({ reason: _reason, createdAt: _createdAt, updatedAt: _updatedAt, ...tenant }: Tenant) => tenant

const params = z.object({ tenantId })
const version = z.int().min(1)
const reading = { auth: 'staff', permission: 'tenants.read' } as const
const managing = { auth: 'staff', permission: 'tenants.manage' } as const

const commandRoute = (resource: string, command: TenantCommand, summary: string) =>
  route(
    'POST',
    `/api/v1/tenants/:tenantId/${resource}`,
    {
      ...managing,
      summary,
      params,
      body: z.strictObject({ reason: z.string().trim().min(1).max(500) }),
      reply: tenantView,
      problems: ['not-found', 'conflict', 'unprocessable'],
    },
    ({ params, body, principal }, tenants: Tenants) =>
      tenants.command(params.tenantId, command, body.reason, actorOf(principal)),
  )

export const routes = [
  route(
    'POST',
    '/api/v1/tenants',
    {
      ...managing,
      summary: 'Creates a tenant. It is active at once.',
      body: newTenant,
      reply: tenantView,
      status: 201,
      problems: ['conflict'],
    },
    ({ body, principal }, tenants: Tenants) => tenants.create(body, actorOf(principal)),
  ),
  route(
    'GET',
    '/api/v1/tenants',
    {
      ...reading,
      summary: 'Tenants by id.',
      query: z.object({
        cursor: tenantId.optional(),
        state: z.enum(tenantStates).optional(),
        limit: z.coerce.number().int().min(1).max(200).default(50),
      }),
      reply: z.object({ tenants: z.array(tenantView), nextCursor: z.string().nullable() }),
    },
    async ({ query }, tenants: Tenants) => {
      const found = await tenants.list({ after: query.cursor ?? '', state: query.state, limit: query.limit })
      return { tenants: found, nextCursor: found.length === query.limit ? (found.at(-1)?.tenantId ?? null) : null }
    },
  ),
  route(
    'GET',
    '/api/v1/tenants/:tenantId',
    { ...reading, summary: 'One tenant.', params, reply: tenantView, problems: ['not-found'] },
    ({ params }, tenants: Tenants) => tenants.get(params.tenantId),
  ),
  commandRoute('suspension', 'suspend', 'Nobody of the tenant may do anything, within a second, until it is resumed.'),
  commandRoute('resumption', 'resume', 'A suspended tenant is active again.'),
  commandRoute('closure', 'close', 'Ends a tenant for good; its rows stay.'),
  route(
    'PUT',
    '/api/v1/tenants/:tenantId/quota',
    {
      ...managing,
      summary: 'Sets the limits of a tenant; one that is left out is no limit. Names the version that was seen.',
      params,
      body: z.strictObject({ version, quota: tenantQuota }),
      reply: tenantView,
      problems: ['not-found', 'conflict'],
    },
    ({ params, body, principal }, tenants: Tenants) => tenants.changeQuota(params.tenantId, body, actorOf(principal)),
  ),
  route(
    'PUT',
    '/api/v1/tenants/:tenantId/settings',
    {
      ...managing,
      summary: 'Sets the configuration of a tenant. Names the version that was seen.',
      params,
      body: z.strictObject({ version, settings: tenantSettings }),
      reply: tenantView,
      problems: ['not-found', 'conflict'],
    },
    ({ params, body, principal }, tenants: Tenants) =>
      tenants.changeSettings(params.tenantId, body, actorOf(principal)),
  ),
  route(
    'GET',
    '/api/v1/tenant/settings',
    {
      auth: 'staff',
      permission: 'configuration.read',
      summary: 'The own tenant: its limits and its configuration.',
      reply: ownView,
      problems: ['not-found'],
    },
    async ({ principal }, tenants: Tenants) => showOwn(await tenants.get(principal.tenantId)),
  ),
  route(
    'PUT',
    '/api/v1/tenant/settings',
    {
      auth: 'staff',
      permission: 'configuration.manage',
      summary: 'Sets the configuration of the own tenant. Names the version that was seen.',
      body: z.strictObject({ version, settings: tenantSettings }),
      reply: ownView,
      problems: ['not-found', 'conflict'],
    },
    async ({ body, principal }, tenants: Tenants) =>
      showOwn(await tenants.changeSettings(principal.tenantId, body, actorOf(principal))),
  ),
  route(
    'GET',
    '/api/v1/tenant-settings',
    {
      auth: 'service',
      summary: 'Configuration of a tenant, for other functions.',
      reply: z.object({ settings: tenantSettings, version: z.int() }),
      problems: ['not-found'],
    },
    async ({ principal }, tenants: Tenants) => {
      const { settings, version } = await tenants.get(principal.tenantId)
      return { settings, version }
    },
  ),
]
