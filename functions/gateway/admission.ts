/**
 * Who is calling, and may they? The same verifier and the same access directory as in the functions, which check again: here a wrong token
 * costs one process microseconds instead of a start from zero.
 */
/* eslint-disable promise/always-return, promise/no-callback-in-promise -- a chain would cost the hot path promises */
import type { AccessChecker, AccessVerdict } from '@stampede/shared/access/types.ts'
import type { Principal } from '@stampede/shared/function/declaration.ts'
import { accessProblem } from '@stampede/shared/function/authorise.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { bearerTokenOf, type TokenVerifier } from '@stampede/shared/identity/access-token.ts'
import type { GatewayRoute } from './route-table.ts'
import type { RequestHead } from './request-head.ts'

export type Admitted = (refusal: Problem | undefined, principal: Principal | undefined) => void

/** What a request says of its caller, and who that is, when the token was verified before. */
export type Seen = { token: string | undefined; principal: Principal | undefined }

export type Admission = {
  look(head: RequestHead): Seen
  /** Calls back once, at once when everything is in memory. */
  admit(route: GatewayRoute, head: RequestHead, seen: Seen, decided: Admitted): void
}

/** Would a signature have to be checked? Not when the token was verified before: neighbours of an address do not suffer for it. */
export const mustVerify = (route: GatewayRoute, { token, principal }: Seen): boolean =>
  route.auth !== 'public' && token !== undefined && principal === undefined

export type AdmissionOptions = {
  tokens: TokenVerifier
  /** Undefined: the host has none to lend. */
  access: AccessChecker | undefined
  /** Verifications at the same time. */
  inFlight: number
}

const missing = new Problem('unauthenticated', 'This needs a token in the header "authorization: Bearer <token>".')
const malformed = new Problem('unauthenticated', 'The authorization header is not of the form "Bearer <token>".')
const peopleOnly = new Problem('forbidden', 'This is for signed-in people only.')
const staffOnly = new Problem('forbidden', 'This is for staff only.')
const busy = new Problem('overloaded', 'Too many tokens are being checked at the moment.', { retryAfterSeconds: 1 })

/** The same as of the functions behind. */
const refusals: Record<Exclude<AccessVerdict, 'allowed'>, Problem> = {
  'signed-out': accessProblem('signed-out'),
  'tenant-suspended': accessProblem('tenant-suspended'),
  forbidden: accessProblem('forbidden'),
  unknown: accessProblem('unknown'),
}

export function createAdmission({ tokens, access, inFlight: maximum }: AdmissionOptions): Admission {
  let inFlight = 0

  const judge = (route: GatewayRoute, principal: Principal, decided: Admitted): void => {
    if (principal.kind === 'service') return decided(peopleOnly, principal)
    // Who is staff by a role that is newer than the token is decided by the permission.
    if (!access) return decided(route.auth === 'staff' && principal.kind !== 'staff' ? staffOnly : undefined, principal)
    const verdict = access.checkSync(principal, route.permission)
    if (verdict !== undefined) return decided(verdict === 'allowed' ? undefined : refusals[verdict], principal)
    access.check(principal, route.permission).then(
      (late) => decided(late === 'allowed' ? undefined : refusals[late], principal),
      () => decided(refusals.unknown, principal),
    )
  }

  return {
    look({ authorization }) {
      const token = bearerTokenOf(authorization)
      return { token, principal: token === undefined ? undefined : tokens.verifySync(token) }
    },
    admit(route, { authorization, pass }, { token, principal: known }, decided) {
      // The function decides what a token means to it; it tells limits and canaries who this is, when that costs nothing.
      if (route.auth === 'public') return decided(undefined, known)
      // A pass is bound to buyer and activity and checked by the sale itself.
      if (pass !== undefined && authorization === undefined && route.auth === 'user' && route.function === 'seckill') {
        return decided(undefined, undefined)
      }
      if (authorization === undefined) return decided(missing, undefined)
      if (token === undefined || token === '') return decided(malformed, undefined)
      if (known) return judge(route, known, decided)
      if (inFlight >= maximum) return decided(busy, undefined)
      inFlight++
      tokens.verify(token).then(
        (principal) => {
          inFlight--
          judge(route, principal, decided)
        },
        (error: unknown) => {
          inFlight--
          decided(
            error instanceof Problem ? error : new Problem('unauthenticated', 'The token is not valid.'),
            undefined,
          )
        },
      )
    },
  }
}
