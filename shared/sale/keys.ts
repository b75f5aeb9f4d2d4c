import type { BucketRef } from './types.ts'

/** The keys of one bucket share a hash tag, so that a script works on them in a cluster. */
export type BucketKeys = { sale: string; buyers: string; outbox: string; transfers: string; received: string }

/** Set of `tenant:activity:buckets`. It is in another slot than the buckets. */
export const registryKey = 'seckill:sales'

export function bucketKeys(bucket: BucketRef): BucketKeys {
  const prefix = `seckill:{${bucket.tenantId}:${bucket.activityId}:${bucket.bucket}}:`
  return {
    sale: `${prefix}sale`,
    buyers: `${prefix}buyers`,
    outbox: `${prefix}outbox`,
    transfers: `${prefix}transfers`,
    received: `${prefix}received`,
  }
}
