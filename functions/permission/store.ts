/** All SQL of permission. */
import { permissions, type Permission } from '@stampede/shared/access/permissions.ts'
import type { PlatformDatabase, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { platformStatement, tenantStatement } from '@stampede/shared/database/statement.ts'
import type { Role } from './role-graph.ts'

export type StoredRole = Role & { version: number; updatedAt: string }
/** A user with their roles by name; `version` 0: never had any. */
export type Assignment = { userId: string; roles: string[]; version: number; changedAtMs: number }

const enterTenant = tenantStatement(
  'permission.enterTenant',
  `INSERT INTO permission_tenants (tenant_id, roles_version) VALUES (:tenantId, 0)
   ON DUPLICATE KEY UPDATE roles_version = roles_version`,
)
const lockTenantRow = tenantStatement(
  'permission.lockTenant',
  'SELECT roles_version AS version FROM permission_tenants WHERE tenant_id = :tenantId FOR UPDATE',
)
const findVersion = tenantStatement(
  'permission.findRolesVersion',
  'SELECT roles_version AS version FROM permission_tenants WHERE tenant_id = :tenantId',
)
const setVersion = tenantStatement(
  'permission.saveRolesVersion',
  'UPDATE permission_tenants SET roles_version = :version WHERE tenant_id = :tenantId',
)
const tenantsWithRoles = platformStatement(
  'permission.listTenantsWithRoles',
  `SELECT tenant_id AS tenantId FROM permission_tenants WHERE tenant_id > :after AND roles_version > 0
   ORDER BY tenant_id LIMIT :limit`,
  'the access directory is written for all tenants',
)
const rolesOfTenant = tenantStatement(
  'permission.listRoles',
  `SELECT role, description, permissions, inherits, version, updated_at AS updatedAt FROM permission_roles
   WHERE tenant_id = :tenantId ORDER BY role`,
)
const putRole = tenantStatement(
  'permission.saveRole',
  `INSERT INTO permission_roles (tenant_id, role, description, permissions, inherits, version, updated_at)
   VALUES (:tenantId, :role, :description, :permissions, :inherits, :version, :updatedAt)
   ON DUPLICATE KEY UPDATE description = VALUES(description), permissions = VALUES(permissions),
     inherits = VALUES(inherits), version = VALUES(version), updated_at = VALUES(updated_at)`,
)
const dropRole = tenantStatement(
  'permission.deleteRole',
  'DELETE FROM permission_roles WHERE tenant_id = :tenantId AND role = :role',
)
const usersWithRole = tenantStatement(
  'permission.countUsersOf',
  'SELECT COUNT(*) AS users FROM permission_assignments WHERE tenant_id = :tenantId AND role = :role',
)
const assignmentOf = tenantStatement(
  'permission.findAssignment',
  `SELECT u.version, u.changed_at_ms AS changedAtMs, a.role
   FROM permission_users u LEFT JOIN permission_assignments a ON a.tenant_id = u.tenant_id AND a.user_id = u.user_id
   WHERE u.tenant_id = :tenantId AND u.user_id = :userId ORDER BY a.role`,
)
const putUser = tenantStatement(
  'permission.saveUser',
  `INSERT INTO permission_users (tenant_id, user_id, version, changed_at_ms)
   VALUES (:tenantId, :userId, :version, :changedAtMs)
   ON DUPLICATE KEY UPDATE version = VALUES(version), changed_at_ms = VALUES(changed_at_ms)`,
)
const dropAssignments = tenantStatement(
  'permission.deleteAssignments',
  'DELETE FROM permission_assignments WHERE tenant_id = :tenantId AND user_id = :userId',
)
const putAssignment = tenantStatement(
  'permission.saveAssignment',
  'INSERT INTO permission_assignments (tenant_id, user_id, role) VALUES (:tenantId, :userId, :role)',
)
const usersOfRole = tenantStatement(
  'permission.listUsersOf',
  `SELECT user_id AS userId FROM permission_assignments
   WHERE tenant_id = :tenantId AND role = :role AND user_id > :after ORDER BY user_id LIMIT :limit`,
)
const changedUsers = platformStatement(
  'permission.listChangedUsers',
  `SELECT tenant_id AS tenantId, user_id AS userId FROM permission_users
   WHERE changed_at_ms >= :sinceMs AND (tenant_id, user_id) > (:afterTenant, :afterUser)
   ORDER BY tenant_id, user_id LIMIT :limit`,
  'the access directory is written for all tenants',
)

/** Gives the tenant its row and locks it until the end of the transaction. Returns the version of its roles. */
export async function lockTenant(db: TenantDatabase): Promise<number> {
  await db.change(enterTenant, {})
  return Number((await db.row(lockTenantRow, {}))!['version'])
}

export async function saveRolesVersion(db: TenantDatabase, version: number): Promise<void> {
  await db.change(setVersion, { version })
}

/** 0 for a tenant that never changed its roles. */
export async function findRolesVersion(db: TenantDatabase): Promise<number> {
  return Number((await db.row(findVersion, {}))?.['version'] ?? 0)
}

/** Keyset page of the tenants whose roles were ever changed. */
export async function listTenantsWithRoles(db: PlatformDatabase, after: string, limit: number): Promise<string[]> {
  return (await db.rows(tenantsWithRoles, { after, limit })).map((row) => String(row['tenantId']))
}

/** MySQL has a JSON type and gives values, MariaDB gives text. */
const list = (value: unknown): string[] => (typeof value === 'string' ? JSON.parse(value) : value) as string[]
const known: ReadonlySet<string> = new Set(permissions)

/** All roles of a tenant's own making; there are at most `maximumRoles`. A permission that no longer exists is left out. */
export async function listRoles(db: TenantDatabase): Promise<StoredRole[]> {
  return (await db.rows(rolesOfTenant, {})).map((row) => ({
    role: String(row['role']),
    description: String(row['description']),
    permissions: list(row['permissions']).filter((name): name is Permission => known.has(name)),
    inherits: list(row['inherits']),
    version: Number(row['version']),
    updatedAt: (row['updatedAt'] as Date).toISOString(),
  }))
}

export async function saveRole(db: TenantDatabase, role: StoredRole): Promise<void> {
  await db.change(putRole, {
    role: role.role,
    description: role.description,
    permissions: JSON.stringify(role.permissions),
    inherits: JSON.stringify(role.inherits),
    version: role.version,
    updatedAt: new Date(role.updatedAt),
  })
}

export async function deleteRole(db: TenantDatabase, role: string): Promise<void> {
  await db.change(dropRole, { role })
}

export async function countUsersOf(db: TenantDatabase, role: string): Promise<number> {
  return Number((await db.row(usersWithRole, { role }))!['users'])
}

export async function findAssignment(db: TenantDatabase, userId: string): Promise<Assignment> {
  const rows = await db.rows(assignmentOf, { userId })
  return {
    userId,
    roles: rows.flatMap((row) => (row['role'] === null ? [] : [row['role'] as string])),
    version: Number(rows[0]?.['version'] ?? 0),
    changedAtMs: Number(rows[0]?.['changedAtMs'] ?? 0),
  }
}

/** Writes the roles of a user whole. The tenant is locked. */
export async function saveAssignment(db: TenantDatabase, assignment: Assignment): Promise<void> {
  const { userId, roles, version, changedAtMs } = assignment
  await db.change(putUser, { userId, version, changedAtMs })
  await db.change(dropAssignments, { userId })
  await db.changeAll(
    putAssignment,
    roles.map((role) => ({ userId, role })),
  )
}

/** Keyset page of the users who have a role. */
export async function listUsersOf(db: TenantDatabase, role: string, after: string, limit: number): Promise<string[]> {
  return (await db.rows(usersOfRole, { role, after, limit })).map((row) => String(row['userId']))
}

/** Page of the users of all tenants whose roles changed since, for the access directory. */
export async function listChangedUsers(
  db: PlatformDatabase,
  sinceMs: number,
  after: { tenantId: string; userId: string },
  limit: number,
): Promise<{ tenantId: string; userId: string }[]> {
  const values = { sinceMs, afterTenant: after.tenantId, afterUser: after.userId, limit }
  return (await db.rows(changedUsers, values)).map((row) => ({
    tenantId: String(row['tenantId']),
    userId: String(row['userId']),
  }))
}
