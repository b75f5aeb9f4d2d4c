/** Who has which roles: every change under the tenant's lock, with its event and its audit record in one transaction. */
import { assignmentChanged } from '@stampede/eventing/catalogue/identity-events.ts'
import { auditEvent, type AuditActor } from '@stampede/shared/audit/audit-event.ts'
import type { ChangeContext } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { lockRoles, type Changer } from './change-roles.ts'
import { administratorOf, mustHoldAll, permissionsOfAll } from './role-graph.ts'
import { countUsersOf, findAssignment, lockTenant, saveAssignment, type Assignment } from './store.ts'

/**
 * A token is signed a moment after its roles were asked for. Tokens that are issued this long after a change are corrected too, so
 * that one with the old roles cannot slip in between; the correction names the roles that the user has, so it harms no other token.
 */
const settleMs = 3_000

async function write(
  context: ChangeContext,
  before: Assignment,
  roles: readonly string[],
  actor: AuditActor,
  action: string,
): Promise<Assignment> {
  const { tx, tenant, tenantId } = context
  const atMs = context.now()
  const at = new Date(atMs).toISOString()
  const { userId } = before
  const after: Assignment = {
    userId,
    roles: [...roles].sort(),
    version: before.version + 1,
    // Only grows, also when the clock goes back: the later change wins in the access directory.
    changedAtMs: Math.max(atMs + settleMs, before.changedAtMs + 1),
  }
  await saveAssignment(tenant, after)
  await context.outbox.add(tx, [
    {
      definition: assignmentChanged,
      subject: userId,
      id: `${tenantId}:${userId}:roles:${after.version}`,
      time: at,
      data: { tenantId, userId, roles: after.roles, at },
    },
    auditEvent({
      by: 'permission',
      tenantId,
      actor,
      action,
      subject: `user/${userId}`,
      details: { before: before.roles.join(' '), after: after.roles.join(' ') },
      atMs,
    }),
  ])
  return after
}

/** Names the version that was seen (0: never had a role). The last administrator stays one. */
export async function assignRoles(
  context: ChangeContext,
  input: { userId: string; version: number; roles: readonly string[] },
  changer: Changer,
): Promise<Assignment> {
  const { tenant, tenantId } = context
  const { graph } = await lockRoles(context)
  const before = await findAssignment(tenant, input.userId)
  if (before.version !== input.version)
    throw new Problem('conflict', `The roles of the user changed: they have version ${before.version} now.`, {
      extensions: { version: before.version },
    })
  const wanted = new Set(input.roles)
  for (const role of wanted)
    if (!graph.permissionsOf(role)) throw new Problem('unprocessable', `There is no role ${role}.`)
  const had = new Set(before.roles)
  const changed = wanted.symmetricDifference(had)
  if (changed.size === 0) return before
  mustHoldAll(await changer.heldIn(context, graph), permissionsOfAll(graph, changed))
  const administrator = administratorOf(tenantId)
  if (had.has(administrator) && !wanted.has(administrator) && (await countUsersOf(tenant, administrator)) < 2)
    throw new Problem('conflict', 'This is the last administrator of the tenant: make somebody else one first.')
  return write(context, before, [...wanted], changer.actor, 'user.roles-changed')
}

/** Makes somebody an administrator whoever asks: by staff of the platform, or when the tenant begins. Nothing happens when they are one. */
export async function makeAdministrator(
  context: ChangeContext,
  userId: string,
  actor: AuditActor,
): Promise<Assignment> {
  await lockTenant(context.tenant)
  const before = await findAssignment(context.tenant, userId)
  const administrator = administratorOf(context.tenantId)
  if (before.roles.includes(administrator)) return before
  return write(context, before, [...before.roles, administrator], actor, 'user.made-administrator')
}

/** The first one, from the environment; undefined when the tenant has an administrator. */
export async function makeFirstAdministrator(
  context: ChangeContext,
  userId: string,
  actor: AuditActor,
): Promise<Assignment | undefined> {
  await lockTenant(context.tenant)
  const administrators = await countUsersOf(context.tenant, administratorOf(context.tenantId))
  return administrators > 0 ? undefined : makeAdministrator(context, userId, actor)
}

/** An erased person has no roles, the last administrator too: then the platform's staff make another. */
export async function removeAllRoles(
  context: ChangeContext,
  userId: string,
  actor: AuditActor,
): Promise<Assignment | undefined> {
  await lockTenant(context.tenant)
  const before = await findAssignment(context.tenant, userId)
  return before.roles.length === 0 ? undefined : write(context, before, [], actor, 'user.roles-changed')
}
