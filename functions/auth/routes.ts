/** HTTP for people without a token: codes, registration, sign-in, refresh. Their tenant is in the path. */
import { z } from 'zod'
import { route } from '@stampede/shared/function/declaration.ts'
import type { RouteRequest } from '@stampede/shared/function/declaration.ts'
import type { Auth } from './auth.ts'
import { callerAddress, localeOf } from './address.ts'
import { resetPassword } from './change-password.ts'
import { requestCode } from './codes.ts'
import { contactInput, indexContact } from './contact.ts'
import { refresh } from './refresh.ts'
import { register } from './register.ts'
import { signIn } from './sign-in.ts'

export const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)
const params = z.object({ tenantId: identifier })
const code = z.string().regex(/^\d{6}$/)
/** Long enough to be worth guessing slowly; the upper limit is what is hashed. */
export const newPassword = z.string().min(10).max(200)
const password = z.string().min(1).max(200)

export const tokenSet = z.object({
  accessToken: z.string(),
  tokenType: z.literal('Bearer'),
  expiresInSeconds: z.int(),
  refreshToken: z.string(),
  sessionId: z.string(),
  userId: z.string(),
})

type AnyRequest = Pick<RouteRequest<unknown, unknown, unknown, unknown>, 'headers' | 'remoteAddress'>
export const addressOf = (auth: Auth, { headers, remoteAddress }: AnyRequest) =>
  callerAddress(remoteAddress, headers, auth.config.TRUSTED_PROXIES)
const userAgentOf = ({ headers }: AnyRequest) => headers['user-agent'] ?? ''

const common = ['unauthenticated', 'forbidden', 'rate-limited', 'dependency-unavailable'] as const

export const signInRoutes = [
  route(
    'POST',
    '/api/v1/tenants/:tenantId/auth/codes',
    {
      auth: 'public',
      summary: 'Sends a code to a contact. The answer does not tell whether there is an account.',
      params,
      body: z.strictObject({ contact: contactInput, purpose: z.enum(['register', 'login', 'reset-password']) }),
      reply: z.object({ expiresInSeconds: z.int() }),
      status: 202,
      problems: common,
    },
    async (request, auth: Auth) => {
      const { tenantId } = request.params
      await auth.gate.mayIssue(tenantId)
      const contact = indexContact(auth.index, tenantId, request.body.contact)
      const asked = { contact, purpose: request.body.purpose, address: addressOf(auth, request) }
      await requestCode(auth, tenantId, { ...asked, locale: localeOf(request.headers) })
      return { expiresInSeconds: auth.config.CODE_SECONDS }
    },
  ),
  route(
    'POST',
    '/api/v1/tenants/:tenantId/auth/registrations',
    {
      auth: 'public',
      summary: 'Makes an account for a contact that a code proves, and signs in.',
      params,
      body: z.strictObject({ contact: contactInput, code, password: newPassword.optional() }),
      reply: tokenSet,
      status: 201,
      problems: [...common, 'conflict'],
    },
    async (request, auth: Auth) => {
      const { tenantId } = request.params
      await auth.gate.mayIssue(tenantId)
      return register(auth, tenantId, {
        contact: indexContact(auth.index, tenantId, request.body.contact),
        code: request.body.code,
        password: request.body.password,
        address: addressOf(auth, request),
        userAgent: userAgentOf(request),
        signal: request.signal,
      })
    },
  ),
  route(
    'POST',
    '/api/v1/tenants/:tenantId/auth/sessions',
    {
      auth: 'public',
      summary: 'Signs in with a password or a code.',
      params,
      body: z.union([
        z.strictObject({ contact: contactInput, password }),
        z.strictObject({ contact: contactInput, code }),
      ]),
      reply: tokenSet,
      status: 201,
      problems: common,
    },
    async (request, auth: Auth) => {
      const { tenantId } = request.params
      const { body } = request
      await auth.gate.mayIssue(tenantId)
      return signIn(auth, tenantId, {
        contact: indexContact(auth.index, tenantId, body.contact),
        password: 'password' in body ? body.password : undefined,
        code: 'code' in body ? body.code : undefined,
        address: addressOf(auth, request),
        userAgent: userAgentOf(request),
        signal: request.signal,
      })
    },
  ),
  route(
    'POST',
    '/api/v1/tenants/:tenantId/auth/tokens',
    {
      auth: 'public',
      summary: 'New tokens for a refresh token, which is used up. Used twice, its session ends.',
      params,
      body: z.strictObject({ refreshToken: z.string().min(1).max(200) }),
      reply: tokenSet,
      status: 201,
      problems: common,
    },
    ({ params: { tenantId }, body }, auth: Auth) => refresh(auth, tenantId, body.refreshToken),
  ),
  route(
    'POST',
    '/api/v1/tenants/:tenantId/auth/password-resets',
    {
      auth: 'public',
      summary: 'A new password for who has the code. All sessions end.',
      params,
      body: z.strictObject({ contact: contactInput, code, password: newPassword }),
      problems: common,
    },
    async (request, auth: Auth) => {
      const { tenantId } = request.params
      await auth.gate.mayIssue(tenantId)
      await resetPassword(auth, tenantId, {
        contact: indexContact(auth.index, tenantId, request.body.contact),
        code: request.body.code,
        password: request.body.password,
        address: addressOf(auth, request),
        signal: request.signal,
      })
    },
  ),
]
