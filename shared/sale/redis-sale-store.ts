/**
 * The sale in Redis: `SaleStore` over the scripts in `lua/`. Works on one server, behind Sentinel and on a Cluster.
 * Every method may reject with the error of the connection; what a rejected call did is not known, and all can be repeated.
 */
import type { Cluster, Redis } from 'ioredis'
import * as scripts from '@stampede/lua/generated/scripts.ts'
import { runScript } from '../redis/run-script.ts'
import { parseBuyerEntries } from './buyer-entries.ts'
import { createBucketTransfers, type TransferObserver } from './bucket-transfers.ts'
import { bucketKeys, registryKey } from './keys.ts'
import { createOutboxStream } from './outbox-stream.ts'
import { maximumBatch, packOperations, packOrders, packPurchases, parseVerdicts } from './packing.ts'
import { parseSnapshot } from './snapshot.ts'
import type { BucketRef, SaleDefinition, SaleStore } from './types.ts'

const maximumBuckets = 64

export type SaleStoreOptions = {
  /** A transfer between buckets is remembered for at least this long, because Redis may forget its last second. Default 10,000. */
  transferMemoryMs?: number
  /** Told of every transfer that this store begins or finishes, before its second half. Default: nobody. */
  transferred?: TransferObserver
}

export function createSaleStore(redis: Redis | Cluster, options: SaleStoreOptions = {}): SaleStore {
  const transfers = createBucketTransfers(redis, options.transferMemoryMs ?? 10_000, options.transferred ?? (() => {}))
  const outbox = createOutboxStream(redis)

  /** Runs a script over many lines in chunks of the size it takes and adds up what it counts. */
  const inChunks = async <Item>(items: readonly Item[], run: (chunk: readonly Item[]) => Promise<number>) => {
    let sum = 0
    for (let from = 0; from < items.length; from += maximumBatch) {
      sum += await run(items.length <= maximumBatch ? items : items.slice(from, from + maximumBatch))
    }
    return sum
  }

  return {
    warmUp: async (sale, { state = 'open', left = sale.stock } = {}) => {
      assertDefinition(sale, left)
      const { tenantId, activityId, buckets } = sale
      // First, so that no bucket exists that the relay does not know of.
      await redis.sadd(registryKey, `${tenantId}:${activityId}:${buckets}`)
      const created = await Promise.all(
        splitEvenly(sale.stock, left, buckets).map((part, bucket) =>
          runScript(redis, scripts.warmUp, [
            bucketKeys({ tenantId, activityId, bucket }).sale,
            part.total,
            part.left,
            sale.perUserLimit,
            sale.startsAtMs,
            sale.endsAtMs,
            buckets,
            state,
          ]),
        ),
      )
      return created.includes(1) ? 'created' : 'exists'
    },

    listSales: async () => {
      const members = await redis.smembers(registryKey)
      return members.map((member) => {
        const [tenantId = '', activityId = '', buckets = ''] = member.split(':')
        return { tenantId, activityId, buckets: Number(buckets) }
      })
    },

    purchase: async (bucket, purchases) => {
      if (purchases.length === 0) return { verdicts: [], left: undefined }
      const { sale, buyers, outbox: stream } = bucketKeys(bucket)
      const packed = packPurchases(purchases)
      const reply = await runScript(redis, scripts.purchase, [sale, buyers, stream, packed, purchases.length])
      return parseVerdicts(reply as string, purchases)
    },

    release: (bucket, orders) => {
      const { sale, buyers } = bucketKeys(bucket)
      return inChunks(orders, async (chunk) =>
        counted(await runScript(redis, scripts.release, [sale, buyers, packOrders(chunk), chunk.length])),
      )
    },

    confirm: (bucket, orders) => {
      const { sale, buyers } = bucketKeys(bucket)
      return inChunks(orders, async (chunk) =>
        counted(await runScript(redis, scripts.confirm, [sale, buyers, packOrders(chunk), chunk.length])),
      )
    },

    setState: async (bucket, state, { rebuilt = false } = {}) =>
      (await runScript(redis, scripts.setState, [bucketKeys(bucket).sale, state, rebuilt ? '1' : '0'])) === 1,

    snapshot: async (bucket) => {
      const { sale, outbox: stream } = bucketKeys(bucket)
      return parseSnapshot((await runScript(redis, scripts.snapshot, [sale, stream])) as string)
    },

    buyers: async (bucket, userIds) => {
      if (userIds.length === 0) return []
      const values = await redis.hmget(bucketKeys(bucket).buyers, ...userIds)
      return values.map(parseBuyerEntries)
    },

    scanBuyers: async (bucket, cursor, count) => {
      const [next, fields] = await redis.hscan(bucketKeys(bucket).buyers, cursor, 'COUNT', count)
      const buyers = []
      for (let i = 0; i + 1 < fields.length; i += 2) {
        buyers.push({ userId: fields[i]!, entries: parseBuyerEntries(fields[i + 1]) })
      }
      return { cursor: next, buyers }
    },

    restore: (bucket, operations, { resend = true } = {}) => {
      const { sale, buyers, outbox: stream } = bucketKeys(bucket)
      return inChunks(operations, async (chunk) =>
        counted(
          await runScript(redis, scripts.restore, [
            sale,
            buyers,
            stream,
            packOperations(chunk),
            chunk.length,
            resend ? '1' : '0',
          ]),
        ),
      )
    },

    resend: (bucket, orders) => {
      const { sale, buyers, outbox: stream } = bucketKeys(bucket)
      return inChunks(orders, async (chunk) =>
        counted(await runScript(redis, scripts.resend, [sale, buyers, stream, packOrders(chunk), chunk.length])),
      )
    },

    recover: async (bucket, graceMs) => {
      const { sale, transfers: written } = bucketKeys(bucket)
      const state = await runScript(redis, scripts.recover, [sale, written, graceMs, '0', ''])
      if (state !== 2) return state === 1
      const lost = await transfers.receivedFrom(bucket)
      return (await runScript(redis, scripts.recover, [sale, written, graceMs, '1', lost])) === 1
    },

    readOutbox: outbox.read,
    claimOutbox: outbox.claim,
    acknowledgeOutbox: outbox.acknowledge,
    rebalance: transfers.rebalance,
    finishTransfers: transfers.finish,
    restoreTransfers: transfers.restore,

    lowerLeft: async (bucket, expectedLeft) =>
      counted(await runScript(redis, scripts.lowerLeft, [bucketKeys(bucket).sale, Math.trunc(expectedLeft)])),

    expire: async ({ tenantId, activityId, buckets }, ttlSeconds) => {
      const keys = bucketRefs(tenantId, activityId, buckets).flatMap((bucket) => Object.values(bucketKeys(bucket)))
      await Promise.all(keys.map((key) => redis.expire(key, ttlSeconds)))
      await redis.srem(registryKey, `${tenantId}:${activityId}:${buckets}`)
    },
  }
}

/** A script's count; -1 (no such sale) counts nothing. */
function counted(reply: unknown): number {
  const count = Number(reply)
  if (count === -2) throw new TypeError('the orders were malformed: check user ids and order numbers first')
  return Math.max(0, count)
}

function bucketRefs(tenantId: string, activityId: string, buckets: number): BucketRef[] {
  return Array.from({ length: buckets }, (_, bucket) => ({ tenantId, activityId, bucket }))
}

/** Differs by one unit at most between buckets. */
function splitEvenly(stock: number, left: number, buckets: number): { total: number; left: number }[] {
  const share = (units: number, bucket: number) => Math.floor(units / buckets) + (bucket < units % buckets ? 1 : 0)
  return Array.from({ length: buckets }, (_, bucket) => ({ total: share(stock, bucket), left: share(left, bucket) }))
}

function assertDefinition(sale: SaleDefinition, left: number): void {
  const isCount = (value: number, minimum: number) => Number.isSafeInteger(value) && value >= minimum
  if (!isCount(sale.stock, 0)) throw new RangeError('stock must be an integer, 0 at least')
  if (!isCount(left, 0) || left > sale.stock) throw new RangeError('left must be an integer from 0 to stock')
  if (!isCount(sale.perUserLimit, 1)) throw new RangeError('perUserLimit must be an integer, 1 at least')
  if (!isCount(sale.buckets, 1) || sale.buckets > maximumBuckets) {
    throw new RangeError(`buckets must be an integer from 1 to ${maximumBuckets}`)
  }
  if (!isCount(sale.startsAtMs, 0) || !isCount(sale.endsAtMs, 0)) {
    throw new RangeError('startsAtMs and endsAtMs must be integers, milliseconds since the epoch')
  }
}
