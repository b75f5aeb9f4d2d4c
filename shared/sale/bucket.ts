/**
 * The bucket of a buyer: FNV-1a of the user id with a final mix. Part of the protocol: every process must find the same bucket
 * for the same buyer for as long as the sale exists.
 */
export function bucketOf(userId: string, buckets: number): number {
  if (buckets === 1) return 0
  let hash = 0x811c9dc5
  for (let i = 0; i < userId.length; i++) hash = Math.imul(hash ^ userId.charCodeAt(i), 0x01000193)
  // FNV's low bits alone are uneven for ids that differ in the last digit.
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  return (hash >>> 0) % buckets
}
