/**
 * Units move between buckets in two halves, because the buckets may be on two nodes: taken and written down at the donor, added once at the receiver. The
 * record at the donor is deleted when it is so old that the receiver cannot forget the units any more with its last second; the donor numbers
 * its transfers, so that after it forgot its own last second the receivers' numbers tell which transfers were lost. When the receiver has forgotten
 * its half as well, only the process that moved the units knows: it is told of every transfer before the second half, for its journal.
 */
import type { Cluster, Redis } from 'ioredis'
import * as scripts from '@stampede/lua/generated/scripts.ts'
import { runScript } from '../redis/run-script.ts'
import { bucketKeys } from './keys.ts'
import type { BucketRef, SaleStore, Transfer } from './types.ts'

/** How often to look again when units were on their way. */
const searchLimit = 3

export type BucketTransfers = {
  rebalance: (to: BucketRef, buckets: number, needed: number) => Promise<number>
  finish: (bucket: BucketRef) => Promise<number>
  restore: SaleStore['restoreTransfers']
  /** Lines `sequence toBucket units` of all transfers that other buckets received from this one. */
  receivedFrom: (bucket: BucketRef) => Promise<string>
}

/**
 * Told of a transfer that is written down at the donor, before its units can be sold by the receiver. `recoveries` of the donor, where
 * known.
 */
export type TransferObserver = (donor: BucketRef, transfer: Transfer, recoveries?: number) => void

export function createBucketTransfers(
  redis: Redis | Cluster,
  memoryMs: number,
  transferred: TransferObserver,
): BucketTransfers {
  const others = (bucket: BucketRef, buckets: number): BucketRef[] =>
    Array.from({ length: buckets }, (_, other) => ({ ...bucket, bucket: other })).filter(
      (other) => other.bucket !== bucket.bucket,
    )

  const add = async (to: BucketRef, from: number, sequence: string, units: string): Promise<boolean> => {
    const { sale, received } = bucketKeys(to)
    const reply = await runScript(redis, scripts.transferIn, [sale, received, `${from}:${sequence}`, units])
    // Without the receiving bucket the record must stay: the units would be gone.
    if (reply === -1) throw new Error(`bucket ${to.bucket} of ${to.activityId} does not exist`)
    return reply === 1
  }

  const move = async (from: BucketRef, to: BucketRef, needed: number): Promise<number> => {
    const { sale, transfers } = bucketKeys(from)
    const reply = (await runScript(redis, scripts.transferOut, [sale, transfers, to.bucket, needed])) as string
    if (reply === '0') return 0
    const [sequence = '', units = '', recoveries] = reply.split(' ')
    transferred(from, { from: from.bucket, to: to.bucket, sequence, units: Number(units) }, Number(recoveries))
    await add(to, from.bucket, sequence, units)
    return Number(units)
  }

  /** Adds what is written down here and not known there; calls back for each that was added now. */
  const finishEach = async (bucket: BucketRef, finished: (to: number, units: number) => void): Promise<void> => {
    const { transfers } = bucketKeys(bucket)
    for (const [sequence, record] of Object.entries(await redis.hgetall(transfers))) {
      const [to = '', units = ''] = record.split(':')
      // Who began it may be dead.
      transferred(bucket, { from: bucket.bucket, to: Number(to), sequence, units: Number(units) })
      if (await add({ ...bucket, bucket: Number(to) }, bucket.bucket, sequence, units))
        finished(Number(to), Number(units))
      await runScript(redis, scripts.transferDone, [transfers, sequence, memoryMs])
    }
  }

  return {
    rebalance: async (to, buckets, needed) => {
      const donors = others(to, buckets)
      let moved = 0
      for (let search = 1; search <= searchLimit && moved < needed; search++) {
        const lefts = await Promise.all(donors.map((donor) => redis.hget(bucketKeys(donor).sale, 'left')))
        const richestFirst = donors
          .map((donor, i) => ({ donor, left: Number(lefts[i] ?? 0) }))
          .filter(({ left }) => left > 0)
          .sort((a, b) => b.left - a.left)
        for (const { donor } of richestFirst) {
          if (moved >= needed) break
          moved += await move(donor, to, needed - moved)
        }
        if (moved > 0) break
        // Nobody has any, but some may be on their way: "sold out" must not be said for those.
        let finished = 0
        await Promise.all(
          [...donors, to].map((donor) =>
            finishEach(donor, (receiver, units) => {
              finished += units
              if (receiver === to.bucket) moved += units
            }),
          ),
        )
        if (finished === 0 && richestFirst.length === 0) break
      }
      return moved
    },

    finish: async (bucket) => {
      let count = 0
      await finishEach(bucket, () => count++)
      return count
    },

    restore: async (bucket, known) => {
      let restored = 0
      let complete = true
      for (const { from, to, sequence, units } of known) {
        const donor = { ...bucket, bucket: from }
        const { sale, transfers } = bucketKeys(donor)
        const taken = runScript(redis, scripts.restoreTransfer, [sale, transfers, sequence, to, units])
        if (from === bucket.bucket) {
          if ((await taken) === 1) restored++
          continue
        }
        // The donor's node may be away while this one sells.
        const reply = await taken.catch(() => -1)
        if (reply === -1) complete = false
        else if (await add(bucket, from, sequence, String(units))) restored++
      }
      return { restored, complete }
    },

    receivedFrom: async (bucket) => {
      const buckets = Number((await redis.hget(bucketKeys(bucket).sale, 'buckets')) ?? 1)
      const prefix = `${bucket.bucket}:`
      const linesOf = async (to: BucketRef) =>
        Object.entries(await redis.hgetall(bucketKeys(to).received))
          .filter(([transfer]) => transfer.startsWith(prefix))
          .map(([transfer, units]) => `${transfer.slice(prefix.length)} ${to.bucket} ${units}`)
      return (await Promise.all(others(bucket, buckets).map(linesOf))).flat().join('\n')
    },
  }
}
