/** `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): the bucket that is nearest to being empty. */
import { tokensLeft, type Bucket } from './bucket.ts'

/** Name and value by turns. */
export function limitHeaders(buckets: readonly Bucket[]): string[] {
  const nowMicros = performance.now() * 1_000
  let tightest = buckets[0]!
  let left = tokensLeft(tightest, nowMicros)
  for (const bucket of buckets) {
    const own = tokensLeft(bucket, nowMicros)
    if (own / bucket.limit.burst < left / tightest.limit.burst) {
      tightest = bucket
      left = own
    }
  }
  const seconds = Math.max(0, Math.ceil((tightest.fullAtMicros - nowMicros) / 1_000_000))
  return ['ratelimit-policy', tightest.limit.policy, 'ratelimit', `"${tightest.limit.name}";r=${left};t=${seconds}`]
}
