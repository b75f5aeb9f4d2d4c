/**
 * Requests, errors and latency of one pod from its queue-proxy's metrics on port 9091. They are there when ConfigMap
 * `config-observability` of `knative-serving` says `request-metrics-protocol: prometheus`. Names differ between versions.
 */
import { parseMetrics, type Buckets } from './prometheus-text.ts'

export type RequestCounts = {
  requests: number
  /** Answers with 500 and more. */
  errors: number
  /** Upper bound in milliseconds → requests at or below it, since the pod began. */
  buckets: Buckets
}

const histograms = [
  // OpenTelemetry: Knative Serving module 0.50, and the first versions that used it.
  { name: 'kn_serving_invocation_duration_seconds', toMs: 1_000, status: 'http_response_status_code' },
  { name: 'kn_queueproxy_app_duration_seconds', toMs: 1_000, status: 'http_response_status_code' },
  // OpenCensus, before.
  { name: 'revision_app_request_latencies', toMs: 1, status: 'response_code' },
] as const

/** Undefined when the page has none of the known histograms: no request has come yet, or it is another page. */
export function readRequestCounts(text: string): RequestCounts | undefined {
  for (const { name, toMs, status } of histograms) {
    const samples = parseMetrics(text, (one) => one === `${name}_bucket` || one === `${name}_count`)
    if (samples.length === 0) continue
    const counts: RequestCounts = { requests: 0, errors: 0, buckets: new Map() }
    for (const { name: sampleName, labels, value } of samples) {
      if (sampleName.endsWith('_count')) {
        counts.requests += value
        if (Number(labels[status]) >= 500) counts.errors += value
        continue
      }
      const text = labels['le'] ?? ''
      const bound = text === '+Inf' ? Number.POSITIVE_INFINITY : Number(text) * toMs
      counts.buckets.set(bound, (counts.buckets.get(bound) ?? 0) + value)
    }
    return counts
  }
  return undefined
}

const none: RequestCounts = { requests: 0, errors: 0, buckets: new Map() }

/** What came between two readings of the same pod. A counter that went back began anew. */
export function countsBetween(before: RequestCounts = none, now: RequestCounts): RequestCounts {
  const from = now.requests < before.requests ? none : before
  return {
    requests: now.requests - from.requests,
    errors: now.errors - from.errors,
    buckets: new Map([...now.buckets].map(([bound, count]) => [bound, count - (from.buckets.get(bound) ?? 0)])),
  }
}

export function addCounts(one: RequestCounts, other: RequestCounts): RequestCounts {
  const buckets = new Map(one.buckets)
  for (const [bound, count] of other.buckets) buckets.set(bound, (buckets.get(bound) ?? 0) + count)
  return { requests: one.requests + other.requests, errors: one.errors + other.errors, buckets }
}
