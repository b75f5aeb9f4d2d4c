/** Spans of the way to Kafka: one in the trace of each purchase that is traced, for the batch that it travels in. */
import { SpanKind, SpanStatusCode, trace, type Span } from '@opentelemetry/api'
import { contextOf } from '@stampede/shared/telemetry/tracing.ts'
import type { RelayMessage } from './relay.ts'

const tracer = trace.getTracer('stampede')
/** More of one batch are not followed: when so many are sampled, one more tells nothing. */
const maximumTraced = 128

/** Runs `send` in spans. Costs a look at each purchase when none is traced; only sampled requests leave a traceparent in the outbox. */
export async function traceRelay(
  topic: string,
  messages: readonly RelayMessage[],
  send: () => Promise<void>,
): Promise<void> {
  const spans: Span[] = []
  for (const { data } of messages) {
    for (const { traceparent, orderNumber } of data.purchases) {
      if (traceparent === undefined || spans.length === maximumTraced) continue
      const attributes = {
        'messaging.system': 'kafka',
        'messaging.destination.name': topic,
        'order.number': orderNumber,
      }
      spans.push(tracer.startSpan('seckill relay', { kind: SpanKind.PRODUCER, attributes }, contextOf(traceparent)))
    }
  }
  if (spans.length === 0) return send()
  try {
    await send()
  } catch (error) {
    const status = { code: SpanStatusCode.ERROR, message: error instanceof Error ? error.name : 'error' }
    for (const span of spans) span.setStatus(status)
    throw error
  } finally {
    for (const span of spans) span.end()
  }
}
