/** Traces: one decision for each, at the beginning; what comes after goes by it. */
import { trace, SpanKind, TraceFlags } from '@opentelemetry/api'
import { contextOf } from '@stampede/shared/telemetry/tracing.ts'
import type { Exchange } from './exchange.ts'

const tracer = trace.getTracer('stampede')
const pattern = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/

/**
 * Continues the client's trace, kept or not as it was decided there, or begins one, and the sampler draws. The upstream is told either
 * way: were it not, it would draw again. Without a collector (`enabled` false) what the client says goes on as it is.
 */
export function beginTrace(exchange: Exchange, enabled: boolean): void {
  const { method, route, head } = exchange
  const given = head!.traceparent
  const parent = given !== undefined && pattern.test(given) ? given : undefined
  exchange.traceparent = parent
  if (!enabled) return
  const attributes = { 'http.request.method': method, 'http.route': route!.label }
  const span = tracer.startSpan(route!.label, { kind: SpanKind.SERVER, attributes }, contextOf(parent))
  if (span.isRecording()) exchange.span = span
  const { traceId, spanId, traceFlags } = span.spanContext()
  exchange.traceparent = `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED) === 0 ? '00' : '01'}`
}
