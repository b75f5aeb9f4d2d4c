/** One request on its way through an ordinary route: authenticate, authorise, validate, handle, answer. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { internalProblem, sendJson, sendProblem } from '../http/answer.ts'
import { readBody } from '../http/body.ts'
import { parseQuery, validate } from '../http/input.ts'
import { parseJson } from '../http/json.ts'
import { isJson } from '../http/media-type.ts'
import { Problem } from '../http/problem.ts'
import { SpanKind, withSpan } from '../telemetry/tracing.ts'
import { authenticate, authorise } from './authorise.ts'
import { Reply, StreamReply } from './declaration.ts'
import type { Route } from './declaration.ts'
import type { Host, Mounted } from './host.ts'

/** The request as it really came; the runtime sees another one. */
export type Exchange = {
  request: IncomingMessage
  response: ServerResponse
  method: string
  path: string
  query: string
  headers: IncomingHttpHeaders
}

export type MountedRoute = { route: Route<unknown>; owner: Mounted }

const defaultBodyLimitBytes = 65_536
const defaultTimeoutMs = 10_000

export async function answerRoute(
  host: Host,
  exchange: Exchange,
  { route, owner }: MountedRoute,
  params: Record<string, string>,
): Promise<void> {
  const traceparent = exchange.headers['traceparent']
  const name = `${route.method} ${route.path}`
  const options = {
    kind: SpanKind.SERVER,
    attributes: { 'http.request.method': exchange.method, 'http.route': route.path },
    ...(typeof traceparent === 'string' ? { traceparent } : {}),
  }
  await withSpan(
    name,
    async (span) => {
      try {
        await answer(host, exchange, route, owner, params)
      } catch (error) {
        answerError(owner, exchange, error, name)
      }
      span.setAttribute('http.response.status_code', exchange.response.statusCode)
    },
    options,
  )
}

async function answer(
  host: Host,
  exchange: Exchange,
  route: Route<unknown>,
  owner: Mounted,
  params: Record<string, string>,
): Promise<void> {
  const { headers, request, response } = exchange
  const { options } = route
  const principal = await authorise(host.access, options, await authenticate(headers, host.verifier))
  const input = {
    params: options.params ? await validate(options.params, params, 'path') : params,
    query: options.query ? await validate(options.query, parseQuery(exchange.query), 'query') : undefined,
    body: options.body
      ? await validate(options.body, await jsonBody(host, exchange, options.bodyLimitBytes), 'body')
      : undefined,
  }
  const life = lifeOf(host, response, options.timeoutMs ?? defaultTimeoutMs)
  try {
    const handled = Promise.resolve(
      route.handle(
        {
          ...input,
          principal,
          headers,
          signal: life.signal,
          remoteAddress: request.socket.remoteAddress ?? '',
        } as never,
        owner.dependencies,
      ),
    )
    // When the time is up the handler goes on alone; its late failure must not end the process.
    handled.catch(() => {})
    const result = await Promise.race([handled, life.timeUp])
    if (result instanceof StreamReply) {
      life.becomeStream()
      await result.write(response, life.signal)
      if (!response.writableEnded) response.end()
    } else sendResult(response, result, options.status)
  } finally {
    life.end()
  }
}

/** The JSON body, undefined when there is none. Throws Problems for type, encoding, size, time and form. */
async function jsonBody(host: Host, exchange: Exchange, limitBytes = defaultBodyLimitBytes): Promise<unknown> {
  const { headers, request } = exchange
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
  if (!hasBody) return undefined
  if (!isJson(headers['content-type'])) {
    throw new Problem('unsupported-media-type', 'The body must be JSON in UTF-8: content-type application/json.')
  }
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') {
    throw new Problem('unsupported-media-type', 'The body must not be compressed.')
  }
  const bytes = await readBody(request, headers, { limitBytes, timeoutMs: host.config.BODY_TIMEOUT_MS })
  return bytes.length === 0 ? undefined : parseJson(bytes)
}

/** The signal and the time limit of one handler. */
function lifeOf(host: Host, response: ServerResponse, timeoutMs: number) {
  const controller = new AbortController()
  const { promise: timeUp, reject } = Promise.withResolvers<never>()
  timeUp.catch(() => {})
  const abort = () => controller.abort()
  const timer = setTimeout(() => {
    reject(
      new Problem('dependency-unavailable', `There was no result within ${timeoutMs} ms.`, { retryAfterSeconds: 1 }),
    )
    abort()
  }, timeoutMs)
  response.once('close', abort)
  host.ending.signal.addEventListener('abort', abort)
  return {
    signal: controller.signal,
    timeUp,
    /** A stream has no time limit, and ends when draining begins: it would never end by itself. */
    becomeStream() {
      clearTimeout(timer)
      host.draining.signal.addEventListener('abort', abort)
      if (host.draining.signal.aborted) abort()
    },
    end() {
      clearTimeout(timer)
      response.off('close', abort)
      host.ending.signal.removeEventListener('abort', abort)
      host.draining.signal.removeEventListener('abort', abort)
    },
  }
}

function sendResult(response: ServerResponse, result: unknown, status: number | undefined): void {
  if (!(result instanceof Reply)) {
    if (result !== undefined) sendJson(response, status ?? 200, result)
    else if (!response.headersSent && !response.destroyed) response.writeHead(status ?? 204).end()
    return
  }
  const { body, headers } = result
  if (body === undefined) {
    if (!response.headersSent && !response.destroyed) response.writeHead(result.status, headers).end()
  } else if (typeof body === 'string' || body instanceof Uint8Array) {
    if (response.headersSent || response.destroyed) return
    const type = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/octet-stream'
    response.writeHead(result.status, { 'content-type': type, 'content-length': Buffer.byteLength(body), ...headers })
    response.end(body)
  } else sendJson(response, result.status, body, headers)
}

/** Turns whatever was thrown into an answer; what was not expected is logged and hidden. */
export function answerError(owner: { log: Mounted['log'] }, exchange: Exchange, error: unknown, where: string): void {
  const { response } = exchange
  const problem = error instanceof Problem ? error : internalProblem(error)
  if (problem.status >= 500 && !response.destroyed) {
    const level = problem.status === 500 ? 'error' : 'warn'
    owner.log[level]({ error: problem.cause ?? problem, problem: problem.problem, where }, problem.detail)
  }
  if (response.headersSent) {
    // A stream that broke: the client must see that it is not complete.
    response.destroy()
    return
  }
  // The rest of a body that nobody waits for any more is not read on this connection.
  if (problem.problem === 'request-timeout') response.shouldKeepAlive = false
  sendProblem(response, problem)
}
