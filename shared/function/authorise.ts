/** Who is calling, and may they? */
import type { IncomingHttpHeaders } from 'node:http'
import { Problem } from '../http/problem.ts'
import { bearerTokenOf } from '../identity/access-token.ts'
import type { TokenVerifier } from '../identity/access-token.ts'
import type { Principal, RouteAuth } from './declaration.ts'

/** The caller of a request, undefined without a token. Throws Problem `unauthenticated` for a token that is not valid. */
export async function authenticate(
  headers: IncomingHttpHeaders,
  verifier: TokenVerifier,
): Promise<Principal | undefined> {
  const { authorization } = headers
  if (authorization === undefined) return undefined
  const token = bearerTokenOf(authorization)
  if (!token) throw new Problem('unauthenticated', 'The authorization header is not of the form "Bearer <token>".')
  return verifier.verifySync(token) ?? (await verifier.verify(token))
}

/** Throws Problem `unauthenticated` or `forbidden`. Staff are people too; services are not. */
export function authorise(auth: RouteAuth, principal: Principal | undefined): void {
  if (auth === 'public') return
  if (!principal)
    throw new Problem('unauthenticated', 'This needs a token in the header "authorization: Bearer <token>".')
  const allowed = auth === 'user' ? principal.kind !== 'service' : principal.kind === auth
  if (!allowed) throw new Problem('forbidden', `This is for ${audience[auth]} only.`)
}

const audience = { user: 'signed-in people', staff: 'staff', service: 'other functions' } as const
