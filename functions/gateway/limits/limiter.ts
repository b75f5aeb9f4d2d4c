/**
 * Rate limits that are exact over all gateways: the buckets are in Redis, and the requests that arrive in the same turn of the event loop
 * are decided by one script call, each against all of its buckets. What surely has no token is refused without asking. When Redis
 * does not answer, the policy of each limit decides.
 */
/* eslint-disable promise/always-return, promise/no-callback-in-promise -- both outcomes end in decisions; a chain would cost the hot path promises */
import type { Cluster, Redis } from 'ioredis'
import { LRUCache } from 'lru-cache'
import { takeTokens } from '@stampede/lua/generated/scripts.ts'
import { runScript } from '@stampede/shared/redis/run-script.ts'
import { localWait, newBucket, takeLocally, type Bucket, type BucketLimit } from './bucket.ts'

export type LimitDecision =
  | { kind: 'admitted' }
  /** `bucket` had no token. `where`: who knew it. */
  | { kind: 'limited'; bucket: Bucket; waitMicros: number; where: 'memory' | 'redis' | 'outage' }
  /** Redis does not answer and the limit is closed then. */
  | { kind: 'unavailable'; bucket: Bucket }
  | { kind: 'overloaded' }

export type Limiter = {
  bucketOf(limit: BucketLimit, party: string): Bucket
  /** The first bucket that surely has no token, without asking anybody. */
  surelyLimited(buckets: readonly Bucket[]): LimitDecision | undefined
  /** Calls back once, perhaps before it returns. */
  take(buckets: readonly Bucket[], decided: (decision: LimitDecision) => void): void
  /** Requests that wait for Redis. */
  pending(): number
  /** Is Redis being left alone because it did not answer? */
  isOut(): boolean
  stop(): void
}

export type LimiterOptions = {
  redis: Redis | Cluster
  batch: number
  callsInFlight: number
  queue: number
  /** Buckets remembered here. */
  memory: number
  /** After a failure Redis is left alone for this long. */
  restMs?: number
  nowMicros?: () => number
  failed?: (error: unknown) => void
  called?: (requests: number) => void
}

type Waiting = { buckets: readonly Bucket[]; decided: (decision: LimitDecision) => void }

/** All buckets are in one slot of a cluster: a request is decided in one step against all of its own. */
const prefix = 'gateway:{limits}:'
const admitted: LimitDecision = { kind: 'admitted' }

export function createLimiter(options: LimiterOptions): Limiter {
  const { redis, batch, callsInFlight, queue, restMs = 1_000 } = options
  const nowMicros = options.nowMicros ?? (() => performance.now() * 1_000)
  const buckets = new LRUCache<string, Bucket>({ max: options.memory })
  let waiting: Waiting[] = []
  let inFlight = 0
  let marked = false
  let outUntilMicros = 0

  const surelyLimited = (needed: readonly Bucket[]): LimitDecision | undefined => {
    const now = nowMicros()
    for (const bucket of needed) {
      if (bucket.emptyUntilMicros > now) {
        return { kind: 'limited', bucket, waitMicros: bucket.emptyUntilMicros - now, where: 'memory' }
      }
    }
    return undefined
  }

  const decideByPolicy = (needed: readonly Bucket[]): LimitDecision => {
    const now = nowMicros()
    for (const bucket of needed) {
      if (bucket.limit.onOutage === 'closed') return { kind: 'unavailable', bucket }
      const waitMicros = bucket.limit.onOutage === 'local' ? localWait(bucket, now) : 0
      if (waitMicros > 0) return { kind: 'limited', bucket, waitMicros, where: 'outage' }
    }
    for (const bucket of needed) if (bucket.limit.onOutage === 'local') takeLocally(bucket, now)
    return admitted
  }

  const flush = (): void => {
    marked = false
    // oxlint-disable-next-line eslint/no-unmodified-loop-condition -- `call` counts
    while (waiting.length > 0 && inFlight < callsInFlight) {
      if (waiting.length <= batch) {
        const all = waiting
        waiting = []
        call(all)
      } else call(waiting.splice(0, batch))
    }
  }

  const call = (requests: Waiting[]): void => {
    const { keys, terms, lines, distinct } = pack(requests)
    inFlight++
    options.called?.(requests.length)
    // Redis decides later than this: what is reckoned from here never refuses a token that is there.
    const sentMicros = nowMicros()
    runScript(redis, takeTokens, [...keys, terms, lines], keys.length)
      .then((reply) => {
        inFlight--
        settle(requests, distinct, String(reply), sentMicros)
      })
      .catch((error: unknown) => {
        inFlight--
        outUntilMicros = nowMicros() + restMs * 1_000
        options.failed?.(error)
        for (const request of requests) request.decided(decideByPolicy(request.buckets))
      })
      .finally(flush)
  }

  const settle = (requests: Waiting[], distinct: Bucket[], reply: string, sentMicros: number): void => {
    const [redisNow, fullAt, verdicts] = reply.split('\n')
    const offset = sentMicros - Number(redisNow)
    for (const [index, at] of fullAt!.split(' ').entries()) distinct[index]!.fullAtMicros = Number(at) + offset
    for (const [index, verdict] of verdicts!.split(' ').entries()) {
      const { decided } = requests[index]!
      if (verdict === '0') {
        decided(admitted)
        continue
      }
      const bucket = distinct[Number(verdict) - 1]!
      const waitMicros = Math.max(1, localWait(bucket, sentMicros))
      bucket.emptyUntilMicros = sentMicros + waitMicros
      decided({ kind: 'limited', bucket, waitMicros, where: 'redis' })
    }
  }

  return {
    surelyLimited,
    bucketOf(limit, party) {
      const key = `${prefix}${limit.name}:${party}`
      const known = buckets.get(key)
      if (known !== undefined) {
        // The configuration changed: what is known of the bucket stays, its terms do not.
        if (known.limit !== limit) {
          known.limit = limit
          known.emptyUntilMicros = 0
        }
        return known
      }
      const bucket = newBucket(key, limit)
      buckets.set(key, bucket)
      return bucket
    },
    take(needed, decided) {
      if (needed.length === 0) return decided(admitted)
      const limited = surelyLimited(needed)
      if (limited !== undefined) return decided(limited)
      if (outUntilMicros > 0) {
        if (nowMicros() < outUntilMicros) return decided(decideByPolicy(needed))
        outUntilMicros = 0
      }
      if (waiting.length >= queue) return decided({ kind: 'overloaded' })
      waiting.push({ buckets: needed, decided })
      if (marked) return
      marked = true
      setImmediate(flush)
    },
    pending: () => waiting.length,
    isOut: () => outUntilMicros > nowMicros(),
    stop: () => redis.disconnect(),
  }
}

function pack(requests: readonly Waiting[]) {
  const numbers = new Map<Bucket, number>()
  const distinct: Bucket[] = []
  const keys: string[] = []
  let terms = ''
  let lines = ''
  for (const { buckets } of requests) {
    let line = ''
    for (const bucket of buckets) {
      let number = numbers.get(bucket)
      if (number === undefined) {
        number = distinct.push(bucket)
        numbers.set(bucket, number)
        keys.push(bucket.key)
        terms += `${bucket.limit.intervalMicros} ${bucket.limit.burst}\n`
      }
      line += line === '' ? number : ` ${number}`
    }
    lines += `${line}\n`
  }
  return { keys, terms, lines, distinct }
}
