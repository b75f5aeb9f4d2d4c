/** Structured logs: one JSON object a line on standard output, with trace ids, secrets and personal data masked. */
import { trace } from '@opentelemetry/api'
import { pino } from 'pino'
import type { DestinationStream, Logger } from 'pino'

const secretNames = [
  'authorization',
  'cookie',
  'password',
  'secret',
  'token',
  'accessToken',
  'refreshToken',
  'pass',
  'stampede-pass',
  'stampede-device',
  'device',
]
const personalNames = ['email', 'phone', 'mobile', 'address', 'name', 'fullName', 'idNumber']

/** At the top, and one and two levels down: pino's paths have no "at any depth". */
const redactedPaths = [...secretNames, ...personalNames.filter((name) => name !== 'name')].flatMap((name) => [
  `["${name}"]`,
  `*["${name}"]`,
  `*.*["${name}"]`,
])

/** The logger of a process; `destination` is for tests. Levels: fatal, error, warn, info, debug, trace, silent. */
export function createLog(options: { level: string; service: string; destination?: DestinationStream }): Logger {
  return pino(
    {
      level: options.level,
      base: { service: options.service },
      messageKey: 'message',
      errorKey: 'error',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: redactedPaths, censor: '[masked]' },
      mixin: traceIds,
    },
    ...(options.destination ? [options.destination] : []),
  )
}

function traceIds(): Record<string, string> {
  const context = trace.getActiveSpan()?.spanContext()
  return context ? { traceId: context.traceId, spanId: context.spanId } : {}
}
