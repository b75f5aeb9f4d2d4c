/** Tokens are issued only in active tenants, and not to who is blocked: the access directory says. */
import type { AccessChecker } from '@stampede/shared/access/types.ts'
import type { Principal } from '@stampede/shared/function/declaration.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { Gate } from './context.ts'

/** Of nobody: asks for the tenant alone. */
const nobody = 'nobody'

export function createGate(access: AccessChecker, now: () => number): Gate {
  return {
    mayIssue: async (tenantId, userId = nobody) => {
      // As somebody who gets the token now: what was revoked until now does not concern it.
      const principal: Principal = { kind: 'user', tenantId, userId, roles: [], issuedAtMs: now() }
      const verdict = access.checkSync(principal) ?? (await access.check(principal))
      if (verdict === 'allowed') return
      if (verdict === 'unknown')
        throw new Problem('dependency-unavailable', 'Whether the tenant is active cannot be known at the moment.', {
          retryAfterSeconds: 1,
        })
      if (verdict === 'tenant-suspended') throw new Problem('forbidden', 'The tenant is not active.')
      throw new Problem('forbidden', 'The account is not active.')
    },
  }
}
