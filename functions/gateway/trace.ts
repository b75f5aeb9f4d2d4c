/** Spans of requests; only when traces are collected. */
import { trace, SpanKind, type Span } from '@opentelemetry/api'
import { contextOf, sampledTraceparent } from '@stampede/shared/telemetry/tracing.ts'
import type { Exchange } from './exchange.ts'

const tracer = trace.getTracer('stampede')

/** Continues the trace of the client when it is sampled; otherwise the sampler draws. */
export function beginSpan(exchange: Exchange, enabled: boolean): Span | undefined {
  if (!enabled) return undefined
  const { method, route, head } = exchange
  const attributes = { 'http.request.method': method, 'http.route': route!.label }
  const options = { kind: SpanKind.SERVER, attributes }
  const span = tracer.startSpan(route!.label, options, contextOf(sampledTraceparent(head!.traceparent)))
  return span.isRecording() ? span : undefined
}
