/**
 * The listener in front of the runtime's. Hot routes end here: a comparison of the method, a matcher that does not parse, one
 * number added, and the handler has the raw request. Health, metrics and documents are answered here too, because the
 * runtime's own answer 503 under load. Everything else goes to the runtime as a bare `GET /`: without the client's headers
 * and query, which the runtime would copy over its context, and without a body, which the host reads with its own limits.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { internalProblem, sendJson, sendProblem } from '../http/answer.ts'
import { Problem } from '../http/problem.ts'
import { metricsText } from '../telemetry/metrics.ts'
import type { Exchange } from './exchange.ts'
import type { Readiness } from './health.ts'
import type { Host } from './host.ts'
import type { InFlight } from './in-flight.ts'
import type { HotEntry, RawEntry } from './raw.ts'
import { exchangeKey } from './runtime.ts'

export type FrontOptions = {
  host: Host
  hot: readonly HotEntry[]
  mounts: readonly RawEntry[]
  fallback: RawEntry | undefined
  ownPages: ((request: IncomingMessage) => boolean) | undefined
  /** Is there an ordinary route at this path? */
  knows: (method: string, path: string) => boolean
  requests: InFlight
  events: InFlight
  readiness: () => Promise<Readiness>
  openApi: () => string
}

export function createFront(options: FrontOptions) {
  const { host, hot, mounts, fallback, ownPages, knows, requests, events, readiness, openApi } = options
  const crossOrigin = host.config.CORS_ORIGINS.length > 0
  let documentText: string | undefined

  const answerHot = (
    entry: HotEntry,
    request: IncomingMessage,
    response: ServerResponse,
    params: readonly string[],
  ) => {
    entry.count++
    try {
      entry.handle(request, response, params)
    } catch (error) {
      host.log.error({ error, where: `${entry.method} ${entry.path}` }, 'a hot route failed')
      sendProblem(response, internalProblem(error))
    }
  }

  const failed = (entry: RawEntry, response: ServerResponse, error: unknown) => {
    host.log.error({ error, where: entry.path }, 'a mounted handler failed')
    // An answer that broke off: the client must see that it is not complete.
    if (response.headersSent) response.destroy()
    else sendProblem(response, internalProblem(error))
  }

  const answerRaw = (
    entry: RawEntry,
    request: IncomingMessage,
    response: ServerResponse,
    params: readonly string[],
  ) => {
    entry.count++
    // Whoever takes everything has limits of its own: most of what it holds waits for others.
    if (entry !== fallback && !enter(requests, response)) return
    try {
      entry.handle(request, response, params)?.catch((error: unknown) => failed(entry, response, error))
    } catch (error) {
      failed(entry, response, error)
    }
  }

  /** False: the limit is reached, and that was answered. */
  const enter = (gate: InFlight, response: ServerResponse): boolean => {
    if (!gate.enter()) {
      host.measures.refused.inc({ reason: gate === events ? 'events-in-flight' : 'requests-in-flight' })
      sendProblem(response, new Problem('overloaded', 'Too much is in flight at the moment.', { retryAfterSeconds: 1 }))
      return false
    }
    response.once('close', () => gate.leave())
    return true
  }

  const answerOwn: Record<string, (response: ServerResponse) => void | Promise<void>> = {
    '/health/liveness': (response) => sendJson(response, 200, { status: 'alive' }),
    '/health/readiness': async (response) => {
      const answer = await readiness()
      sendJson(
        response,
        answer.ready ? 200 : 503,
        answer.ready ? { status: 'ready' } : { status: 'not ready', reasons: answer.reasons },
      )
    },
    '/metrics': async (response) => {
      const text = await metricsText(host.registries)
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text)
    },
    '/openapi.json': (response) => {
      documentText ??= openApi()
      response.writeHead(200, { 'content-type': 'application/json; charset=utf-8' }).end(documentText)
    },
  }

  const allowOrigin = (request: IncomingMessage, response: ServerResponse) => {
    const { origin } = request.headers
    response.setHeader('vary', 'origin')
    if (origin === undefined || !host.config.CORS_ORIGINS.includes(origin)) return
    response.setHeader('access-control-allow-origin', origin)
    response.setHeader('access-control-expose-headers', 'retry-after, location')
    if (request.method !== 'OPTIONS') return
    response.setHeader('access-control-allow-methods', 'GET, HEAD, POST, PUT, PATCH, DELETE')
    response.setHeader(
      'access-control-allow-headers',
      'authorization, content-type, stampede-pass, stampede-device, idempotency-key, traceparent',
    )
    response.setHeader('access-control-max-age', '600')
  }

  const answerOrdinary = (request: IncomingMessage, response: ServerResponse, pass: RequestListener) => {
    const { method = 'GET', url = '/', headers } = request
    const question = url.indexOf('?')
    const path = question < 0 ? url : url.slice(0, question)
    const own = method === 'GET' || method === 'HEAD' ? answerOwn[path] : undefined
    if (own && (ownPages === undefined || ownPages(request))) {
      Promise.resolve(own(response)).catch((error: unknown) => {
        host.log.error({ error, where: path }, 'the host could not answer')
        sendProblem(response, internalProblem(error))
      })
      return
    }
    for (const entry of mounts) {
      const params = entry.match(url)
      if (params !== undefined) {
        answerRaw(entry, request, response, params)
        return
      }
    }
    if (fallback && !knows(method, path)) {
      answerRaw(fallback, request, response, [])
      return
    }
    const gate = method === 'POST' && (path === '/' || path.startsWith('/events/')) ? events : requests
    if (!enter(gate, response)) return
    const query = question < 0 ? '' : url.slice(question + 1)
    const exchange: Exchange = { request, response, method, path, query, headers }
    request.method = 'GET'
    request.url = '/'
    request.headers = { [exchangeKey]: exchange }
    pass(request, response)
  }

  return (pass: RequestListener): RequestListener =>
    (request, response) => {
      const url = request.url!
      if (host.closing) response.shouldKeepAlive = false
      if (crossOrigin) allowOrigin(request, response)
      for (let index = 0; index < hot.length; index++) {
        const entry = hot[index]!
        if (request.method !== entry.method) continue
        const params = entry.match(url)
        if (params !== undefined) {
          answerHot(entry, request, response, params)
          return
        }
      }
      answerOrdinary(request, response, pass)
    }
}
