/** What the handlers of permission need: connections, each change in its transaction, and the access directory that follows. */
import { z } from 'zod'
import type { assignmentChanged, rolesChanged, userErased } from '@stampede/eventing/catalogue/identity-events.ts'
import { createAccessDirectory } from '@stampede/shared/access/directory.ts'
import { rolesCorrectionTtlMs } from '@stampede/shared/access/facts.ts'
import type { Permission } from '@stampede/shared/access/permissions.ts'
import { writeAtStart } from '@stampede/shared/access/write-at-start.ts'
import { actorOf, systemActor, type AuditActor } from '@stampede/shared/audit/audit-event.ts'
import type { HostServices, Principal, ReceivedEvent } from '@stampede/shared/function/declaration.ts'
import { connectEventDatabase, type ChangeContext } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { platformTenant } from '@stampede/shared/identity/service-token.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { assignRoles, makeAdministrator, makeFirstAdministrator, removeAllRoles } from './assign-roles.ts'
import { bootstrapAdministrators } from './bootstrap.ts'
import { changeRole, createRole, effectiveRoles, removeRole, type Changer } from './change-roles.ts'
import { decide } from './decide.ts'
import { migrations } from './generated/migrations.ts'
import { permissionsOfAll, resolveRoles, type Role } from './role-graph.ts'
import {
  findAssignment,
  findRolesVersion,
  listChangedUsers,
  listRoles,
  listTenantsWithRoles,
  listUsersOf,
  type Assignment,
} from './store.ts'

export const permissionConfig = z.object({
  DATABASE_URL: z.string(),
  REDIS_URL: z.string(),
  K_SINK: z.string(),
  K_SINK_TOKEN_FILE: z.string().optional(),
  SERVICE_SECRET: z.string(),
  BOOTSTRAP_ADMINISTRATORS: bootstrapAdministrators,
})
export type PermissionConfig = z.output<typeof permissionConfig>

/** Pages of one pass over the directory, at most. */
const maximumPages = 1_000
const page = 200

export type Permissions = ReturnType<typeof createPermissions>

/** Who asks, as the rows say: a role that was taken away a moment ago is not there, whatever the token says. */
const changerOf = (principal: Principal): Changer => ({
  actor: actorOf(principal),
  heldIn: async (context, graph) => {
    const { version, roles } = await findAssignment(context.tenant, principal.userId)
    return permissionsOfAll(graph, version > 0 ? roles : principal.roles)
  },
})

export function createPermissions(config: PermissionConfig, host: HostServices, now: () => number = Date.now) {
  const events = connectEventDatabase(config, host, migrations, now)
  const { database, schema } = events
  const redis = connectRedis(config.REDIS_URL, { connectionName: 'permission' })
  const directory = createAccessDirectory(redis)

  /** As the rows are now; the version keeps an older answer from replacing a newer one. */
  const putRoles = async (tenantId: string) => {
    // The version first: roles that are newer than it are written again by their own event.
    const version = await findRolesVersion(database.forTenant(tenantId))
    if (version === 0) return
    const roles = await listRoles(database.forTenant(tenantId))
    await directory.putRoles(tenantId, { roles: effectiveRoles(roles, resolveRoles(tenantId, roles)), version })
  }
  const correct = async (tenantId: string, userId: string) => {
    const { version, roles, changedAtMs } = await findAssignment(database.forTenant(tenantId), userId)
    if (version > 0) await directory.correct(tenantId, userId, { atMs: changedAtMs, roles })
  }
  /** The change stands when Redis does not answer: its event and the schedule bring it there. */
  const follow = (work: Promise<void>, tenantId: string) =>
    work.catch((error: unknown) =>
      host.log.warn({ err: error, tenantId }, 'the access directory does not follow yet; it is written again'),
    )

  const changeRoles = async <T>(principal: Principal, work: (context: ChangeContext, by: Changer) => Promise<T>) => {
    const { tenantId } = principal
    const result = await events.change(tenantId, principal.userId, (context) => work(context, changerOf(principal)))
    await follow(putRoles(tenantId), tenantId)
    return result
  }
  const changeUser = async <T extends Assignment | undefined>(
    tenantId: string,
    actor: AuditActor,
    work: (context: ChangeContext) => Promise<T>,
  ): Promise<T> => {
    const result = await events.change(tenantId, actor.id, work)
    if (result) await follow(correct(tenantId, result.userId), tenantId)
    return result
  }

  const bootstrap = async () => {
    await schema()
    for (const { tenantId, userId } of config.BOOTSTRAP_ADMINISTRATORS) {
      const actor = systemActor('bootstrap', platformTenant)
      await changeUser(tenantId, actor, (context) => makeFirstAdministrator(context, userId, actor))
    }
  }

  /** All roles and the newest assignments, so that a Redis that forgot knows them again. */
  const writeDirectory = async () => {
    await bootstrap()
    let tenants: string[] = []
    for (let pages = 0; pages < maximumPages && !host.draining.aborted; pages++) {
      tenants = await listTenantsWithRoles(database.forPlatform(), tenants.at(-1) ?? '', page)
      for (const tenantId of tenants) await putRoles(tenantId)
      if (tenants.length < page) break
    }
    let users: { tenantId: string; userId: string }[] = []
    for (let pages = 0; pages < maximumPages && !host.draining.aborted; pages++) {
      const after = users.at(-1) ?? { tenantId: '', userId: '' }
      users = await listChangedUsers(database.forPlatform(), now() - rolesCorrectionTtlMs, after, page)
      for (const { tenantId, userId } of users) await correct(tenantId, userId)
      if (users.length < page) break
    }
  }

  const begun = writeAtStart(writeDirectory, host)

  const rolesOf = async (tenantId: string) => {
    await schema()
    const own = await listRoles(database.forTenant(tenantId))
    return { own, graph: resolveRoles(tenantId, own) }
  }
  const assignmentOf = async (tenantId: string, userId: string) => {
    await schema()
    return findAssignment(database.forTenant(tenantId), userId)
  }

  return {
    database,
    schema,
    rolesOf,
    assignmentOf,
    writeDirectory,
    begun: () => begun,
    createRole: (principal: Principal, input: Role) =>
      changeRoles(principal, (context, by) => createRole(context, input, by)),
    changeRole: (principal: Principal, input: Role & { version: number }) =>
      changeRoles(principal, (context, by) => changeRole(context, input, by)),
    removeRole: (principal: Principal, input: { role: string; version: number }) =>
      changeRoles(principal, (context, by) => removeRole(context, input, by)),
    assign: (principal: Principal, input: { userId: string; version: number; roles: readonly string[] }) =>
      changeUser(principal.tenantId, actorOf(principal), (context) =>
        assignRoles(context, input, changerOf(principal)),
      ),
    usersOf: async (tenantId: string, role: string, after: string, limit: number) => {
      await schema()
      return listUsersOf(database.forTenant(tenantId), role, after, limit)
    },

    /** By staff of the platform, for a tenant that is not closed. */
    async makeAdministrator(principal: Principal, tenantId: string, userId: string) {
      await mayHaveAdministrators(host, tenantId)
      const actor = actorOf(principal)
      return changeUser(tenantId, actor, (context) => makeAdministrator(context, userId, actor))
    },

    async decide(tenantId: string, userId: string, permission: Permission) {
      const [{ graph }, { roles }, { state }] = await Promise.all([
        rolesOf(tenantId),
        assignmentOf(tenantId, userId),
        host.access.load(tenantId),
      ])
      return decide(graph, roles, permission, state)
    },

    /** Again after the commit, because the process may have died between it and the directory. Repeating it is harmless. */
    async onRolesChanged({ data }: ReceivedEvent<z.output<typeof rolesChanged.data>>) {
      await schema()
      await putRoles(data.tenantId)
    },
    async onAssignmentChanged({ data }: ReceivedEvent<z.output<typeof assignmentChanged.data>>) {
      await schema()
      await correct(data.tenantId, data.userId)
    },
    /** The event may come again: then there is nothing left to take away. */
    async onUserErased({ data }: ReceivedEvent<z.output<typeof userErased.data>>) {
      const actor = systemActor('permission', data.tenantId)
      await changeUser(data.tenantId, actor, (context) => removeAllRoles(context, data.userId, actor))
    },

    pruneInbox: events.pruneInbox,
    async ready() {
      await events.ready()
      await redis.ping()
    },
    async stop() {
      await begun
      await events.stop()
      redis.disconnect()
    },
  }
}

async function mayHaveAdministrators(host: HostServices, tenantId: string): Promise<void> {
  const { state } = await host.access.load(tenantId)
  if (state === 'closed')
    throw new Problem('conflict', `The tenant ${tenantId} is closed or was never there.`, { extensions: { state } })
}
