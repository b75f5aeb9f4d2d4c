/** Our clients as the provider knows them, and what tokens may be asked for. */
import type { AdapterPayload } from 'oidc-provider'
import type { Client } from './clients.ts'

/** What is named as `resource` (RFC 8707) to get a token that every function accepts. */
export const apiResource = 'urn:stampede:api'
export const apiScope = 'api'
export const openIdScopes = ['openid', 'offline_access', 'email', 'phone'] as const

export function metadataOf({ clientId, secretHash, settings }: Client): AdapterPayload {
  const isService = settings.kind === 'service'
  return {
    client_id: clientId,
    client_name: settings.name,
    // Compared by its hash; see `provider.ts`.
    ...(secretHash === undefined ? {} : { client_secret: secretHash }),
    application_type: 'web',
    token_endpoint_auth_method: secretHash === undefined ? 'none' : 'client_secret_basic',
    grant_types: isService ? ['client_credentials'] : ['authorization_code', 'refresh_token'],
    response_types: isService ? [] : ['code'],
    redirect_uris: settings.redirectUris,
    post_logout_redirect_uris: settings.postLogoutRedirectUris,
    ...(settings.backchannelLogoutUri === undefined
      ? {}
      : { backchannel_logout_uri: settings.backchannelLogoutUri, backchannel_logout_session_required: true }),
  }
}
