/** Structured logs: one JSON object a line on standard output, with trace ids, secrets and personal data masked. */
import { trace } from '@opentelemetry/api'
import { pino, stdSerializers } from 'pino'
import type { DestinationStream, Logger } from 'pino'
import { maskForLog, maskLogText } from '../personal-data/mask-log.ts'

/** The logger of a process; `destination` is for tests. Levels: fatal, error, warn, info, debug, trace, silent. */
export function createLog(options: { level: string; service: string; destination?: DestinationStream }): Logger {
  const log = pino(
    {
      level: options.level,
      base: { service: options.service },
      messageKey: 'message',
      errorKey: 'error',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: maskMembers },
      // Errors are plain objects by then.
      serializers: { error: asItIs, err: asItIs },
      hooks: {
        logMethod(parameters, method) {
          method.apply(this, maskParameters(parameters) as typeof parameters)
        },
      },
      mixin: traceIds,
    },
    ...(options.destination ? [options.destination] : []),
  )
  // pino asks no formatter about the bindings of children; theirs inherit this method.
  const child = Reflect.get(log, 'child') as (...parameters: unknown[]) => unknown
  log.child = function childMasked(this: Logger, bindings, childOptions) {
    return child.call(this, maskMembers(bindings), childOptions) as never
  }
  return log
}

const asItIs = (value: unknown): unknown => value
const describeError = (error: Error): unknown => stdSerializers.err(error)

/** In front of the serializers, so that what they would make of an error is masked, too. */
function maskMembers(members: Record<string, unknown>): Record<string, unknown> {
  return maskForLog(members, describeError) as Record<string, unknown>
}

/** Messages are constants here; those of libraries and of errors are not. */
function maskParameters(parameters: readonly unknown[]): unknown[] {
  const [first] = parameters
  // The message of an error that is logged alone becomes the message of the line.
  const all = first instanceof Error && parameters.length === 1 ? [first, first.message] : parameters
  return all.map((value) => (typeof value === 'string' ? maskLogText(value) : value))
}

function traceIds(): Record<string, string> {
  const context = trace.getActiveSpan()?.spanContext()
  return context ? { traceId: context.traceId, spanId: context.spanId } : {}
}
