/** How a function makes and publishes events: validated against the catalogue, sent to the broker's ingress. */
import { request as httpRequest, Agent as HttpAgent, type IncomingMessage } from 'node:http'
import { request as httpsRequest, Agent as HttpsAgent } from 'node:https'
import { randomUUID } from 'node:crypto'
import type { z } from 'zod'
import type { EventDefinition } from '@stampede/eventing/catalogue/definition.ts'
import { Problem, type ProblemCode } from '../http/problem.ts'
import type { CloudEvent } from './cloud-event.ts'
import { eventToHttp } from './http-binding.ts'

export type OutgoingEvent<S extends z.ZodType = z.ZodType> = {
  definition: EventDefinition<S>
  data: z.input<S>
  /** See `definition.subject`: for example the activity id. */
  subject: string
  /** Stable for each fact, so that consumers can recognise a repeat; default: a random UUID. */
  id?: string
  /** RFC 3339; default: now. */
  time?: string
  /** Instead of the definition's own. */
  partitionKey?: string
  /** The publishing function, `/functions/<name>`, for a definition with `anySource`. */
  source?: string
  /** W3C trace context. */
  traceparent?: string
}

/**
 * The CloudEvent of an outgoing event.
 * @throws TypeError when the data does not fit the definition's schema: a defect of the producer, never of its caller.
 */
export function toCloudEvent<S extends z.ZodType>(outgoing: OutgoingEvent<S>): CloudEvent<z.output<S>> {
  const { definition } = outgoing
  const parsed = definition.data.safeParse(outgoing.data)
  if (!parsed.success) {
    const findings = parsed.error.issues
      .slice(0, 10)
      .map((issue) => `${issue.path.join('.') || '(data)'}: ${issue.message}`)
    throw new TypeError(`data of ${definition.type} does not fit its schema: ${findings.join('; ')}`)
  }
  if (outgoing.source !== undefined && outgoing.source !== definition.source && !definition.anySource)
    throw new TypeError(`${definition.type} is published by ${definition.source} alone, not by ${outgoing.source}`)
  const partitionkey = outgoing.partitionKey ?? definition.partitionKey?.(parsed.data)
  return {
    specversion: '1.0',
    id: outgoing.id ?? randomUUID(),
    source: outgoing.source ?? definition.source,
    type: definition.type,
    subject: outgoing.subject,
    time: outgoing.time ?? new Date().toISOString(),
    datacontenttype: 'application/json',
    ...(partitionkey === undefined ? {} : { partitionkey }),
    ...(outgoing.traceparent === undefined ? {} : { traceparent: outgoing.traceparent }),
    data: parsed.data,
  }
}

export type PublisherOptions = {
  /** Where events go: `K_SINK`. */
  sink: string
  /** Bearer token for the sink. */
  token?: () => Promise<string>
  /** Time until the sink must have answered; default 10,000. */
  timeoutMs?: number
}

/** An event as it is published and as outbox tables keep it. */
export type StampedeCloudEvent = CloudEvent

export type Publish = (event: CloudEvent) => Promise<void>

/** Answers that say that this very event will never be taken, and what they mean. */
const refusals: Record<number, ProblemCode> = {
  400: 'invalid-request',
  413: 'payload-too-large',
  415: 'unprocessable',
  422: 'unprocessable',
}

/**
 * Publishes with one POST in binary content mode. Resolves when the sink answered 2xx: the event is durable then.
 * @throws Problem `dependency-unavailable` (503) when the same event may be taken later; 400, 413 or 422 when it never will be.
 */
export function createPublisher(options: PublisherOptions): Publish {
  const url = new URL(options.sink)
  const secure = url.protocol === 'https:'
  const send = secure ? httpsRequest : httpRequest
  // Idle sockets do not keep the process alive.
  const agent = new (secure ? HttpsAgent : HttpAgent)({
    keepAlive: true,
    maxSockets: 64,
    maxFreeSockets: 16,
    timeout: 60_000,
  })
  const timeoutMs = options.timeoutMs ?? 10_000

  return async (event) => {
    const { headers, body } = eventToHttp(event)
    if (options.token) headers['authorization'] = `Bearer ${await options.token()}`
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const request = send(url, { method: 'POST', agent, headers, signal: AbortSignal.timeout(timeoutMs) }, resolve)
    request.on('error', reject)
    request.end(body)
    const response = await promise.catch((error: unknown) => {
      throw new Problem('dependency-unavailable', 'The event broker does not answer', { cause: error })
    })
    // Nobody reads the answer's body; it must be drained for the socket to be used again.
    response.on('error', () => {}).resume()
    const status = response.statusCode ?? 0
    if (status >= 200 && status < 300) return
    throw new Problem(
      refusals[status] ?? 'dependency-unavailable',
      `The event broker answered ${status} to ${event.type}`,
      {
        ...retryAfter(response.headers['retry-after']),
      },
    )
  }
}

function retryAfter(header: string | undefined): { retryAfterSeconds?: number } {
  const seconds = Number(header)
  return header !== undefined && Number.isFinite(seconds) ? { retryAfterSeconds: seconds } : {}
}
