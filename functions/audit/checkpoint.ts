/**
 * Signs what the end of each chain is, and sends it away from the database. What has grown since the last checkpoint is verified
 * first: nothing that is broken is vouched for.
 */
import type { Database } from '@stampede/shared/database/connect.ts'
import type { TenantDatabase } from '@stampede/shared/database/sessions.ts'
import type { Checkpoint, Macs } from './macs.ts'
import { findHead, lastCheckpoint, lastSequence, readCheckpoints, readRecords } from './store.ts'
import { verifyChain, type ChainSource, type Verification } from './verify.ts'

export function chainOf(tenant: TenantDatabase): ChainSource {
  return {
    tenantId: tenant.tenantId,
    head: () => findHead(tenant),
    records: (after, limit) => readRecords(tenant, after, limit),
    lastSequence: () => lastSequence(tenant),
    checkpoints: (least, most) => readCheckpoints(tenant, least, most),
  }
}

/** Records that one checkpoint covers, at most; the next one goes on. */
const maximumRecords = 20_000

export type CheckpointOutcome = { checkpoint: Checkpoint | undefined; verification: Verification }

/** The next checkpoint of a chain, not saved yet. None when the chain has not grown, or is broken. */
export async function makeCheckpoint(
  database: Pick<Database, 'forTenant'>,
  tenantId: string,
  effects: { macs: Macs; now: () => number },
): Promise<CheckpointOutcome> {
  const tenant = database.forTenant(tenantId)
  const last = await lastCheckpoint(tenant)
  const verification = await verifyChain(chainOf(tenant), effects.macs, {
    // The record of the last checkpoint is read again: it must still be the one that was signed.
    fromSequence: last?.sequence ?? 1,
    maximumRecords,
  })
  const sequence = verification.throughSequence
  if (!verification.ok || sequence === 0 || sequence === last?.sequence) return { checkpoint: undefined, verification }
  const [record] = await readRecords(tenant, sequence - 1, 1)
  if (record?.sequence !== sequence) throw new Error(`record ${sequence} of ${tenantId} went away while it was read`)
  const end = { tenantId, sequence, hash: record.hash, at: new Date(effects.now()).toISOString() }
  return { checkpoint: { ...end, ...effects.macs.signCheckpoint(end) }, verification }
}
