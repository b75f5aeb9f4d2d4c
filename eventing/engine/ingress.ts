/** The HTTP side of brokers and sinks: takes CloudEvents, answers 202 when Kafka has them. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { checkAttributes, type EventMessage } from '@stampede/shared/events/cloud-event.ts'
import { fromHttp } from '@stampede/shared/events/http-binding.ts'
import { Problem, type ProblemCode } from '@stampede/shared/http/problem.ts'
import type { EngineLog } from './log.ts'

export type IngressOptions = {
  /** Path → topic. */
  paths: ReadonlyMap<string, string>
  produce: (topic: string, message: EventMessage) => Promise<void>
  /** Bytes on their way to Kafka. */
  pendingBytes: () => number
  /** Answers other than events: health, metrics, lag. False when the path is not one of them. */
  pages: (request: IncomingMessage, response: ServerResponse) => boolean
  onAnswer: (status: number) => void
  /** From then on each connection ends with its answer: one that is kept would be cut when the server closes. */
  isStopping?: () => boolean
  log: EngineLog
  limits: IngressLimits
}

export type IngressLimits = {
  /** Body of one event; Kafka's own limit for a record with its headers is 1 MiB. */
  maximumEventBytes: number
  /** Events that wait for Kafka at once. */
  maximumPendingEvents: number
  maximumPendingBytes: number
  /** Time for Kafka's acknowledgement. */
  acknowledgeTimeoutMs: number
}

export const defaultIngressLimits: IngressLimits = {
  maximumEventBytes: 900_000,
  maximumPendingEvents: 10_000,
  maximumPendingBytes: 64 * 1_048_576,
  acknowledgeTimeoutMs: 10_000,
}

export function createIngress(options: IngressOptions): Server {
  const { limits } = options
  let pending = 0

  const accept = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const topic = topicOf(request, options.paths)
    if (pending >= limits.maximumPendingEvents || options.pendingBytes() >= limits.maximumPendingBytes) {
      throw new Problem('overloaded', 'Too many events wait for Kafka', { retryAfterSeconds: 1 })
    }
    pending += 1
    try {
      const body = await readBody(request, limits.maximumEventBytes)
      const message = readEvent(request, body)
      await withTimeout(options.produce(topic, message), limits.acknowledgeTimeoutMs)
    } finally {
      pending -= 1
    }
    response.writeHead(202, { 'content-length': '0' }).end()
  }

  const server = createServer((request, response) => {
    if (options.isStopping?.()) response.shouldKeepAlive = false
    response.on('finish', () => options.onAnswer(response.statusCode))
    if (options.pages(request, response)) return
    accept(request, response).catch((error: unknown) => {
      // The connection broke: there is nobody to answer.
      if (request.destroyed && !request.complete) return
      answerProblem(response, toProblem(error, options.log))
    })
  })
  server.requestTimeout = 30_000
  server.headersTimeout = 10_000
  // Longer than clients keep theirs, so that it is not this side that closes a connection in the moment it is used.
  server.keepAliveTimeout = 75_000
  return server
}

function topicOf(request: IncomingMessage, paths: ReadonlyMap<string, string>): string {
  const path = (request.url ?? '/').split('?', 1)[0]!.replace(/(?<=.)\/$/, '')
  const topic = paths.get(path)
  if (topic === undefined) throw new Problem('not-found', 'No broker and no sink has this path')
  if (request.method !== 'POST') throw new Problem('method-not-allowed', 'Events are sent with POST')
  return topic
}

async function readBody(request: IncomingMessage, maximumBytes: number): Promise<Buffer> {
  const tooLarge = () => new Problem('payload-too-large', `An event may have ${maximumBytes} bytes`)
  if (Number(request.headers['content-length'] ?? 0) > maximumBytes) throw tooLarge()
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const chunks: Buffer[] = []
  let bytes = 0
  // Not an async iterator: leaving one destroys the socket, and the answer with it.
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > maximumBytes) reject(tooLarge())
    else chunks.push(chunk)
  })
  request.on('end', () => resolve(Buffer.concat(chunks)))
  request.on('error', reject)
  request.on('close', () => reject(new Error('the connection ended before the event was complete')))
  return promise
}

function readEvent(request: IncomingMessage, body: Buffer): EventMessage {
  const found = fromHttp(request.headers, body)
  if (found.kind === 'unsupported') throw new Problem('unsupported-media-type', found.detail)
  if (found.kind === 'invalid') throw new Problem('invalid-request', found.detail)
  if (found.kind === 'none') {
    const detail =
      'The request holds no CloudEvent: neither ce-* headers (binary mode) nor application/cloudevents+json (structured mode)'
    const known = request.headers['content-type']
    throw new Problem(
      known === undefined || /json|octet-stream/i.test(known) ? 'invalid-request' : 'unsupported-media-type',
      detail,
    )
  }
  const problems = checkAttributes(found.message.attributes)
  if (problems.length === 0) return found.message
  throw new Problem('invalid-request', 'The CloudEvent is not valid', {
    errors: problems.map((detail) => ({ pointer: '', detail })),
  })
}

async function withTimeout(work: Promise<void>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`Kafka did not acknowledge within ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    await Promise.race([work, timeout])
  } finally {
    clearTimeout(timer)
  }
}

function toProblem(error: unknown, log: EngineLog): Problem {
  if (error instanceof Problem) return error
  const { message, type } = error as Error & { type?: string }
  if (type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE') {
    return new Problem('payload-too-large', 'Kafka does not take an event of this size', { cause: error })
  }
  log.warn({ error: message }, 'event not acknowledged by Kafka')
  return new Problem('dependency-unavailable' satisfies ProblemCode, 'Kafka has not acknowledged the event', {
    retryAfterSeconds: 1,
    cause: error,
  })
}

function answerProblem(response: ServerResponse, problem: Problem): void {
  if (response.headersSent) return
  const body = JSON.stringify(problem.toDocument())
  response.writeHead(problem.status, {
    'content-type': 'application/problem+json',
    'content-length': String(Buffer.byteLength(body)),
    ...(problem.retryAfterSeconds === undefined ? {} : { 'retry-after': String(problem.retryAfterSeconds) }),
    // The rest of a body that is too large is not read.
    ...(problem.status === 413 ? { connection: 'close' } : {}),
  })
  response.end(body)
}
