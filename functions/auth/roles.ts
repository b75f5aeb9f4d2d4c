/** The roles of a user or client, as `permission` says. */
import { z } from 'zod'
import type { ServiceClient } from '@stampede/shared/http/client.ts'
import { Problem } from '@stampede/shared/http/problem.ts'

const assignment = z.object({ userId: z.string(), roles: z.array(z.string().max(64)).max(32) })

/** Throws Problem `dependency-unavailable` for anything but an answer: a token without the roles somebody has would look right. */
export function createRoles(permission: ServiceClient) {
  return async (tenantId: string, userId: string): Promise<readonly string[]> => {
    try {
      return (await permission.get(`/api/v1/role-assignments/${userId}`, tenantId, assignment)).roles
    } catch (error) {
      if (error instanceof Problem && error.status === 503) throw error
      throw new Problem('dependency-unavailable', 'The roles cannot be known at the moment.', {
        cause: error,
        retryAfterSeconds: 1,
      })
    }
  }
}
