/** Every change of the roles of a tenant: under the tenant's lock, with its event and its audit record in one transaction. */
import { rolesChanged } from '@stampede/eventing/catalogue/identity-events.ts'
import type { Permission } from '@stampede/shared/access/permissions.ts'
import { auditEvent, type AuditActor, type AuditDetails } from '@stampede/shared/audit/audit-event.ts'
import type { ChangeContext } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { isReserved, maximumRoles, mustHoldAll, resolveRoles, type Role, type RoleGraph } from './role-graph.ts'
import {
  countUsersOf,
  deleteRole,
  listRoles,
  lockTenant,
  saveRole,
  saveRolesVersion,
  type StoredRole,
} from './store.ts'

/** Who changes it, and what they hold among the roles as they are. */
export type Changer = {
  actor: AuditActor
  heldIn: (context: ChangeContext, graph: RoleGraph) => Promise<ReadonlySet<Permission>>
}

/** The roles as they are now, locked until the end of the transaction. */
export async function lockRoles(context: ChangeContext) {
  const version = await lockTenant(context.tenant)
  const roles = await listRoles(context.tenant)
  return { version, roles, graph: resolveRoles(context.tenantId, roles) }
}

async function tell(
  context: ChangeContext,
  fromVersion: number,
  roles: readonly Role[],
  graph: RoleGraph,
  audit: { action: string; role: string; actor: AuditActor; details: AuditDetails },
) {
  const { tx, tenant, tenantId } = context
  const version = fromVersion + 1
  const atMs = context.now()
  const at = new Date(atMs).toISOString()
  await saveRolesVersion(tenant, version)
  await context.outbox.add(tx, [
    {
      definition: rolesChanged,
      subject: tenantId,
      // Stable for each fact: one version of the roles of one tenant.
      id: `${tenantId}:roles:${version}`,
      time: at,
      data: { tenantId, roles: effectiveRoles(roles, graph), version, at },
    },
    auditEvent({
      by: 'permission',
      tenantId,
      actor: audit.actor,
      action: audit.action,
      subject: `role/${audit.role}`,
      details: audit.details,
      atMs,
    }),
  ])
}

/** What the access directory holds: roles of the tenant's own making with everything that they allow. */
export const effectiveRoles = (roles: readonly Role[], graph: RoleGraph): Record<string, Permission[]> =>
  Object.fromEntries(roles.map(({ role }) => [role, [...graph.permissionsOf(role)!].sort()]))

const detailsOf = (role: Role): AuditDetails => ({
  permissions: role.permissions.join(' '),
  inherits: role.inherits.join(' '),
})

const mustBeOwn = (role: string): void => {
  if (isReserved(role)) throw new Problem('unprocessable', `The role ${role} is built in and cannot be changed.`)
}

export async function createRole(context: ChangeContext, input: Role, changer: Changer): Promise<StoredRole> {
  mustBeOwn(input.role)
  const before = await lockRoles(context)
  if (before.roles.some(({ role }) => role === input.role))
    throw new Problem('conflict', `The role ${input.role} exists already.`)
  if (before.roles.length >= maximumRoles)
    throw new Problem('unprocessable', `A tenant has at most ${maximumRoles} roles of its own.`)
  const role: StoredRole = { ...input, version: 1, updatedAt: new Date(context.now()).toISOString() }
  const roles = [...before.roles, role]
  const graph = resolveRoles(context.tenantId, roles)
  mustHoldAll(await changer.heldIn(context, before.graph), graph.permissionsOf(role.role)!)
  await saveRole(context.tenant, role)
  await tell(context, before.version, roles, graph, {
    action: 'role.created',
    role: role.role,
    actor: changer.actor,
    details: detailsOf(role),
  })
  return role
}

function find(roles: readonly StoredRole[], name: string, version: number): StoredRole {
  const found = roles.find(({ role }) => role === name)
  if (!found) throw new Problem('not-found', `There is no role ${name}.`)
  if (found.version !== version)
    throw new Problem('conflict', `The role changed: it has version ${found.version} now.`, {
      extensions: { version: found.version },
    })
  return found
}

/** Names the version that was seen. */
export async function changeRole(
  context: ChangeContext,
  { version, ...input }: Role & { version: number },
  changer: Changer,
): Promise<StoredRole> {
  mustBeOwn(input.role)
  const before = await lockRoles(context)
  const old = find(before.roles, input.role, version)
  const role: StoredRole = { ...input, version: old.version + 1, updatedAt: new Date(context.now()).toISOString() }
  const roles = before.roles.map((one) => (one === old ? role : one))
  const graph = resolveRoles(context.tenantId, roles)
  mustHoldAll(
    await changer.heldIn(context, before.graph),
    new Set([...before.graph.permissionsOf(role.role)!, ...graph.permissionsOf(role.role)!]),
  )
  await saveRole(context.tenant, role)
  await tell(context, before.version, roles, graph, {
    action: 'role.changed',
    role: role.role,
    actor: changer.actor,
    details: detailsOf(role),
  })
  return role
}

/** Only a role that nobody has and no other role inherits from: nobody loses something that was not taken from them by name. */
export async function removeRole(
  context: ChangeContext,
  { role: name, version }: { role: string; version: number },
  changer: Changer,
): Promise<void> {
  mustBeOwn(name)
  const before = await lockRoles(context)
  find(before.roles, name, version)
  const users = await countUsersOf(context.tenant, name)
  const inheritedBy = before.roles.filter(({ inherits }) => inherits.includes(name)).map(({ role }) => role)
  if (users > 0 || inheritedBy.length > 0)
    throw new Problem('conflict', `The role ${name} is in use: take it from its users and from other roles first.`, {
      extensions: { users, inheritedBy },
    })
  mustHoldAll(await changer.heldIn(context, before.graph), before.graph.permissionsOf(name)!)
  await deleteRole(context.tenant, name)
  const roles = before.roles.filter(({ role }) => role !== name)
  await tell(context, before.version, roles, resolveRoles(context.tenantId, roles), {
    action: 'role.deleted',
    role: name,
    actor: changer.actor,
    details: {},
  })
}
