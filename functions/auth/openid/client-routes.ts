/** HTTP for staff: the applications of their tenant. */
import { z } from 'zod'
import { actorOf, auditEvent } from '@stampede/shared/audit/audit-event.ts'
import { route } from '@stampede/shared/function/declaration.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { Auth } from '../auth.ts'
import { hashSecret, newId, newSecret } from '../ids.ts'
import { identifier } from '../routes.ts'
import { clientInput, deleteClient, insertClient, listClients, type Client } from './clients.ts'

const clientView = z.object({
  clientId: z.string(),
  name: z.string(),
  kind: z.enum(['web', 'browser', 'service']),
  issuer: z.string(),
  redirectUris: z.array(z.string()),
  postLogoutRedirectUris: z.array(z.string()),
  backchannelLogoutUri: z.string().nullable(),
  createdAt: z.string(),
})

const show = (auth: Auth, tenantId: string, { clientId, settings, createdAt }: Client) => ({
  clientId,
  name: settings.name,
  kind: settings.kind,
  issuer: auth.issuerOf(tenantId),
  redirectUris: settings.redirectUris,
  postLogoutRedirectUris: settings.postLogoutRedirectUris,
  backchannelLogoutUri: settings.backchannelLogoutUri ?? null,
  createdAt: createdAt.toISOString(),
})

export const clientRoutes = [
  route(
    'GET',
    '/api/v1/clients',
    {
      auth: 'staff',
      permission: 'clients.read',
      summary: 'Applications that may sign people in or call as themselves, by id.',
      query: z.object({ cursor: identifier.optional(), limit: z.coerce.number().int().min(1).max(200).default(50) }),
      reply: z.object({ clients: z.array(clientView), nextCursor: z.string().nullable() }),
    },
    async ({ principal, query }, auth: Auth) => {
      await auth.events.schema()
      const db = auth.events.database.forTenant(principal.tenantId)
      const clients = await listClients(db, query.cursor ?? '', query.limit)
      return {
        clients: clients.map((client) => show(auth, principal.tenantId, client)),
        nextCursor: clients.length === query.limit ? (clients.at(-1)?.clientId ?? null) : null,
      }
    },
  ),
  route(
    'POST',
    '/api/v1/clients',
    {
      auth: 'staff',
      permission: 'clients.manage',
      summary:
        'Registers an application. Its secret is shown once. A service gets roles like a person, by its client id.',
      body: clientInput,
      reply: clientView.extend({ clientSecret: z.string().nullable() }),
      status: 201,
    },
    async ({ principal, body }, auth: Auth) => {
      const { tenantId } = principal
      const secret = body.kind === 'browser' ? undefined : newSecret()
      const client: Client = {
        clientId: newId('c'),
        secretHash: secret === undefined ? undefined : hashSecret(secret),
        settings: body,
        createdAt: new Date(auth.now()),
      }
      await auth.events.change(tenantId, principal.userId, async ({ tx, tenant, outbox, now }) => {
        await insertClient(tenant, client)
        await outbox.add(tx, [
          auditEvent({
            by: auth.name,
            tenantId,
            actor: actorOf(principal),
            atMs: now(),
            action: 'client.registered',
            subject: `client/${client.clientId}`,
            details: { name: body.name, kind: body.kind, redirectUris: body.redirectUris.join(' ') },
          }),
        ])
      })
      return { ...show(auth, tenantId, client), clientSecret: secret ?? null }
    },
  ),
  route(
    'DELETE',
    '/api/v1/clients/:clientId',
    {
      auth: 'staff',
      permission: 'clients.manage',
      summary:
        'Removes an application: it gets no tokens any more, and those of a service are refused within a second.',
      params: z.object({ clientId: identifier }),
      problems: ['not-found', 'dependency-unavailable'],
    },
    async ({ principal, params }, auth: Auth) => {
      const { tenantId } = principal
      const { clientId } = params
      await auth.events.change(tenantId, principal.userId, async ({ tx, tenant, outbox, now }) => {
        if (!(await deleteClient(tenant, clientId))) throw new Problem('not-found', 'There is no such application.')
        await outbox.add(tx, [
          auditEvent({
            by: auth.name,
            tenantId,
            actor: actorOf(principal),
            atMs: now(),
            action: 'client.removed',
            subject: `client/${clientId}`,
          }),
        ])
      })
      await auth.directory.correct(tenantId, clientId, { atMs: auth.now(), blocked: true })
    },
  ),
]
