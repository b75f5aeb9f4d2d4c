/** The outbox of a bucket: a stream with the consumer group `relay`. */
import type { Cluster, Redis } from 'ioredis'
import * as scripts from '@stampede/lua/generated/scripts.ts'
import { runScript } from '../redis/run-script.ts'
import { bucketKeys } from './keys.ts'
import { parseOutboxEntry } from './packing.ts'
import type { OutboxEntry, SaleStore } from './types.ts'

const group = 'relay'
/** The script takes no more at once. */
const maximumAcknowledged = 1_000
/** An entry is an id and its fields; a deleted one that was still pending may come as null. */
type RawEntry = [id: string, fields: string[] | null] | null

export type OutboxStream = {
  read: SaleStore['readOutbox']
  claim: SaleStore['claimOutbox']
  acknowledge: SaleStore['acknowledgeOutbox']
}

export function createOutboxStream(redis: Redis | Cluster): OutboxStream {
  return {
    read: (bucket, consumer, count) => {
      const { sale, outbox } = bucketKeys(bucket)
      return withGroup(redis, sale, outbox, async () => {
        const reply = (await redis.xreadgroup('GROUP', group, consumer, 'COUNT', count, 'STREAMS', outbox, '>')) as
          [key: string, entries: RawEntry[]][] | null
        return parseEntries(reply?.[0]?.[1] ?? [])
      })
    },

    claim: (bucket, consumer, idleMs, count) => {
      const { sale, outbox } = bucketKeys(bucket)
      return withGroup(redis, sale, outbox, async () => {
        const claimed: OutboxEntry[] = []
        let cursor = '0-0'
        do {
          const wanted = count - claimed.length
          const [next, entries] = (await redis.xautoclaim(
            outbox,
            group,
            consumer,
            idleMs,
            cursor,
            'COUNT',
            wanted,
          )) as [string, RawEntry[]]
          claimed.push(...parseEntries(entries))
          cursor = next
          // Each call goes forward in the list of pending entries, so this ends.
        } while (cursor !== '0-0' && claimed.length < count)
        return claimed
      })
    },

    acknowledge: async (bucket, ids) => {
      if (ids.length === 0) return
      const { outbox } = bucketKeys(bucket)
      for (let from = 0; from < ids.length; from += maximumAcknowledged) {
        const some = ids.slice(from, from + maximumAcknowledged)
        await runScript(redis, scripts.acknowledgeOutbox, [outbox, group, some.join(' '), some.length])
      }
    },
  }
}

function parseEntries(entries: RawEntry[]): OutboxEntry[] {
  return entries.flatMap((entry) => (entry?.[1] ? (parseOutboxEntry(entry[0], entry[1]) ?? []) : []))
}

/** Creates the consumer group when it is missing; not for a sale that does not exist, that would leave a stream behind. */
async function withGroup(
  redis: Redis | Cluster,
  saleKey: string,
  outboxKey: string,
  work: () => Promise<OutboxEntry[]>,
): Promise<OutboxEntry[]> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOGROUP')) throw error
    if ((await redis.exists(saleKey)) === 0) return []
    await redis.xgroup('CREATE', outboxKey, group, '0', 'MKSTREAM').catch((reason: unknown) => {
      if (!(reason instanceof Error) || !reason.message.startsWith('BUSYGROUP')) throw reason
    })
    return await work()
  }
}
