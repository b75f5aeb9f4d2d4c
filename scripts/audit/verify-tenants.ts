/** Verifies tenant after tenant, in order of their ids. Memory is that of one page of records. */
import { connectDatabase } from '@stampede/shared/database/connect.ts'
import { chainOf } from '../../functions/audit/checkpoint.ts'
import type { Checkpoint, Macs } from '../../functions/audit/macs.ts'
import { chainTenants } from '../../functions/audit/store.ts'
import { verifyChain, type Verification } from '../../functions/audit/verify.ts'

export type VerifyTenantsOptions = {
  databaseUrl: string
  macs: Macs
  /** Empty: all that have records, and all that `outside` knows. */
  tenants: readonly string[]
  outside: ReadonlyMap<string, readonly Checkpoint[]>
  defer: (undo: () => Promise<void>) => void
}

const page = 200

export async function* verifyTenants(options: VerifyTenantsOptions): AsyncGenerator<Verification> {
  const { databaseUrl, macs, outside } = options
  const database = connectDatabase(databaseUrl, { poolSize: 2 })
  options.defer(() => database.close())
  const verify = (tenantId: string) =>
    verifyChain(chainOf(database.forTenant(tenantId)), macs, { outside: outside.get(tenantId) ?? [] })
  if (options.tenants.length > 0) {
    for (const tenantId of options.tenants) yield await verify(tenantId)
    return
  }
  const seen = new Set<string>()
  for (let after = ''; ;) {
    const tenantIds = await chainTenants(database.forPlatform(), after, page)
    for (const tenantId of tenantIds) {
      if (outside.has(tenantId)) seen.add(tenantId)
      yield await verify(tenantId)
    }
    const last = tenantIds.at(-1)
    if (last === undefined || tenantIds.length < page) break
    after = last
  }
  // A tenant of which nothing is left.
  for (const tenantId of outside.keys()) if (!seen.has(tenantId)) yield await verify(tenantId)
}
