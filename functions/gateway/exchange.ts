/** One request on its way through the gateway, and how it ends: exactly once, with one answer. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Span } from '@opentelemetry/api'
import type { Principal } from '@stampede/shared/function/declaration.ts'
import { sendProblem } from '@stampede/shared/http/answer.ts'
import { discardRest } from '@stampede/shared/http/body.ts'
import type { Problem } from '@stampede/shared/http/problem.ts'
import type { Known } from './addresses.ts'
import type { RequestHead } from './request-head.ts'
import type { GatewayRoute } from './route-table.ts'
import type { Rules } from './rules.ts'

export class Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly method: string
  readonly rules: Rules
  readonly beganMs: number
  requestId: string
  /** The path as the upstream gets it, without the query. */
  path = ''
  query = ''
  head: RequestHead | undefined = undefined
  caller: Known | undefined = undefined
  route: GatewayRoute | undefined = undefined
  principal: Principal | undefined = undefined
  /** Only of a request whose trace is kept. */
  span: Span | undefined = undefined
  /** What the upstream is told of the trace. */
  traceparent: string | undefined = undefined
  /** Headers of every answer to this request: request id, origin, rate limit, version. */
  answerHeaders: string[]
  /** Name of the upstream that was asked last. */
  upstream = ''
  stream = false
  /** The client is gone, or everything was answered. */
  over = false
  /** What counts when the answer was broken off on this side after its status had gone out; else the client broke it off. */
  brokenOff: 500 | 502 | undefined = undefined
  /** Takes back what was sent to an upstream. */
  cancel: (() => void) | undefined = undefined

  constructor(request: IncomingMessage, response: ServerResponse, rules: Rules, requestId: string) {
    this.request = request
    this.response = response
    this.method = request.method ?? 'GET'
    this.rules = rules
    this.requestId = requestId
    this.beganMs = performance.now()
    this.answerHeaders = ['x-request-id', requestId]
  }

  /** A trusted proxy has given it an id already. */
  adoptRequestId(requestId: string): void {
    this.requestId = requestId
    this.answerHeaders[1] = requestId
  }

  /** Answers with a problem document, and lets go of what the client may still be sending. */
  refuse(problem: Problem, headers: readonly string[] = []): void {
    const { request, response } = this
    if (this.over || response.headersSent) return
    // What was late may still come, and would be taken for the next request.
    if (problem.problem === 'request-timeout') response.shouldKeepAlive = false
    sendProblem(response, problem, asRecord([...this.answerHeaders, ...headers]))
    letGo(request, this.head?.bodyBytes ?? 0)
  }

  /** An answer without a body. */
  answerEmpty(status: number, headers: readonly string[]): void {
    if (this.over || this.response.headersSent) return
    this.response.writeHead(status, [...this.answerHeaders, ...headers])
    this.response.end()
    letGo(this.request, this.head?.bodyBytes ?? 0)
  }
}

/** So little is on its way already; Node throws it away. */
const smallBytes = 65_536

/** The rest of a body that nobody reads: a little and not for long, so that the client gets to read the answer. */
function letGo(request: IncomingMessage, bodyBytes: number): void {
  if (request.complete || (bodyBytes >= 0 && bodyBytes <= smallBytes)) return
  discardRest(request)
}

function asRecord(headers: readonly string[]): Record<string, string> {
  const record: Record<string, string> = {}
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]!
    const before = record[name]
    record[name] = before === undefined ? headers[index + 1]! : `${before}, ${headers[index + 1]!}`
  }
  return record
}
