/** Who is calling, and may they? */
import type { IncomingHttpHeaders } from 'node:http'
import type { Permission } from '../access/permissions.ts'
import type { AccessChecker, AccessVerdict } from '../access/types.ts'
import { Problem } from '../http/problem.ts'
import { bearerTokenOf } from '../identity/access-token.ts'
import type { TokenVerifier } from '../identity/access-token.ts'
import type { Principal, RouteOptions } from './declaration.ts'

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

/**
 * The caller, when they may call the route. Throws Problem `unauthenticated`, `forbidden`, `tenant-suspended`, or
 * `dependency-unavailable` when that cannot be known. Staff are people too; services are not. A token that is sent to a public
 * route must be right as well.
 */
export async function authorise(
  access: AccessChecker,
  { auth, permission }: Pick<RouteOptions, 'auth' | 'permission'>,
  principal: Principal | undefined,
): Promise<Principal | undefined> {
  if (!principal) {
    if (auth === 'public') return undefined
    throw new Problem('unauthenticated', 'This needs a token in the header "authorization: Bearer <token>".')
  }
  const isService = principal.kind === 'service'
  if (auth !== 'public' && isService !== (auth === 'service')) {
    throw new Problem('forbidden', `This is for ${audience[auth]} only.`)
  }
  // What a function does for a tenant that was suspended meanwhile must come to its end.
  if (isService) return principal
  const verdict = access.checkSync(principal, permission) ?? (await access.check(principal, permission))
  if (verdict !== 'allowed') throw accessProblem(verdict, permission)
  // A role that was given after the token was issued is not in it.
  return auth === 'staff' && principal.kind === 'user' ? { ...principal, kind: 'staff' } : principal
}

/** One answer for each refusal, in all functions. */
export function accessProblem(verdict: Exclude<AccessVerdict, 'allowed'>, permission?: Permission): Problem {
  if (verdict === 'signed-out')
    return new Problem('unauthenticated', 'The session has ended, or the account is not active. Sign in again.')
  if (verdict === 'tenant-suspended') return new Problem('tenant-suspended', 'The tenant is suspended or closed.')
  if (verdict === 'forbidden')
    return new Problem(
      'forbidden',
      permission === undefined ? 'You may not do this.' : `This needs the permission ${permission}.`,
    )
  return new Problem('dependency-unavailable', 'It cannot be known at the moment who may do what.', {
    retryAfterSeconds: 1,
  })
}

const audience = { user: 'signed-in people', staff: 'staff', service: 'other functions' } as const
