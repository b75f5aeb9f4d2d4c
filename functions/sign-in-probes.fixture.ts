/** What the tenant walk asks auth and notification for: a person who registered by a code, their session, an application. */
import type { TenantProbe } from '@stampede/shared/testing/tenant-walk.ts'
import { eventually, type Body, type Call, type Collection } from './testing.ts'

export type SignInThings = { personId: string; sessionId: string; clientId: string }

const application = { name: 'Shop', kind: 'browser', redirectUris: ['https://shop.example/callback'] }
const contact = { kind: 'email', value: 'ann@example.com' }

/** Returns the statuses of what it did, too. The code is read where staff read it. */
export async function createSignInThings({ url }: Collection, call: Call, tenantId: string) {
  const ask = async (path: string, body: unknown) => {
    const response = await fetch(`${url}/api/v1/tenants/${tenantId}/auth/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return { status: response.status, body: (await response.json()) as Body }
  }
  const asked = await ask('codes', { contact, purpose: 'register' })
  const messages = await eventually(
    async () => (await call('GET', '/api/v1/notifications/outbox')).body['messages'] as { body: string }[],
    ({ length }) => length > 0,
  )
  const code = /\d{6}/.exec(messages[0]!.body)?.[0]
  const registered = await ask('registrations', { contact, code })
  const client = await call('POST', '/api/v1/clients', application)
  return {
    personId: registered.body['userId'] as string,
    sessionId: registered.body['sessionId'] as string,
    clientId: client.body['clientId'] as string,
    statuses: [asked, registered, client].map(({ status }) => status),
  }
}

export function signInProbes({ personId, sessionId, clientId }: SignInThings): Record<string, TenantProbe[] | string> {
  const own = { userId: personId }
  const nobodyYet =
    'nobody is signed in yet: the tenant is in the path, and a contact of one tenant is nobody in another'
  return {
    'POST /api/v1/tenants/:tenantId/auth/codes': nobodyYet,
    'POST /api/v1/tenants/:tenantId/auth/registrations': nobodyYet,
    'POST /api/v1/tenants/:tenantId/auth/sessions': nobodyYet,
    'POST /api/v1/tenants/:tenantId/auth/tokens': nobodyYet,
    'POST /api/v1/tenants/:tenantId/auth/password-resets': nobodyYet,
    'GET /.well-known/jwks.json': 'the keys are of the platform',
    'POST /api/v1/signing-keys/rotations': [
      {
        path: '/api/v1/signing-keys/rotations',
        owner: { tenantId: 'platform', userId: 'root', roles: ['platform-administrator'] },
      },
    ],
    'PUT /api/v1/password': [{ path: '/api/v1/password', body: { newPassword: 'a new password' }, ...own }],
    'GET /api/v1/sessions': [{ path: '/api/v1/sessions', ...own, stranger: { status: 200, body: { sessions: [] } } }],
    'DELETE /api/v1/sessions/:sessionId': [{ path: `/api/v1/sessions/${sessionId}`, ...own }],
    'DELETE /api/v1/sessions': [{ path: '/api/v1/sessions', ...own, stranger: { status: 204 } }],
    'GET /api/v1/clients': [
      { path: '/api/v1/clients', stranger: { status: 200, body: { clients: [], nextCursor: null } } },
    ],
    'POST /api/v1/clients': [{ path: '/api/v1/clients', body: application, stranger: { status: 201 } }],
    'DELETE /api/v1/clients/:clientId': [{ path: `/api/v1/clients/${clientId}` }],
    'GET /api/v1/notifications/outbox': [
      { path: '/api/v1/notifications/outbox', stranger: { status: 200, body: { messages: [] } } },
    ],
    'GET /notifications/outbox': 'the same empty page for everybody; it asks the route above',
  }
}
