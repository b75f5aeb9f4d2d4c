import { createAccessDirectory } from '@stampede/shared/access/directory.ts'

export const benchTenant = 'bench'

/** Writes a tenant into the access directory, where no function `tenant` runs to do it, or has not come to it yet. */
export async function admitTenant(
  redis: Parameters<typeof createAccessDirectory>[0],
  tenantId = benchTenant,
): Promise<void> {
  const directory = createAccessDirectory(redis)
  await directory.putTenant(tenantId, { state: 'active', quota: {}, version: 1 })
  await directory.markComplete()
}
