/** What the tenant walk asks tenant and permission for: a tenant, a role and somebody who has it. */
import { builtInRoles } from '@stampede/shared/access/permissions.ts'
import type { TenantProbe } from '@stampede/shared/testing/tenant-walk.ts'
import type { TestIdentity } from '@stampede/shared/testing/identity.ts'
import type { Call } from './testing.ts'

const platformStaff = { tenantId: 'platform', userId: 'root', roles: ['platform-administrator'] }

/** Returns the statuses of what it did. */
export async function createAccessThings(identity: TestIdentity, call: Call, tenantId: string): Promise<number[]> {
  const root = await identity.token(platformStaff)
  const answers = [
    await call('POST', '/api/v1/tenants', { tenantId, name: 'Acme' }, root),
    await call('POST', '/api/v1/roles', { role: 'clerk', permissions: ['orders.read'] }),
    await call('PUT', '/api/v1/users/anna/roles', { version: 0, roles: ['clerk', 'support'] }),
  ]
  return answers.map(({ status }) => status)
}

const onlyBuiltIn = {
  roles: Object.entries(builtInRoles).map(([role, held]) => ({
    role,
    builtIn: true,
    description: '',
    permissions: [...held],
    inherits: [],
    allPermissions: [...held].sort(),
    version: 0,
  })),
}
const decidedNo = { allowed: false, because: { reason: 'no-role', role: null, through: [] } }
const question = { permission: 'orders.read' }

export function accessProbes({ tenantId }: { tenantId: string }): Record<string, TenantProbe[]> {
  const tenant = `/api/v1/tenants/${tenantId}`
  /** Nobody of any tenant but the platform's. */
  const platform = (path: string, body?: unknown): TenantProbe[] => [{ path, body, owner: platformStaff }]
  return {
    'POST /api/v1/tenants': platform('/api/v1/tenants', { tenantId, name: 'Mine' }),
    'GET /api/v1/tenants': platform('/api/v1/tenants?limit=200'),
    'GET /api/v1/tenants/:tenantId': platform(tenant),
    'POST /api/v1/tenants/:tenantId/suspension': platform(`${tenant}/suspension`, { reason: 'test' }),
    'POST /api/v1/tenants/:tenantId/resumption': platform(`${tenant}/resumption`, { reason: 'test' }),
    'POST /api/v1/tenants/:tenantId/closure': platform(`${tenant}/closure`, { reason: 'test' }),
    'PUT /api/v1/tenants/:tenantId/quota': platform(`${tenant}/quota`, { version: 1, quota: { activities: 1 } }),
    'PUT /api/v1/tenants/:tenantId/settings': platform(`${tenant}/settings`, { version: 1, settings: {} }),
    'GET /api/v1/tenant/settings': [{ path: '/api/v1/tenant/settings' }],
    'PUT /api/v1/tenant/settings': [
      { path: '/api/v1/tenant/settings', body: { version: 1, settings: { locale: 'en' } } },
    ],
    'GET /api/v1/tenant-settings': [{ path: '/api/v1/tenant-settings' }],

    'GET /api/v1/roles': [{ path: '/api/v1/roles', stranger: { status: 200, body: onlyBuiltIn } }],
    'POST /api/v1/roles': [{ path: '/api/v1/roles', body: { role: 'clerk' }, stranger: { status: 201 } }],
    'GET /api/v1/roles/:role': [{ path: '/api/v1/roles/clerk' }],
    'PUT /api/v1/roles/:role': [{ path: '/api/v1/roles/clerk', body: { version: 1, permissions: ['users.read'] } }],
    'DELETE /api/v1/roles/:role': [{ path: '/api/v1/roles/clerk?version=1' }],
    'GET /api/v1/users/:userId/roles': [
      {
        path: '/api/v1/users/anna/roles',
        stranger: { status: 200, body: { userId: 'anna', roles: [], version: 0 } },
      },
    ],
    'PUT /api/v1/users/:userId/roles': [
      {
        path: '/api/v1/users/anna/roles',
        body: { version: 0, roles: ['auditor'] },
        stranger: { status: 200, body: { userId: 'anna', roles: ['auditor'], version: 1 } },
      },
    ],
    'POST /api/v1/users/:userId/decisions': [
      { path: '/api/v1/users/anna/decisions', body: question, stranger: { status: 200, body: decidedNo } },
    ],
    'GET /api/v1/role-assignments': [
      {
        path: '/api/v1/role-assignments?role=clerk',
        stranger: { status: 200, body: { users: [], nextCursor: null } },
      },
    ],
    'GET /api/v1/role-assignments/:userId': [
      { path: '/api/v1/role-assignments/anna', stranger: { status: 200, body: { userId: 'anna', roles: [] } } },
    ],
    'POST /api/v1/decisions': [
      {
        path: '/api/v1/decisions',
        body: { ...question, userId: 'anna' },
        stranger: { status: 200, body: decidedNo },
      },
    ],
    ...Object.fromEntries(
      ['order', 'inventory', 'activity'].map((name) => [
        `GET /api/v1/${name}-rows`,
        [{ path: `/api/v1/${name}-rows?most=1000`, stranger: { status: 200, body: { rows: 0 } } }],
      ]),
    ),
    'POST /api/v1/tenants/:tenantId/administrators': platform(`${tenant}/administrators`, { userId: 'stranger' }),
  }
}
