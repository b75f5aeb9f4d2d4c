/** Requests, errors and times from the text that queue-proxy and the functions answer at /metrics. */
import { parseMetrics } from '../observation/prometheus-text.ts'

/** One counter of one pod. Buckets are cumulative, as Prometheus has them. */
export type Series =
  | { kind: 'requests'; value: number }
  | { kind: 'errors'; value: number }
  | { kind: 'bucket'; upToMs: number; value: number }
/** Key → counter; a key is the same in the next scrape. */
export type Sample = ReadonlyMap<string, Series>

export type MetricsSource = {
  name: 'queue-proxy' | 'function'
  port: number
  histogram: string
  statusLabel: string
}

/**
 * Knative 0.50 (1.20 and later) names queue-proxy's metrics after OpenTelemetry's conventions. They are there when
 * `request-metrics-protocol: prometheus` is set in ConfigMap `config-observability` of `knative-serving`, for pods that start after that.
 */
export const queueProxySource: MetricsSource = {
  name: 'queue-proxy',
  port: 9091,
  histogram: 'http_server_request_duration_seconds',
  statusLabel: 'http_response_status_code',
}
/** What the function counts itself: without its hot routes, and without what queue-proxy answered in its place. */
export const functionSource: MetricsSource = {
  name: 'function',
  port: 8080,
  histogram: 'http_request_duration_seconds',
  statusLabel: 'status',
}

export function readSample(text: string, { histogram, statusLabel }: MetricsSource): Sample {
  const sample = new Map<string, Series>()
  for (const { name, labels, value } of parseMetrics(text, (metric) => metric.startsWith(histogram))) {
    if (!Number.isFinite(value)) continue
    const key = JSON.stringify(Object.entries(labels))
    if (name === `${histogram}_count`) {
      sample.set(`${key} requests`, { kind: 'requests', value })
      if (isError(labels[statusLabel])) sample.set(`${key} errors`, { kind: 'errors', value })
    } else if (name === `${histogram}_bucket`) {
      const limit = labels['le'] ?? '+Inf'
      sample.set(key, { kind: 'bucket', upToMs: limit === '+Inf' ? Infinity : Number(limit) * 1_000, value })
    }
  }
  return sample
}

/** An answer that the function is to blame for. 4xx are answers: sold out, not started, too fast. */
const isError = (status: string | undefined): boolean => status !== undefined && Number(status) >= 500
