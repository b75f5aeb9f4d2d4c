/** The one Redis that all processes share: warmed up before the sale, restarted with losses, and looked at after each write. */
import type { Redis } from 'ioredis'
import * as scripts from '../../lua/generated/scripts.ts'
import { bucketKeys, registryKey } from '../../shared/sale/keys.ts'
import type { BucketRef, BuyerEntry, SaleDefinition } from '../../shared/sale/types.ts'
import { viewBucket, type BucketView } from './invariants.ts'
import { Violation, type Ledger } from './ledger.ts'
import type { Random } from './random.ts'
import { createRedisClient } from './redis/client.ts'
import type { SimulatedRedis } from './redis/redis.ts'
import type { Actor, Fault, Scheduler } from './scheduler.ts'

/** Scripts by the name that the generated module gives them. */
export const scriptsByName = new Map(Object.entries(scripts).map(([name, script]) => [name, script]))
const nameOfSha = new Map([...scriptsByName].map(([name, script]) => [script.sha1, name]))
/** Scripts that read only. */
const readOnly = new Set(['snapshot', 'confirm'])

export function createSharedRedis(options: {
  redis: SimulatedRedis
  scheduler: Scheduler
  /** For what a restart loses. */
  random: Random
  sale: SaleDefinition
  buckets: readonly BucketRef[]
  /** Milliseconds of the tail that a restart may lose. */
  lossMs: number
  ledger: Ledger
  fault: () => Fault
  /** Called after each write with what Redis holds; throws when a guarantee broke. */
  written: (views: readonly BucketView[], command: string) => void
  /** Called when a bucket sells again that did not; throws when a guarantee broke. */
  opened: (bucket: number) => void
  note: ((text: string) => void) | undefined
}) {
  const { redis, scheduler, random, sale, buckets, lossMs, ledger, fault, note } = options
  const prefixes = buckets.map((bucket) => bucketKeys(bucket).sale.slice(0, -'sale'.length))
  const parsed = new Map<string, BuyerEntry[]>()
  const soldBefore: boolean[] = buckets.map(() => true)
  const leftBefore: number[] = buckets.map(() => Infinity)
  let runId = ''

  const views = (): BucketView[] => prefixes.map((prefix) => viewBucket(redis.bucket(prefix), parsed, runId))

  /** What the donors have written down, `donor:number`. */
  const transfersOf = (seen: readonly BucketView[]): string[] =>
    seen.flatMap((view, donor) => Object.keys(view.dump.transfers).map((sequence) => `${donor}:${sequence}`))

  const look = (command: string): void =>
    scheduler.guard(() => {
      const seen = views()
      for (const transfer of transfersOf(seen)) ledger.vanishedTransfers.delete(transfer)
      options.written(seen, command)
      for (const [bucket, view] of seen.entries()) {
        if (command === 'purchase' && view.left < 0 && view.left < leftBefore[bucket]!) {
          throw new Violation('SK1', `a purchase took the stock of bucket ${bucket} to ${view.left}`)
        }
        const sells = view.whole && view.dump.sale['state'] === 'open'
        if (sells && !soldBefore[bucket]) options.opened(bucket)
        soldBefore[bucket] = sells
        leftBefore[bucket] = view.left
      }
    })

  const newRunId = (): string => {
    const parts = Array.from({ length: 4 }, () =>
      random
        .below(2 ** 32)
        .toString(16)
        .padStart(8, '0'),
    )
    runId = parts.join('')
    return runId
  }

  return {
    views,
    /** The connection of one process. */
    client: (actor: Actor): Redis =>
      createRedisClient({
        actor,
        scheduler,
        redis,
        fault,
        scriptName: note && ((sha) => nameOfSha.get(sha) ?? 'script'),
        applied: (name, parameters) => {
          if (name === 'evalsha') {
            const script = nameOfSha.get(String(parameters[0])) ?? 'script'
            if (script === 'release') ledger.state.releases++
            if (!readOnly.has(script)) look(script)
          } else if (name === 'eval' || name === 'xdel' || name === 'xadd') look(name)
        },
      }),

    /** An empty Redis, and in it the sale, as `inventory` warms it up; nothing can be bought before it is done. */
    begin: (): void => {
      redis.reset(newRunId())
      for (const script of scriptsByName.values()) redis.load(script.code, script.name)
      const nowMs = scheduler.now()
      redis.command(nowMs, 'SADD', [registryKey, `${sale.tenantId}:${sale.activityId}:${sale.buckets}`])
      for (const [bucket, ref] of buckets.entries()) {
        const total = Math.floor(sale.stock / sale.buckets) + (bucket < sale.stock % sale.buckets ? 1 : 0)
        redis.command(nowMs, 'EVALSHA', [
          scripts.warmUp.sha1,
          1,
          bucketKeys(ref).sale,
          total,
          total,
          sale.perUserLimit,
          sale.startsAtMs,
          sale.endsAtMs,
          sale.buckets,
          'open',
        ])
      }
    },

    /** Another Redis process, without some of the last commands; the ledger hears what it has forgotten. */
    restart: (): void => {
      const before = views()
      const lost = redis.restart(newRunId(), lossMs === 0 ? 0 : random.below(40), scheduler.now() - lossMs)
      const after = views()
      const forgotten = before.flatMap(({ live }, bucket) =>
        live
          .filter((entry) => !after[bucket]!.live.some((other) => other.orderNumber === entry.orderNumber))
          .map((entry) => entry.orderNumber),
      )
      note?.(`redis restarts, has lost ${lost} commands and the purchases [${forgotten.join(' ')}]`)
      ledger.state.redisRestarts++
      if (lost > 0) ledger.state.redisLosses++
      ledger.forgotten(forgotten)
      const known = new Set(transfersOf(after))
      for (const transfer of transfersOf(before)) if (!known.has(transfer)) ledger.vanishedTransfers.add(transfer)
      look('restart')
    },
  }
}
