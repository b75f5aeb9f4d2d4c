/** The value below which `share` (0 to 1) of the samples lie, by the nearest-rank method; 0 without samples. Sorts a copy. */
export function percentile(samples: ArrayLike<number>, share: number): number {
  if (samples.length === 0) return 0
  const sorted = Float64Array.from(samples as number[]).sort()
  const rank = Math.ceil(share * sorted.length)
  return sorted[Math.min(sorted.length, Math.max(1, rank)) - 1] ?? 0
}
