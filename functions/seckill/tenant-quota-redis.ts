/** Quotas of tenants in Redis: who takes part, and what of a day is leased. One script call each. */
import type { Cluster, Redis } from 'ioredis'
import { joinQuota, leaseQuota } from '@stampede/lua/generated/scripts.ts'
import { runScript } from '@stampede/shared/redis/run-script.ts'
import type { LeaseCall } from './tenant-quota-lease.ts'
import { leaseKey } from './tenant-quota-lease.ts'

export type QuotaStore = ReturnType<typeof createQuotaStore>

export const processesKey = 'quota:processes'
/** A day, and a night to look at it. */
const leaseTtlMs = 2 * 86_400_000

/** `process`: unique for each start. */
export function createQuotaStore(redis: Redis | Cluster, process: string, aliveMs: number) {
  return {
    async join(): Promise<{ processes: number; redisNowMs: number; run: string }> {
      const reply = (await runScript(redis, joinQuota, [processesKey, process, aliveMs])) as [number, number, string]
      return { processes: reply[0], redisNowMs: reply[1], run: reply[2] }
    },
    async leave(): Promise<void> {
      await runScript(redis, joinQuota, [processesKey, process, 0])
    },
    async lease(
      tenantId: string,
      day: string,
      { sequence, held, wanted }: LeaseCall,
      limit: number,
      processes: number,
    ) {
      const [leased, total, redisNowMs] = (await runScript(redis, leaseQuota, [
        leaseKey(tenantId, day),
        process,
        sequence,
        held,
        wanted,
        limit,
        processes,
        leaseTtlMs,
      ])) as number[]
      return { leased: leased!, total: total!, redisNowMs: redisNowMs! }
    },
  }
}
