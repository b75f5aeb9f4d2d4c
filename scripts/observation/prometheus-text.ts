/** The text format of Prometheus, as far as counters and histograms of queue-proxies and engines need it. */
export type MetricSample = { name: string; labels: Record<string, string>; value: number }

const linePattern = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$/
const labelPattern = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g

/** Samples of the metrics that `wanted` accepts. Lines that are no samples are left out. */
export function parseMetrics(text: string, wanted: (name: string) => boolean = () => true): MetricSample[] {
  const samples: MetricSample[] = []
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const [, name, labelText, valueText] = linePattern.exec(line.trim()) ?? []
    if (name === undefined || valueText === undefined || !wanted(name)) continue
    const labels: Record<string, string> = {}
    for (const [, label = '', value = ''] of (labelText ?? '').matchAll(labelPattern))
      labels[label] = value.replaceAll(/\\(.)/g, (_, letter: string) => (letter === 'n' ? '\n' : letter))
    samples.push({ name, labels, value: numberOf(valueText) })
  }
  return samples
}

const numberOf = (text: string): number =>
  text === '+Inf' ? Number.POSITIVE_INFINITY : text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text)

/** Counts up to and with each bound, not cumulative over time: upper bound → requests at or below it. */
export type Buckets = Map<number, number>

/**
 * The value below which `share` of the requests lie, by linear interpolation inside its bucket, as Prometheus does it. Above the
 * last bound it is that bound: the histogram knows no more. Undefined without requests.
 */
export function quantile(buckets: Buckets, share: number): number | undefined {
  const bounds = [...buckets].sort(([one], [other]) => one - other)
  const total = bounds.at(-1)?.[1] ?? 0
  if (!(total > 0)) return undefined
  const rank = share * total
  let lowerBound = 0
  let below = 0
  for (const [bound, count] of bounds) {
    if (count >= rank) {
      if (bound === Number.POSITIVE_INFINITY) return lowerBound
      return count === below ? bound : lowerBound + ((bound - lowerBound) * (rank - below)) / (count - below)
    }
    lowerBound = bound
    below = count
  }
  return lowerBound
}
