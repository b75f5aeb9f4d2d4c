/** HTTP of permission: shapes and handlers. */
import { z } from 'zod'
import { permissions } from '@stampede/shared/access/permissions.ts'
import { Reply, route } from '@stampede/shared/function/declaration.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { decision } from './decide.ts'
import type { Permissions } from './permission.ts'
import { builtInRolesOf, maximumInherited, type RoleGraph } from './role-graph.ts'
import type { Assignment, StoredRole } from './store.ts'

const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)
const roleName = z.string().regex(/^[a-z][a-z0-9-]{0,63}$/)
const permission = z.enum(permissions)
const distinct = (list: readonly unknown[]) => new Set(list).size === list.length
const version = z.int().min(1)

const roleContent = {
  description: z.string().trim().max(200).default(''),
  permissions: z.array(permission).max(permissions.length).refine(distinct, 'names a permission twice').default([]),
  inherits: z.array(roleName).max(maximumInherited).refine(distinct, 'names a role twice').default([]),
}
const roleView = z.object({
  role: z.string(),
  builtIn: z.boolean(),
  description: z.string(),
  permissions: z.array(permission),
  inherits: z.array(z.string()),
  /** With what it inherits. */
  allPermissions: z.array(permission),
  /** 0 for a role that is built in. */
  version: z.int(),
})
const assignmentView = z.object({ userId: z.string(), roles: z.array(z.string()), version: z.int() })

const showRole = (graph: RoleGraph, { updatedAt: _updatedAt, ...role }: StoredRole) => ({
  ...role,
  builtIn: false,
  allPermissions: [...graph.permissionsOf(role.role)!].sort(),
})
const showBuiltIn = (tenantId: string) =>
  [...builtInRolesOf(tenantId)].map(([role, held]) => ({
    role,
    builtIn: true,
    description: '',
    permissions: [...held],
    inherits: [],
    allPermissions: [...held].sort(),
    version: 0,
  }))
const showAssignment = ({ userId, roles, version }: Assignment) => ({ userId, roles, version })

async function showRoleOf(service: Permissions, tenantId: string, name: string) {
  const { own, graph } = await service.rolesOf(tenantId)
  const found = own.find(({ role }) => role === name)
  if (found) return showRole(graph, found)
  const builtIn = showBuiltIn(tenantId).find(({ role }) => role === name)
  if (!builtIn) throw new Problem('not-found', `There is no role ${name}.`)
  return builtIn
}

const reading = { auth: 'staff', permission: 'roles.read' } as const
const managing = { auth: 'staff', permission: 'roles.manage' } as const
const roleParams = z.object({ role: roleName })
const userParams = z.object({ userId: identifier })
const wholeChange = ['not-found', 'conflict', 'unprocessable'] as const

export const routes = [
  route(
    'GET',
    '/api/v1/roles',
    {
      ...reading,
      summary: 'All roles of the tenant: built in and of its own making.',
      reply: z.object({ roles: z.array(roleView) }),
    },
    async ({ principal }, service: Permissions) => {
      const { own, graph } = await service.rolesOf(principal.tenantId)
      return { roles: [...showBuiltIn(principal.tenantId), ...own.map((role) => showRole(graph, role))] }
    },
  ),
  route(
    'POST',
    '/api/v1/roles',
    {
      ...managing,
      summary: 'Makes a role out of permissions and other roles. It holds nothing that its maker does not hold.',
      body: z.strictObject({ role: roleName, ...roleContent }),
      reply: roleView,
      status: 201,
      problems: ['conflict', 'unprocessable'],
    },
    async ({ body, principal }, service: Permissions) => {
      await service.createRole(principal, body)
      return showRoleOf(service, principal.tenantId, body.role)
    },
  ),
  route(
    'GET',
    '/api/v1/roles/:role',
    { ...reading, summary: 'One role.', params: roleParams, reply: roleView, problems: ['not-found'] },
    ({ params, principal }, service: Permissions) => showRoleOf(service, principal.tenantId, params.role),
  ),
  route(
    'PUT',
    '/api/v1/roles/:role',
    {
      ...managing,
      summary: 'Changes a role for everybody who has it, within a second. Names the version that was seen.',
      params: roleParams,
      body: z.strictObject({ version, ...roleContent }),
      reply: roleView,
      problems: wholeChange,
    },
    async ({ params, body, principal }, service: Permissions) => {
      await service.changeRole(principal, { ...body, role: params.role })
      return showRoleOf(service, principal.tenantId, params.role)
    },
  ),
  route(
    'DELETE',
    '/api/v1/roles/:role',
    {
      ...managing,
      summary: 'Deletes a role that nobody has and no other role inherits from. Names the version that was seen.',
      params: roleParams,
      query: z.object({ version: z.coerce.number().int().min(1) }),
      status: 204,
      problems: wholeChange,
    },
    async ({ params, query, principal }, service: Permissions) => {
      await service.removeRole(principal, { role: params.role, version: query.version })
      return new Reply(204, undefined)
    },
  ),
  route(
    'GET',
    '/api/v1/users/:userId/roles',
    { ...reading, summary: 'Roles of a user of the tenant.', params: userParams, reply: assignmentView },
    async ({ params, principal }, service: Permissions) =>
      showAssignment(await service.assignmentOf(principal.tenantId, params.userId)),
  ),
  route(
    'PUT',
    '/api/v1/users/:userId/roles',
    {
      ...managing,
      summary: 'Sets the roles of a user; names the version that was seen (0: never had one). Holds within a second.',
      params: userParams,
      body: z.strictObject({
        version: z.int().min(0),
        roles: z.array(roleName).max(32).refine(distinct, 'names a role twice'),
      }),
      reply: assignmentView,
      problems: ['conflict', 'unprocessable'],
    },
    async ({ params, body, principal }, service: Permissions) =>
      showAssignment(await service.assign(principal, { userId: params.userId, ...body })),
  ),
  route(
    'POST',
    '/api/v1/users/:userId/decisions',
    {
      ...reading,
      summary: 'May this user do that, and through which role?',
      params: userParams,
      body: z.strictObject({ permission }),
      reply: decision,
      problems: ['dependency-unavailable'],
    },
    ({ params, body, principal }, service: Permissions) =>
      service.decide(principal.tenantId, params.userId, body.permission),
  ),
  route(
    'GET',
    '/api/v1/role-assignments',
    {
      ...reading,
      summary: 'Who has a role, by user id.',
      query: z.object({
        role: roleName,
        cursor: identifier.optional(),
        limit: z.coerce.number().int().min(1).max(200).default(50),
      }),
      reply: z.object({ users: z.array(z.string()), nextCursor: z.string().nullable() }),
    },
    async ({ query, principal }, service: Permissions) => {
      const { role, cursor = '', limit } = query
      const users = await service.usersOf(principal.tenantId, role, cursor, limit)
      return { users, nextCursor: users.length === limit ? (users.at(-1) ?? null) : null }
    },
  ),
  route(
    'GET',
    '/api/v1/role-assignments/:userId',
    {
      auth: 'service',
      summary: 'Roles of a user, for the tokens that auth issues.',
      params: userParams,
      reply: z.object({ userId: z.string(), roles: z.array(z.string()) }),
    },
    async ({ params, principal }, service: Permissions) => {
      const { userId, roles } = await service.assignmentOf(principal.tenantId, params.userId)
      return { userId, roles }
    },
  ),
  route(
    'POST',
    '/api/v1/decisions',
    {
      auth: 'service',
      summary: 'May this user do that? For functions that act for somebody without their token.',
      body: z.strictObject({ userId: identifier, permission }),
      reply: decision,
      problems: ['dependency-unavailable'],
    },
    ({ body, principal }, service: Permissions) => service.decide(principal.tenantId, body.userId, body.permission),
  ),
  route(
    'POST',
    '/api/v1/tenants/:tenantId/administrators',
    {
      auth: 'staff',
      permission: 'tenants.manage',
      summary: 'Makes a user of a tenant its administrator: the first one, or when it has lost its last.',
      params: z.object({ tenantId: identifier }),
      body: z.strictObject({ userId: identifier }),
      reply: assignmentView,
      problems: ['conflict', 'dependency-unavailable'],
    },
    async ({ params, body, principal }, service: Permissions) =>
      showAssignment(await service.makeAdministrator(principal, params.tenantId, body.userId)),
  ),
]
