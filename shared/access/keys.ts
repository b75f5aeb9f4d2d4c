/**
 * Where the access directory is in Redis. One hash tag over all of it: a change is one step for the tenant's hash and for the
 * stream, in a cluster too. The directory is small and is read from memory, so one node carries it.
 */
export const accessKeys = {
  /** Hash: `tenant` and `roles` as JSON, `tenantVersion`, `rolesVersion`. */
  tenant: (tenantId: string) => `{access}:tenant:${tenantId}`,
  /** Hash: `userId:fact` → `ms value`, see `facts.ts`. */
  corrections: (tenantId: string) => `{access}:corrections:${tenantId}`,
  /** Sorted set: fields of `corrections` by when they end. */
  ends: (tenantId: string) => `{access}:correction-ends:${tenantId}`,
  /** Stream of the changes: `sequence`, `kind`, `tenant`, `data`. */
  changes: '{access}:changes',
  sequence: '{access}:sequence',
  /** Exists when every tenant has been written. */
  complete: '{access}:complete',
} as const
