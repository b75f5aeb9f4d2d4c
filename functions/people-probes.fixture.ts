/** What the tenant walk asks user and audit for: people, an address, and the records of what was done. */
import type { TestIdentity } from '@stampede/shared/testing/identity.ts'
import type { TenantProbe } from '@stampede/shared/testing/tenant-walk.ts'
import type { Call } from './testing.ts'

const address = { recipient: 'Ann Lee', street: 'Nebenweg 7', city: 'Musterstadt', country: 'DE' }
/** Those who leave are others than who goes on asking. */
const people = ['leaver', 'quitter', 'sleeper', 'waker', 'gone']
const nothing = { issued: 0, redeemed: 0, returned: 0, expired: 0, available: 0, used: 0, savedCents: 0, lastAt: null }
const why = { reason: 'test' }

export type People = { statuses: number[]; addressId: string }

export async function createPeople(identity: TestIdentity, call: Call, tenantId: string): Promise<People> {
  const named = await call('PATCH', '/api/v1/users/me', { name: 'Chief' })
  const added = await call('POST', '/api/v1/users/me/addresses', address)
  const others = await Promise.all(
    people.map(async (userId) =>
      call('PATCH', '/api/v1/users/me', { name: userId }, await identity.token({ tenantId, userId })),
    ),
  )
  return {
    statuses: [named, added, ...others].map(({ status }) => status),
    addressId: added.body['addressId'] as string,
  }
}

export function peopleProbes(userId: string, { addressId }: People): Record<string, TenantProbe[]> {
  const me = '/api/v1/users/me'
  const one = `${me}/addresses/${addressId}`
  const nobody = {
    userId,
    state: 'active',
    name: null,
    email: null,
    phone: null,
    locale: null,
    version: 0,
    addresses: 0,
    coupons: nothing,
    createdAt: null,
    updatedAt: null,
  }
  return {
    'GET /api/v1/users/me': [{ path: me, stranger: { status: 200, body: nobody } }],
    'PATCH /api/v1/users/me': [{ path: me, body: { name: 'Mine' }, stranger: { status: 200 } }],
    'GET /api/v1/users/me/addresses': [{ path: `${me}/addresses`, stranger: { status: 200, body: { addresses: [] } } }],
    'POST /api/v1/users/me/addresses': [{ path: `${me}/addresses`, body: address, stranger: { status: 201 } }],
    'GET /api/v1/users/me/addresses/:addressId': [{ path: one }],
    'PUT /api/v1/users/me/addresses/:addressId': [{ path: one, body: address }],
    'DELETE /api/v1/users/me/addresses/:addressId': [{ path: one }],
    // When it was made is in it: what is in it otherwise is asked by the routes above.
    'GET /api/v1/users/me/export': [{ path: `${me}/export`, stranger: { status: 200 } }],
    'POST /api/v1/users/me/deactivation': [{ path: `${me}/deactivation`, userId: 'leaver', stranger: { status: 200 } }],
    'POST /api/v1/users/me/erasure': [{ path: `${me}/erasure`, userId: 'quitter', stranger: { status: 202 } }],
    'GET /api/v1/users': [
      { path: '/api/v1/users', stranger: { status: 200, body: { users: [], nextCursor: null } } },
      { path: '/api/v1/users?state=active', stranger: { status: 200, body: { users: [], nextCursor: null } } },
    ],
    'GET /api/v1/users/:userId': [{ path: '/api/v1/users/sleeper' }, { path: '/api/v1/users/sleeper?reveal=true' }],
    'POST /api/v1/users/:userId/deactivation': [{ path: '/api/v1/users/sleeper/deactivation', body: why }],
    'POST /api/v1/users/:userId/activation': [{ path: '/api/v1/users/waker/activation', body: why }],
    'POST /api/v1/users/:userId/erasure': [{ path: '/api/v1/users/gone/erasure', body: why }],
    'GET /api/v1/users/:userId/contact': [{ path: '/api/v1/users/sleeper/contact' }],
    'POST /api/v1/user-key-rotations': [
      {
        path: '/api/v1/user-key-rotations',
        owner: { tenantId: 'platform', userId: 'root', roles: ['platform-administrator'] },
      },
    ],
    'GET /api/v1/audit-records': [
      { path: '/api/v1/audit-records', stranger: { status: 200, body: { records: [], nextCursor: null } } },
      {
        path: `/api/v1/audit-records?actor=${userId}`,
        stranger: { status: 200, body: { records: [], nextCursor: null } },
      },
    ],
    'POST /api/v1/audit-records/verifications': [
      {
        path: '/api/v1/audit-records/verifications',
        body: {},
        stranger: {
          status: 200,
          body: { ok: true, checked: 0, checkpoints: 0, throughSequence: 0, complete: true, finding: null },
        },
      },
    ],
  }
}
