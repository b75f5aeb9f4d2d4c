/**
 * What staff may do, in words that routes declare, and the roles that every tenant has from the start. Tenants make roles of
 * their own out of the same permissions, by the function `permission`.
 */

/** `<things>.<verb>`: one word for one thing everywhere. `tenants.*` and `platform.*` are for staff of the platform's own tenant alone. */
export const permissions = [
  'activities.read',
  'activities.manage',
  'stocks.read',
  'stocks.manage',
  'orders.read',
  'reconciliation.read',
  'reconciliation.run',
  'users.read',
  'users.manage',
  'users.reveal',
  'roles.read',
  'roles.manage',
  'clients.read',
  'clients.manage',
  'audit.read',
  'configuration.read',
  'configuration.manage',
  'notifications.read',
  'tenants.read',
  'tenants.manage',
  'platform.keys',
] as const
export type Permission = (typeof permissions)[number]

/** Only a role of the platform's own tenant (`platformTenant`) can hold these. */
export const platformPermissions: ReadonlySet<Permission> = new Set(['tenants.read', 'tenants.manage', 'platform.keys'])

export const tenantPermissions: readonly Permission[] = permissions.filter((one) => !platformPermissions.has(one))

/** Roles that exist in every tenant, cannot be changed, and that roles of a tenant may inherit from. */
export const builtInRoles: Readonly<Record<string, readonly Permission[]>> = {
  administrator: tenantPermissions,
  operator: [
    'activities.read',
    'activities.manage',
    'stocks.read',
    'stocks.manage',
    'orders.read',
    'reconciliation.read',
    'reconciliation.run',
  ],
  support: ['activities.read', 'stocks.read', 'orders.read', 'users.read', 'notifications.read'],
  auditor: [
    'activities.read',
    'stocks.read',
    'orders.read',
    'reconciliation.read',
    'users.read',
    'roles.read',
    'clients.read',
    'audit.read',
    'configuration.read',
  ],
}

/** Role of the platform's own tenant: everything there, and the tenants. */
export const platformAdministrator = 'platform-administrator'
