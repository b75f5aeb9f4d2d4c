/** Every change of a tenant: under its row lock, with its event and its audit record in one transaction. */
import type { z } from 'zod'
import { tenantChanged } from '@stampede/eventing/catalogue/identity-events.ts'
import type { TenantQuota } from '@stampede/shared/access/types.ts'
import { auditEvent, type AuditActor, type AuditDetails } from '@stampede/shared/audit/audit-event.ts'
import type { ChangeContext } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { platformTenant } from '@stampede/shared/identity/service-token.ts'
import type { NewTenant, TenantSettings } from './settings.ts'
import { insertTenant, lockTenant, saveTenant, type Tenant } from './store.ts'
import { allowedCommands, nextState, type TenantCommand } from './tenant-state.ts'

type Change = z.output<typeof tenantChanged.data>['change']

const changeOf = { suspend: 'suspended', resume: 'resumed', close: 'closed' } as const

async function tell(context: ChangeContext, tenant: Tenant, change: Change, actor: AuditActor, details: AuditDetails) {
  const { tenantId, state, quota, version, updatedAt: at } = tenant
  await context.outbox.add(context.tx, [
    {
      definition: tenantChanged,
      subject: tenantId,
      // Stable for each fact: one version of one tenant.
      id: `${tenantId}:${version}`,
      time: at,
      data: { tenantId, change, state, quota, version, at },
    },
    auditEvent({
      by: 'tenant',
      tenantId,
      actor,
      action: isState(change) ? `tenant.${change}` : `tenant.${change}-changed`,
      subject: `tenant/${tenantId}`,
      details: { version, ...details },
      atMs: Date.parse(at),
    }),
  ])
}

const isState = (change: Change): boolean => change !== 'quota' && change !== 'settings' && change !== 'storage'

const quotaDetails = (quota: TenantQuota): AuditDetails => ({ quota: JSON.stringify(quota) })

/** Undefined when the tenant exists already. */
export async function createTenant(
  context: ChangeContext,
  input: NewTenant,
  actor: AuditActor,
): Promise<Tenant | undefined> {
  const at = new Date(context.now()).toISOString()
  const tenant: Tenant = {
    ...input,
    state: 'active',
    reason: null,
    storageRows: null,
    storageExceeded: false,
    version: 1,
    createdAt: at,
    updatedAt: at,
  }
  if (!(await insertTenant(context.tenant, tenant))) return undefined
  await tell(context, tenant, 'created', actor, { name: tenant.name, ...quotaDetails(tenant.quota) })
  return tenant
}

async function lockExisting({ tenant: own, tenantId }: ChangeContext): Promise<Tenant> {
  const tenant = await lockTenant(own)
  if (!tenant) throw new Problem('not-found', `There is no tenant ${tenantId}.`)
  return tenant
}

/** A command that the state does not allow is a conflict that says what is allowed. */
export async function commandTenant(
  context: ChangeContext,
  command: TenantCommand,
  reason: string,
  actor: AuditActor,
): Promise<Tenant> {
  if (context.tenantId === platformTenant)
    throw new Problem('unprocessable', 'The tenant of the platform is always active: nobody could bring it back.')
  const before = await lockExisting(context)
  const state = nextState(before.state, command)
  if (state === undefined)
    throw new Problem('conflict', `A tenant that is ${before.state} does not allow "${command}".`, {
      extensions: { state: before.state, allowed: allowedCommands(before.state) },
    })
  return save(context, before, { state, reason }, changeOf[command], actor, { reason })
}

/** Names the version that was seen; a tenant that changed since is a conflict. */
async function configure(
  context: ChangeContext,
  version: number,
  change: 'quota' | 'settings',
  valuesFor: (before: Tenant) => Partial<Tenant>,
  actor: AuditActor,
  details: AuditDetails,
): Promise<Tenant> {
  const before = await lockExisting(context)
  if (before.state === 'closed')
    throw new Problem('conflict', 'A closed tenant is not changed any more.', { extensions: { state: before.state } })
  if (before.version !== version)
    throw new Problem('conflict', `The tenant changed: it has version ${before.version} now.`, {
      extensions: { version: before.version },
    })
  return save(context, before, valuesFor(before), change, actor, details)
}

export const changeQuota = (
  context: ChangeContext,
  { version, quota }: { version: number; quota: TenantQuota },
  actor: AuditActor,
): Promise<Tenant> =>
  configure(
    context,
    version,
    'quota',
    ({ storageRows }) => ({ quota, storageExceeded: isExceeded(quota, storageRows) }),
    actor,
    quotaDetails(quota),
  )

const isExceeded = ({ storageRows: most }: TenantQuota, rows: number | null): boolean =>
  most !== undefined && rows !== null && rows >= most

/** What was counted. It is told only when it changes what the tenant may do; undefined then: nobody has to know. */
export async function noteStorage(
  context: ChangeContext,
  storageRows: number,
  actor: AuditActor,
): Promise<Tenant | undefined> {
  const before = await lockExisting(context)
  const storageExceeded = isExceeded(before.quota, storageRows)
  if (storageExceeded !== before.storageExceeded)
    return save(context, before, { storageRows, storageExceeded }, 'storage', actor, { storageRows, storageExceeded })
  if (storageRows !== before.storageRows) await saveTenant(context.tenant, { ...before, storageRows })
  return undefined
}

export const changeSettings = (
  context: ChangeContext,
  { version, settings }: { version: number; settings: TenantSettings },
  actor: AuditActor,
): Promise<Tenant> =>
  configure(context, version, 'settings', () => ({ settings }), actor, {
    members: Object.keys(settings).sort().join(' '),
  })

async function save(
  context: ChangeContext,
  before: Tenant,
  values: Partial<Tenant>,
  change: Change,
  actor: AuditActor,
  details: AuditDetails,
): Promise<Tenant> {
  const after: Tenant = {
    ...before,
    ...values,
    version: before.version + 1,
    updatedAt: new Date(context.now()).toISOString(),
  }
  await saveTenant(context.tenant, after)
  await tell(context, after, change, actor, details)
  return after
}
