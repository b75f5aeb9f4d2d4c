/** May this user do that, and why: for people who look into it and for functions without a token of the user. */
import { z } from 'zod'
import type { Permission } from '@stampede/shared/access/permissions.ts'
import type { TenantState } from '@stampede/shared/access/types.ts'
import type { RoleGraph } from './role-graph.ts'

export const decision = z.object({
  allowed: z.boolean(),
  because: z.object({
    reason: z.enum(['granted', 'no-role', 'tenant-suspended', 'tenant-closed']),
    /** The role that has the permission, and the roles through which it inherits it. */
    role: z.string().nullable(),
    through: z.array(z.string()),
  }),
})
export type Decision = z.output<typeof decision>

export function decide(
  graph: RoleGraph,
  roles: readonly string[],
  permission: Permission,
  tenant: TenantState,
): Decision {
  const refused = (reason: Decision['because']['reason']): Decision => ({
    allowed: false,
    because: { reason, role: null, through: [] },
  })
  if (tenant !== 'active') return refused(`tenant-${tenant}`)
  for (const role of roles) {
    if (!graph.permissionsOf(role)?.has(permission)) continue
    return { allowed: true, because: { reason: 'granted', role, through: graph.pathTo(role, permission)!.slice(1) } }
  }
  return refused('no-role')
}
