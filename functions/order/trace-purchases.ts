/** Spans of a group: one for the group, linked to the purchases in it, and one in the trace of each purchase that is traced. */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api'
import { contextOf } from '@stampede/shared/telemetry/tracing.ts'
import type { PurchaseBatch } from './effects.ts'
import type { PurchaseOutcome } from './settle-purchases.ts'

const tracer = trace.getTracer('stampede')
/** More links than this are dropped by exporters anyway. */
const maximumTraced = 128

/** Runs `work` in spans. Costs a look at each purchase when none is traced. */
export async function traceGroup(
  batches: readonly PurchaseBatch[],
  work: () => Promise<PurchaseOutcome[][]>,
): Promise<PurchaseOutcome[][]> {
  const traced = tracedPurchases(batches)
  if (traced.length === 0) return work()
  const links = traced.flatMap(({ parent }) => {
    const context = trace.getSpanContext(parent)
    return context ? [{ context }] : []
  })
  const group = tracer.startSpan('order settle group', { kind: SpanKind.CONSUMER, links, root: true }, ROOT_CONTEXT)
  group.setAttribute(
    'order.purchases',
    batches.reduce((sum, batch) => sum + batch.purchases.length, 0),
  )
  const spans = traced.map(({ parent, orderNumber }) =>
    tracer.startSpan('order store', { kind: SpanKind.CONSUMER, attributes: { 'order.number': orderNumber } }, parent),
  )
  try {
    const outcomes = await work()
    traced.forEach(({ batch, position }, index) =>
      spans[index]?.setAttribute('order.outcome', outcomes[batch]?.[position]?.outcome ?? 'unknown'),
    )
    return outcomes
  } catch (error) {
    const status = { code: SpanStatusCode.ERROR, message: error instanceof Error ? error.name : 'error' }
    for (const span of [group, ...spans]) span.setStatus(status)
    throw error
  } finally {
    for (const span of [...spans, group]) span.end()
  }
}

function tracedPurchases(batches: readonly PurchaseBatch[]) {
  const traced: { batch: number; position: number; orderNumber: string; parent: ReturnType<typeof contextOf> }[] = []
  for (const [batch, { purchases }] of batches.entries()) {
    for (const [position, { traceparent, orderNumber }] of purchases.entries()) {
      if (traceparent === undefined || traced.length === maximumTraced) continue
      const parent = contextOf(traceparent)
      const flags = trace.getSpanContext(parent)?.traceFlags ?? TraceFlags.NONE
      if ((flags & TraceFlags.SAMPLED) !== 0) traced.push({ batch, position, orderNumber, parent })
    }
  }
  return traced
}
