/** Roles and what they allow, inheritance resolved: pure decisions. */
import {
  builtInRoles,
  permissions,
  platformAdministrator,
  platformPermissions,
  type Permission,
} from '@stampede/shared/access/permissions.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { platformTenant } from '@stampede/shared/identity/service-token.ts'

export type Role = {
  role: string
  description: string
  /** What it allows by itself. */
  permissions: readonly Permission[]
  /** Roles whose permissions it has as well. */
  inherits: readonly string[]
}

export const maximumRoles = 100
export const maximumInherited = 10
/** Roles in a chain of inheritance, with both ends: more than this nobody can follow. */
export const maximumDepth = 5

/** The role that nobody can take from the last who has it. */
export const administratorOf = (tenantId: string): string =>
  tenantId === platformTenant ? platformAdministrator : 'administrator'

/** What the code gives to each tenant; everything there is, in the platform's own. */
export function builtInRolesOf(tenantId: string): ReadonlyMap<string, readonly Permission[]> {
  const roles = new Map(Object.entries(builtInRoles))
  if (tenantId === platformTenant) roles.set(platformAdministrator, permissions)
  return roles
}

/** True for names that a tenant cannot give to roles of its own, in any tenant: one name means one thing. */
export const isReserved = (role: string): boolean =>
  Object.hasOwn(builtInRoles, role) || role === platformAdministrator || role === 'service' || role === 'staff'

/** How a role comes to a permission: the role, then those it inherits it through. */
export type Path = readonly string[]

export type RoleGraph = {
  /** Undefined: there is no such role. */
  permissionsOf(role: string): ReadonlySet<Permission> | undefined
  /** The shortest way from the role to the permission. */
  pathTo(role: string, permission: Permission): Path | undefined
}

/**
 * Resolves the roles of a tenant. Throws Problem `unprocessable` for an unknown role, a cycle, a chain that is too long, or a
 * permission that only the platform's own tenant can hold.
 */
export function resolveRoles(tenantId: string, own: readonly Role[]): RoleGraph {
  const builtIn = builtInRolesOf(tenantId)
  const byName = new Map(own.map((role) => [role.role, role]))
  const resolved = new Map<string, ReadonlySet<Permission>>([...builtIn].map(([role, held]) => [role, new Set(held)]))
  const depths = new Map<string, number>([...builtIn.keys()].map((role) => [role, 1]))

  const resolve = (name: string, chain: readonly string[]): void => {
    if (chain.includes(name)) throw circular([...chain.slice(chain.indexOf(name)), name])
    if (resolved.has(name)) return
    const role = byName.get(name)
    if (!role) throw new Problem('unprocessable', `There is no role ${name} to inherit from.`)
    const held = new Set(role.permissions)
    let depth = 1
    for (const parent of role.inherits) {
      resolve(parent, [...chain, name])
      for (const permission of resolved.get(parent)!) held.add(permission)
      depth = Math.max(depth, depths.get(parent)! + 1)
    }
    if (depth > maximumDepth)
      throw new Problem('unprocessable', `The role ${name} would be the end of a chain of ${depth} roles.`, {
        extensions: { maximumDepth },
      })
    if (tenantId !== platformTenant) refusePlatformPermissions(name, held)
    resolved.set(name, held)
    depths.set(name, depth)
  }
  for (const name of byName.keys()) resolve(name, [])

  const pathTo = (role: string, permission: Permission): Path | undefined => {
    const queue: Path[] = [[role]]
    for (const path of queue) {
      const name = path.at(-1)!
      const held = builtIn.get(name) ?? byName.get(name)?.permissions
      if (held?.includes(permission)) return path
      if (!builtIn.has(name) && path.length < maximumDepth)
        for (const parent of byName.get(name)?.inherits ?? []) queue.push([...path, parent])
    }
    return undefined
  }
  return { permissionsOf: (role) => resolved.get(role), pathTo }
}

function refusePlatformPermissions(role: string, held: ReadonlySet<Permission>): void {
  const foreign = [...held].filter((permission) => platformPermissions.has(permission))
  if (foreign.length > 0)
    throw new Problem('unprocessable', `The role ${role} would hold what only staff of the platform hold.`, {
      extensions: { permissions: foreign },
    })
}

const circular = (chain: readonly string[]) =>
  new Problem('unprocessable', `Roles cannot inherit from themselves: ${chain.join(' → ')}.`, {
    extensions: { chain },
  })

/** What several roles allow together; a role that does not exist allows nothing. */
export function permissionsOfAll(graph: RoleGraph, roles: Iterable<string>): Set<Permission> {
  const all = new Set<Permission>()
  for (const role of roles) for (const permission of graph.permissionsOf(role) ?? []) all.add(permission)
  return all
}

/** Nobody gives or takes what they do not hold themselves: otherwise whoever manages roles could make themselves anything. */
export function mustHoldAll(held: ReadonlySet<Permission>, needed: ReadonlySet<Permission>): void {
  const missing = [...needed].filter((permission) => !held.has(permission))
  if (missing.length > 0)
    throw new Problem('forbidden', 'Roles can be changed only by those who hold everything that they allow.', {
      extensions: { missing },
    })
}
