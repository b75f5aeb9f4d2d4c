import { createAccessDirectory } from '@stampede/shared/access/directory.ts'

export const benchTenant = 'bench'

/** Writes the tenant of the rows into the access directory, where no function `tenant` runs to do it. */
export async function admitTenant(redis: Parameters<typeof createAccessDirectory>[0]): Promise<void> {
  const directory = createAccessDirectory(redis)
  await directory.putTenant(benchTenant, { state: 'active', quota: {}, version: 1 })
  await directory.markComplete()
}
