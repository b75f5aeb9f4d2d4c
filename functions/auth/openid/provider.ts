/**
 * An OpenID Connect provider for one tenant, by `oidc-provider`. The library is loaded when somebody first asks for it, so that other
 * routes start without it. Access tokens for the API are those that auth issues itself: the same issuer, audience, claims and keys.
 */
import type * as OidcProvider from 'oidc-provider'
import type { Configuration, KoaContextWithOIDC, Provider } from 'oidc-provider'
import { databaseProblem } from '@stampede/shared/database/errors.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { AuthContext } from '../context.ts'
import { contactContext } from '../register.ts'
import { findAccount, listContacts } from '../store.ts'
import { hashSecret, isSameText } from '../ids.ts'
import type { SigningKeys } from '../signing-keys.ts'
import { createAdapter } from './adapter.ts'
import { insertNotice } from './logout-notices.ts'
import { apiResource, apiScope, metadataOf, openIdScopes } from './metadata.ts'
import { errorPage, loggedOutPage, logoutPage, sendPage } from './pages.ts'

export type ProviderOptions = {
  auth: AuthContext
  tenantId: string
  issuer: string
  /** What access tokens for the API say. */
  tokenIssuer: string
  audience: string
  keys: Awaited<ReturnType<SigningKeys['privateKeys']>>
  endGrant: (tenantId: string, grantId: string) => Promise<void>
  idTokenSeconds: number
}

type Library = typeof OidcProvider
let loading: Promise<Library> | undefined
/** Once in a process; a failure is tried again. */
export function loadLibrary(): Promise<Library> {
  loading ??= import('oidc-provider').catch((error: unknown) => {
    loading = undefined
    throw error
  })
  return loading
}

const browserSessionSeconds = 14 * 86_400
const interactionSeconds = 1_800
const codeSeconds = 60

export async function createProvider(options: ProviderOptions): Promise<Provider> {
  const { auth, tenantId, issuer } = options
  const { Provider: OpenIdProvider, errors } = await loadLibrary()
  const provider = new OpenIdProvider(issuer, configurationOf(options, errors))
  // URLs are made from the issuer's own address, which the handler writes into each request.
  provider.proxy = true
  const { prototype } = provider.Client as unknown as { prototype: ClientMethods }
  // Only hashes of secrets are kept; the secrets are random, so a fast hash is enough.
  prototype.compareClientSecret = function compareClientSecret(actual) {
    return isSameText(hashSecret(actual), String(this.clientSecret))
  }
  // Sent by us, with retries, whatever becomes of this process.
  prototype.backchannelLogout = async function backchannelLogout(userId, sid) {
    const db = auth.events.database.forTenant(tenantId)
    await auth.noticeDue()
    await insertNotice(db, { clientId: this.clientId, userId, sid }, new Date(auth.now()))
  }
  provider.on('server_error', (_ctx, error) => {
    auth.log.error({ err: error, tenantId }, 'the OpenID Connect provider failed')
  })
  return provider
}

type ClientMethods = {
  clientId: string
  clientSecret?: string
  compareClientSecret(this: ClientMethods, actual: string): boolean
  backchannelLogout(this: ClientMethods, userId: string, sid: string): Promise<void>
}

function configurationOf(options: ProviderOptions, errors: Library['errors']): Configuration {
  const { auth, tenantId, issuer, keys } = options
  const { pathname, protocol } = new URL(issuer)
  const cookie = { httpOnly: true, sameSite: 'lax', path: pathname, secure: protocol === 'https:' } as const
  const algorithm = keys.algorithm as 'ES256'
  const algorithms = [...new Set(keys.keys.map(({ alg }) => alg))] as 'ES256'[]
  const accessTokenSeconds = auth.tokens.lifetimeSeconds

  /** What a Problem means to an application. */
  const refusal = (given: unknown): unknown => {
    const error = databaseProblem(given)
    if (!(error instanceof Problem) || error.status !== 503) return error
    const failure = new errors.CustomOIDCProviderError('temporarily_unavailable', error.detail)
    return Object.assign(failure, { status: 503, statusCode: 503, cause: error })
  }

  return {
    adapter: createAdapter({
      auth,
      tenantId,
      endGrant: (grantId) => options.endGrant(tenantId, grantId),
      usedTwice: () => new errors.InvalidGrant('already used'),
      metadataOf,
      failure: refusal,
    }),
    jwks: { keys: keys.keys },
    cookies: { keys: [...auth.index.all('cookie', tenantId, 'openid')], long: cookie, short: cookie },
    clientDefaults: { id_token_signed_response_alg: algorithm, token_endpoint_auth_method: 'client_secret_basic' },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'none'],
    enabledJWA: { idTokenSigningAlgValues: algorithms },
    responseTypes: ['code'],
    pkce: { required: () => true },
    scopes: openIdScopes,
    claims: {
      openid: ['sub', 'tenant'],
      email: ['email', 'email_verified'],
      phone: ['phone_number', 'phone_number_verified'],
    },
    subjectTypes: ['public'],
    // Apps in browsers ask from the pages that people come back to.
    clientBasedCORS: (_ctx, origin, client) =>
      (client.redirectUris ?? []).some((uri) => new URL(uri).origin === origin),
    rotateRefreshToken: true,
    ttl: {
      AccessToken: accessTokenSeconds,
      ClientCredentials: accessTokenSeconds,
      AuthorizationCode: codeSeconds,
      IdToken: options.idTokenSeconds,
      Interaction: interactionSeconds,
      Session: browserSessionSeconds,
      RefreshToken: Math.floor(auth.limits.refreshTtlMs / 1_000),
      Grant: Math.floor(auth.limits.sessionTtlMs / 1_000),
    },
    interactions: { url: (_ctx, { uid }) => `${pathname}/interaction/${uid}` },
    findAccount: async (_ctx, userId) => {
      const db = auth.events.database.forTenant(tenantId)
      const account = await findAccount(db, userId)
      if (account?.state !== 'active') return undefined
      await auth.gate.mayIssue(tenantId, userId).catch((error: unknown) => {
        throw refusal(error)
      })
      return { accountId: userId, claims: (_use, scope) => claimsOf(auth, tenantId, userId, scope) }
    },
    extraTokenClaims: async (_ctx, token) => {
      // Tokens without a resource are for userinfo alone: they say nothing of the person.
      if (!('resourceServer' in token) || !token.resourceServer) return undefined
      const { accountId, grantId } = token as { accountId?: string; grantId?: string }
      const subject = accountId ?? token.clientId ?? ''
      const roles = await auth.rolesOf(tenantId, subject).catch((error: unknown) => {
        throw refusal(error)
      })
      return { tenant: tenantId, roles: [...roles], ...(grantId === undefined ? {} : { sid: grantId }) }
    },
    formats: {
      customizers: {
        jwt: (_ctx, _token, jwt) => {
          // One issuer for all tokens of the API, however somebody came by them.
          jwt.payload['iss'] = options.tokenIssuer
        },
      },
    },
    features: {
      devInteractions: { enabled: false },
      dPoP: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      userinfo: { enabled: true },
      clientCredentials: { enabled: true },
      revocation: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
      introspection: {
        enabled: true,
        // An application learns of its own tokens; a service may ask about any, as a resource server does.
        allowedPolicy: (_ctx, client, token) =>
          token.clientId === client.clientId || client.grantTypeAllowed('client_credentials'),
      },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => showLogout(ctx, form),
        postLogoutSuccessSource: (ctx) => showPage(ctx, 200, loggedOutPage()),
      },
      resourceIndicators: {
        enabled: true,
        // A service has nothing else to ask for.
        defaultResource: (ctx, _client, oneOf) => {
          if (oneOf) return oneOf
          return ctx.oidc.params?.['grant_type'] === 'client_credentials' ? apiResource : undefined
        },
        useGrantedResource: () => false,
        getResourceServerInfo: (_ctx, resource) => {
          if (resource !== apiResource) throw new errors.InvalidTarget()
          return {
            scope: apiScope,
            audience: options.audience,
            accessTokenTTL: accessTokenSeconds,
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: algorithm, kid: keys.keys[0]!.kid! } },
          }
        },
      },
    },
    renderError: (ctx, out) => showPage(ctx, ctx.status, errorPage(out.error_description ?? out.error)),
  }
}

/** The person's own data, for whom they allowed it. */
async function claimsOf(auth: AuthContext, tenantId: string, userId: string, scope: string) {
  const scopes = new Set(scope.split(' '))
  const claims: { sub: string; [name: string]: string | boolean } = { sub: userId, tenant: tenantId }
  if (!scopes.has('email') && !scopes.has('phone')) return claims
  for (const { kind, index, sealed } of await listContacts(auth.events.database.forTenant(tenantId), userId)) {
    if (!scopes.has(kind)) continue
    const name = kind === 'email' ? 'email' : 'phone_number'
    claims[name] ??= auth.ring.open(sealed, contactContext(tenantId, index))
    claims[`${name}_verified`] = true
  }
  return claims
}

function showPage(ctx: KoaContextWithOIDC, status: number, page: ReturnType<typeof errorPage>) {
  ctx.status = status
  for (const [name, value] of Object.entries(sendPage(page))) ctx.set(name, value)
  ctx.body = page.html
}

function showLogout(ctx: KoaContextWithOIDC, form: string) {
  const backTo = (ctx.oidc.session?.state as { postLogoutRedirectUri?: string } | undefined)?.postLogoutRedirectUri
  showPage(ctx, 200, logoutPage(form, backTo))
}
