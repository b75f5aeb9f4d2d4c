/** What a process remembers of tenants, and what follows from it. Pure: no I/O, no clock. */
import { LRUCache } from 'lru-cache'
import type { Principal } from '../function/declaration.ts'
import { platformTenant } from '../identity/service-token.ts'
import { enterFact } from './facts.ts'
import type { UserFacts } from './facts.ts'
import { builtInRoles, permissions, platformAdministrator, platformPermissions } from './permissions.ts'
import type { Permission } from './permissions.ts'
import type { AccessVerdict, RoleAccess, TenantAccess } from './types.ts'

export type TenantEntry = {
  tenantId: string
  /** Undefined: not in the directory. */
  tenant: TenantAccess | undefined
  roles: ReadonlyMap<string, ReadonlySet<string>>
  rolesVersion: number
  corrections: Map<string, UserFacts>
  /** When the newest reading was asked for, by the monotonic clock. */
  readAtMs: number
}

/** As Redis has it. */
export type TenantReading = {
  tenant: string | null
  roles: string | null
  /** Fields and values in turns. */
  facts: readonly string[]
}

export type AccessMemory = LRUCache<string, TenantEntry>

export const createAccessMemory = (maximumTenants: number): AccessMemory => new LRUCache({ max: maximumTenants })

/**
 * Enters what was read. Nothing newer that is remembered is lost: Redis may have forgotten its last second, or everything.
 */
export function remember(
  memory: AccessMemory,
  tenantId: string,
  reading: TenantReading,
  readAtMs: number,
): TenantEntry {
  const known = memory.get(tenantId)
  const entry: TenantEntry = known ?? {
    tenantId,
    tenant: undefined,
    roles: new Map(),
    rolesVersion: 0,
    corrections: new Map(),
    readAtMs,
  }
  const tenant = parsed(reading.tenant) as TenantAccess | undefined
  if (tenant && tenant.version >= (entry.tenant?.version ?? 0)) entry.tenant = tenant
  const roles = parsed(reading.roles) as RoleAccess | undefined
  if (roles && roles.version >= entry.rolesVersion) {
    entry.roles = rolesOf(tenantId, roles)
    entry.rolesVersion = roles.version
  }
  for (let index = 0; index + 1 < reading.facts.length; index += 2) {
    enterFact(entry.corrections, reading.facts[index]!, reading.facts[index + 1]!)
  }
  entry.readAtMs = Math.max(entry.readAtMs, readAtMs)
  if (!known) memory.set(tenantId, entry)
  return entry
}

/** What cannot be read is not there: then the tenant is unknown, and a role holds nothing. */
function parsed(json: string | null): { version: number } | undefined {
  if (json === null) return undefined
  try {
    const value = JSON.parse(json) as { version: number }
    return Number.isSafeInteger(value.version) ? value : undefined
  } catch {
    return undefined
  }
}

function rolesOf(tenantId: string, { roles }: RoleAccess): Map<string, ReadonlySet<string>> {
  const own = (names: readonly string[]) =>
    tenantId === platformTenant ? names : names.filter((name) => !platformPermissions.has(name as Permission))
  return new Map(Object.entries(roles).map(([role, names]) => [role, new Set(own(names))]))
}

const builtIn = new Map<string, ReadonlySet<string>>(
  Object.entries(builtInRoles).map(([role, names]) => [role, new Set(names)]),
)
const everything: ReadonlySet<string> = new Set(permissions)

/** A built-in role is what it is, whatever a tenant calls one of its own. */
export function roleHolds(
  tenantId: string,
  own: ReadonlyMap<string, ReadonlySet<string>>,
  role: string,
  permission: Permission,
): boolean {
  if (role === platformAdministrator) return tenantId === platformTenant && everything.has(permission)
  return (builtIn.get(role) ?? own.get(role))?.has(permission) ?? false
}

/** Clocks of two functions: a token with the roles of before may say that it was issued this long after they changed. */
const rolesToleranceMs = 2_000

/** `complete`: a tenant that is not there does not exist. The platform's own tenant needs nobody to write it. */
export function verdictOf(
  entry: TenantEntry,
  complete: boolean,
  principal: Principal,
  permission: Permission | undefined,
): AccessVerdict {
  const { userId, sessionId, issuedAtMs } = principal
  let { roles } = principal
  const facts = entry.corrections.get(userId)
  if (facts !== undefined) {
    if (facts.blocked?.value || issuedAtMs < facts.signedOutAtMs) return 'signed-out'
    if (sessionId !== undefined && facts.sessions?.has(sessionId)) return 'signed-out'
    if (facts.roles !== undefined && issuedAtMs < facts.roles.atMs + rolesToleranceMs) roles = facts.roles.names
  }
  const state = stateOf(entry, complete)
  if (state !== 'allowed' || permission === undefined) return state
  for (const role of roles) if (roleHolds(entry.tenantId, entry.roles, role, permission)) return 'allowed'
  return 'forbidden'
}

export function stateOf({ tenant, tenantId }: TenantEntry, complete: boolean) {
  if (tenant === undefined) {
    if (tenantId === platformTenant) return 'allowed'
    return complete ? 'tenant-suspended' : 'unknown'
  }
  return tenant.state === 'active' ? 'allowed' : 'tenant-suspended'
}
