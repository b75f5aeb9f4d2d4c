import { Problem } from '../http/problem.ts'
import type { AccessChecker } from './types.ts'

/**
 * Before staff create something: throws Problem `quota-exceeded` when the tenant has more rows than its quota allows, as `tenant`
 * counted last. What buyers do and what a sale that runs needs does not ask.
 */
export async function mustHaveRoom(access: AccessChecker, tenantId: string): Promise<void> {
  const { storageExceeded } = await access.load(tenantId)
  if (!storageExceeded) return
  throw new Problem('quota-exceeded', 'The tenant has as many rows as its quota allows; nothing new can be created.', {
    retryable: false,
  })
}
