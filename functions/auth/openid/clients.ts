/** Applications that sign people in, or call as themselves: what staff may set, and what is stored. */
import { z } from 'zod'
import type { Row, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { tenantStatement } from '@stampede/shared/database/statement.ts'

const maximumUris = 20
const loopback = new Set(['127.0.0.1', '[::1]', 'localhost'])

/** HTTPS, or HTTP on the machine itself; compared as it stands, so without anything that could be written in two ways. */
const address = z
  .string()
  .max(500)
  .refine((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined
    if (!url || url.hash !== '' || text.includes('#') || url.username !== '' || url.password !== '') return false
    return url.protocol === 'https:' || (url.protocol === 'http:' && loopback.has(url.hostname))
  }, 'is not an address that begins with https:// (http:// for this machine alone), without a fragment or a password')

export const clientInput = z
  .strictObject({
    name: z.string().min(1).max(100),
    /** `web` has a secret, `browser` (an app without a server) has none, `service` calls as itself. */
    kind: z.enum(['web', 'browser', 'service']),
    redirectUris: z.array(address).max(maximumUris).default([]),
    postLogoutRedirectUris: z.array(address).max(maximumUris).default([]),
    backchannelLogoutUri: address.optional(),
  })
  .superRefine(({ kind, redirectUris, backchannelLogoutUri }, context) => {
    const issue = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message })
    if (kind === 'service' && (redirectUris.length > 0 || backchannelLogoutUri !== undefined))
      issue('redirectUris', 'nobody signs in to a service: it has no addresses')
    if (kind !== 'service' && redirectUris.length === 0) issue('redirectUris', 'where people come back to is missing')
  })
export type ClientSettings = z.output<typeof clientInput>

export type Client = { clientId: string; secretHash: string | undefined; settings: ClientSettings; createdAt: Date }

const toClient = (row: Row): Client => ({
  clientId: String(row['clientId']),
  secretHash: (row['secretHash'] as string | null) ?? undefined,
  settings: JSON.parse(String(row['settings'])) as ClientSettings,
  createdAt: row['createdAt'] as Date,
})

const insert = tenantStatement(
  'auth.insertClient',
  `INSERT INTO auth_clients (tenant_id, client_id, name, secret_hash, settings, created_at)
   VALUES (:tenantId, :clientId, :name, :secretHash, :settings, :createdAt)`,
)
export async function insertClient(db: TenantDatabase, client: Client): Promise<void> {
  const { clientId, secretHash, settings, createdAt } = client
  const stored = { name: settings.name, settings: JSON.stringify(settings) }
  await db.change(insert, { clientId, secretHash: secretHash ?? null, createdAt, ...stored })
}

const find = tenantStatement(
  'auth.findClient',
  `SELECT client_id AS clientId, secret_hash AS secretHash, settings, created_at AS createdAt FROM auth_clients
   WHERE tenant_id = :tenantId AND client_id = :clientId`,
)
export async function findClient(db: TenantDatabase, clientId: string): Promise<Client | undefined> {
  const row = await db.row(find, { clientId })
  return row && toClient(row)
}

const list = tenantStatement(
  'auth.listClients',
  `SELECT client_id AS clientId, secret_hash AS secretHash, settings, created_at AS createdAt FROM auth_clients
   WHERE tenant_id = :tenantId AND client_id > :after ORDER BY client_id LIMIT :limit`,
)
export async function listClients(db: TenantDatabase, after: string, limit: number): Promise<Client[]> {
  return (await db.rows(list, { after, limit })).map(toClient)
}

const remove = tenantStatement(
  'auth.deleteClient',
  'DELETE FROM auth_clients WHERE tenant_id = :tenantId AND client_id = :clientId',
)
export async function deleteClient(db: TenantDatabase, clientId: string): Promise<boolean> {
  return (await db.change(remove, { clientId })) === 1
}
