/** May this caller deliver events here? */
import type { IncomingHttpHeaders } from 'node:http'
import { Problem } from '../http/problem.ts'
import { bearerTokenOf } from '../identity/access-token.ts'
import { createEventTokenVerifier } from '../identity/event-token.ts'
import { createRemoteKeys } from '../identity/fetch-keys.ts'
import { authenticate, authorise } from './authorise.ts'
import { audienceOf, eventOidcSettings } from './event-oidc.ts'
import type { Host } from './host.ts'

/** Throws a Problem when the caller may not. `functionName` is the function that the event is for; undefined: all of the process. */
export type EventAuthentication = (headers: IncomingHttpHeaders, functionName: string | undefined) => Promise<void>

export function createEventAuthentication(host: Host): EventAuthentication {
  const mode = host.config.EVENT_AUTHENTICATION
  if (mode === 'none') return async () => {}
  if (mode === 'oidc') return byOidc(host)
  return async (headers) => {
    await authorise(host.access, { auth: 'service' }, await authenticate(headers, host.verifier))
  }
}

function byOidc(host: Host): EventAuthentication {
  const found = eventOidcSettings(host.config)
  // The start has said so where events are taken; a function without any is served all the same.
  if ('problems' in found)
    return async () => {
      throw new Problem('dependency-unavailable', 'Event tokens cannot be checked here.')
    }
  const { issuer, subjects, audiences, keys } = found.settings
  const verifier = createEventTokenVerifier({ issuer, subjects, keys: createRemoteKeys(keys) })
  host.log.info({ issuer, subjects, keys: keys.url.href }, 'events need OIDC tokens')
  return async ({ authorization }, functionName) => {
    const token = bearerTokenOf(authorization)
    if (!token)
      throw new Problem('unauthenticated', 'Events need a token in the header "authorization: Bearer <token>".')
    const names = functionName === undefined ? host.mounted.map(({ definition }) => definition.name) : [functionName]
    await verifier.verify(token, audiences ?? names.map(audienceOf))
  }
}
