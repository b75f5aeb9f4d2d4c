/**
 * Units move between buckets in two halves, because the buckets may be on two nodes: taken and written down at the donor, added once at the receiver. The
 * record at the donor is deleted when it is so old that the receiver cannot forget the units any more with its last second; the donor numbers
 * its transfers, so that after it forgot its own last second the receivers' higher numbers tell which transfers were lost.
 */
import type { Cluster, Redis } from 'ioredis'
import * as scripts from '@stampede/lua/generated/scripts.ts'
import { runScript } from '../redis/run-script.ts'
import { bucketKeys } from './keys.ts'
import type { BucketRef } from './types.ts'

/** How often to look again when units were on their way. */
const searchLimit = 3

export type BucketTransfers = {
  rebalance: (to: BucketRef, buckets: number, needed: number) => Promise<number>
  finish: (bucket: BucketRef) => Promise<number>
  /** Lines `sequence units` of all transfers that other buckets received from this one. */
  receivedFrom: (bucket: BucketRef) => Promise<string>
}

export function createBucketTransfers(redis: Redis | Cluster, memoryMs: number): BucketTransfers {
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
    const [sequence = '', units = ''] = reply.split(' ')
    await add(to, from.bucket, sequence, units)
    return Number(units)
  }

  /** Adds what is written down here and not known there; calls back for each that was added now. */
  const finishEach = async (bucket: BucketRef, finished: (to: number, units: number) => void): Promise<void> => {
    const { transfers } = bucketKeys(bucket)
    for (const [sequence, record] of Object.entries(await redis.hgetall(transfers))) {
      const [to = '', units = ''] = record.split(':')
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

    receivedFrom: async (bucket) => {
      const buckets = Number((await redis.hget(bucketKeys(bucket).sale, 'buckets')) ?? 1)
      const all = await Promise.all(others(bucket, buckets).map((other) => redis.hgetall(bucketKeys(other).received)))
      const prefix = `${bucket.bucket}:`
      return all
        .flatMap((received) => Object.entries(received))
        .filter(([transfer]) => transfer.startsWith(prefix))
        .map(([transfer, units]) => `${transfer.slice(prefix.length)} ${units}`)
        .join('\n')
    },
  }
}
