/**
 * Adds up what the pods of one revision counted. Every counter counts once, forwards only: one that fell back (its process began
 * anew) counts again from nothing, and what a pod had counted stays when it vanishes, so that errors cannot hide behind either.
 */
import type { Sample } from './prometheus.ts'

export type Figures = {
  requests: number
  /** Answers with a status of 500 or more. */
  errors: number
  /** Upper bound in ms → requests that took at most that long. */
  buckets: ReadonlyMap<number, number>
}

export class RequestCount {
  #requests = 0
  #errors = 0
  readonly #buckets = new Map<number, number>()
  readonly #seen = new Map<string, Sample>()

  /** @param pod its uid: another pod of the same name is another pod */
  add(pod: string, sample: Sample): void {
    const before = this.#seen.get(pod)
    const kept = new Map(before)
    for (const [key, series] of sample) {
      const last = before?.get(key)?.value ?? 0
      const growth = series.value >= last ? series.value - last : series.value
      if (series.kind === 'requests') this.#requests += growth
      else if (series.kind === 'errors') this.#errors += growth
      else if (series.kind === 'bucket')
        this.#buckets.set(series.upToMs, (this.#buckets.get(series.upToMs) ?? 0) + growth)
      kept.set(key, series)
    }
    // A series that is not there now begins at nothing when it comes back: its process began anew.
    for (const key of kept.keys()) if (!sample.has(key)) kept.delete(key)
    this.#seen.set(pod, kept)
  }

  totals(): Figures {
    return { requests: this.#requests, errors: this.#errors, buckets: new Map(this.#buckets) }
  }
}

export const nothing: Figures = { requests: 0, errors: 0, buckets: new Map() }

/** What came since a mark that `totals` gave. */
export function since(mark: Figures, now: Figures): Figures {
  return {
    requests: now.requests - mark.requests,
    errors: now.errors - mark.errors,
    buckets: new Map([...now.buckets].map(([upToMs, count]) => [upToMs, count - (mark.buckets.get(upToMs) ?? 0)])),
  }
}

/**
 * The time that a share of the requests stayed under, from the histogram: between two bounds a straight line is assumed, as
 * Prometheus' `histogram_quantile` does. Infinity when it lies above the last bound; undefined without requests.
 */
export function quantileMs(buckets: ReadonlyMap<number, number>, share: number): number | undefined {
  const sorted = [...buckets].sort(([one], [other]) => one - other)
  const total = sorted.at(-1)?.[1] ?? 0
  if (total <= 0) return undefined
  const rank = share * total
  let lowerMs = 0
  let below = 0
  for (const [upperMs, count] of sorted) {
    if (count >= rank) {
      if (upperMs === Infinity) return Infinity
      return count === below ? upperMs : lowerMs + ((upperMs - lowerMs) * (rank - below)) / (count - below)
    }
    lowerMs = upperMs
    below = count
  }
  return Infinity
}
