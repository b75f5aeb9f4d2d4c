/** Token buckets as the gateway sees them: their terms, and what this process knows of each without asking. */
import type { LimitKind } from '../document.ts'

/** A limit of the configuration, made ready. */
export type BucketLimit = {
  name: string
  by: LimitKind
  /** Tokens of a full bucket. */
  burst: number
  intervalMicros: number
  onOutage: 'local' | 'open' | 'closed'
  /** Of the header `RateLimit-Policy`. */
  policy: string
}

export type LimitTerms = { name: string; by: LimitKind; rate: number; burst: number; onOutage: BucketLimit['onOutage'] }

export function bucketLimit({ name, by, rate, burst, onOutage }: LimitTerms): BucketLimit {
  const windowSeconds = Math.max(1, Math.ceil(burst / rate))
  return {
    name,
    by,
    burst,
    intervalMicros: 1_000_000 / rate,
    onOutage,
    policy: `"${name}";q=${burst};w=${windowSeconds}`,
  }
}

/** One bucket in this process. Times are of the process' monotonic clock, in microseconds. */
export type Bucket = {
  key: string
  limit: BucketLimit
  /** Redis said that there is no token before this. Others can only have taken more since, so nobody needs to ask. */
  emptyUntilMicros: number
  /** When the bucket is full again, as far as is known here; what counts while Redis does not answer. */
  fullAtMicros: number
}

export const newBucket = (key: string, limit: BucketLimit): Bucket => ({
  key,
  limit,
  emptyUntilMicros: 0,
  fullAtMicros: 0,
})

/** Takes a token in this process alone. 0, or the microseconds until there is one. */
export function takeLocally(bucket: Bucket, nowMicros: number): number {
  const waitMicros = localWait(bucket, nowMicros)
  if (waitMicros > 0) return waitMicros
  bucket.fullAtMicros = Math.max(bucket.fullAtMicros, nowMicros) + bucket.limit.intervalMicros
  return 0
}

/** What `takeLocally` would say. */
export function localWait({ limit, fullAtMicros }: Bucket, nowMicros: number): number {
  const depth = limit.intervalMicros * limit.burst
  const next = Math.max(fullAtMicros, nowMicros) + limit.intervalMicros
  return next > nowMicros + depth + 0.01 ? next - nowMicros - depth : 0
}

/** Tokens that are left, as far as is known here. */
export function tokensLeft({ limit, fullAtMicros }: Bucket, nowMicros: number): number {
  const missing = Math.max(0, fullAtMicros - nowMicros) / limit.intervalMicros
  return Math.max(0, Math.floor(limit.burst - missing + 1e-6))
}
