/**
 * Traces with OpenTelemetry, sent by OTLP over HTTP. Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set: then the API gives
 * spans that do nothing and nothing is installed.
 */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, context, trace } from '@opentelemetry/api'
import type { Attributes, Context, Span } from '@opentelemetry/api'
import type { Environment } from '../config/environment.ts'

const tracer = trace.getTracer('stampede')
const pattern = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/

export type Tracing = { enabled: boolean; stop: () => Promise<void> }

/**
 * Starts exporting when the environment names an endpoint. OTEL_TRACES_SAMPLER_ARG is the share of new traces that are
 * kept, 0 to 1, default 0.05; a trace that was begun elsewhere is kept when it was kept there.
 */
export async function startTracing(environment: Environment, service: string): Promise<Tracing> {
  const endpoint = environment['OTEL_EXPORTER_OTLP_ENDPOINT']
  if (!endpoint) return { enabled: false, stop: async () => {} }
  // Loaded only when used: together they cost a function that starts from zero 0.2 s.
  const [{ OTLPTraceExporter }, { resourceFromAttributes }, sdk] = await Promise.all([
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/sdk-trace-node'),
  ])
  const { BatchSpanProcessor, NodeTracerProvider, ParentBasedSampler, TraceIdRatioBasedSampler } = sdk
  const ratio = Number(environment['OTEL_TRACES_SAMPLER_ARG'] ?? 0.05)
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/$/, '')}/v1/traces`, timeoutMillis: 5_000 })
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': service, 'service.namespace': 'stampede' }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [new BatchSpanProcessor(exporter, { maxQueueSize: 8_192, maxExportBatchSize: 512 })],
  })
  provider.register()
  return {
    enabled: true,
    async stop() {
      // What cannot be delivered any more must not hold up the end of the process.
      await provider.shutdown().catch(() => {})
      trace.disable()
      context.disable()
    },
  }
}

/** The context of a W3C `traceparent`, or the root when there is none or it is not valid. */
export function contextOf(traceparent: string | undefined): Context {
  const match = traceparent === undefined ? null : pattern.exec(traceparent)
  if (!match) return ROOT_CONTEXT
  const [, traceId = '', spanId = '', flags = ''] = match
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true })
}

/** `traceparent` of the span (default: the active one) when it is sampled; undefined otherwise. */
export function traceparentOf(span: Span | undefined = trace.getActiveSpan()): string | undefined {
  const own = span?.spanContext()
  if (!own || (own.traceFlags & TraceFlags.SAMPLED) === 0) return undefined
  return `00-${own.traceId}-${own.spanId}-01`
}

/** A `traceparent` header as it came, when it is well-formed and sampled: for hot routes that make no span of their own. */
export function sampledTraceparent(header: string | string[] | undefined): string | undefined {
  if (typeof header !== 'string' || header.length !== 55) return undefined
  const match = pattern.exec(header)
  return match && (Number.parseInt(match[3]!, 16) & TraceFlags.SAMPLED) === 1 ? header : undefined
}

/**
 * The span of a hot route's request that is traced already; undefined for all others, which costs them one comparison. A new
 * trace is never begun here: the share that is kept would have to be drawn for every request.
 */
export function startHotSpan(method: string, route: string, header: string | string[] | undefined): Span | undefined {
  if (header === undefined) return undefined
  const traceparent = sampledTraceparent(header)
  if (traceparent === undefined) return undefined
  const attributes = { 'http.request.method': method, 'http.route': route }
  return tracer.startSpan(`${method} ${route}`, { kind: SpanKind.SERVER, attributes }, contextOf(traceparent))
}

export type SpanOptions = {
  attributes?: Attributes
  kind?: SpanKind
  /** Parent from another process; default: the active span. */
  traceparent?: string | undefined
}

/** Runs `work` within a span that ends with it and records its failure. */
export async function withSpan<T>(
  name: string,
  work: (span: Span) => Promise<T>,
  options: SpanOptions = {},
): Promise<T> {
  const parent = options.traceparent === undefined ? context.active() : contextOf(options.traceparent)
  const spanOptions = {
    kind: options.kind ?? SpanKind.INTERNAL,
    ...(options.attributes ? { attributes: options.attributes } : {}),
  }
  return tracer.startActiveSpan(name, spanOptions, parent, async (span) => {
    try {
      return await work(span)
    } catch (error) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.name : 'error' })
      if (error instanceof Error) span.recordException(error)
      throw error
    } finally {
      span.end()
    }
  })
}

export { SpanKind }
