/** The way of a request: is it sound, who sends it, where does it belong, may it, is there a token left; then it is passed on. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import type { RawHandler } from '@stampede/shared/function/declaration.ts'
import { internalProblem } from '@stampede/shared/http/answer.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { AccessLog } from './access-log.ts'
import { mustVerify, type Admission } from './admission.ts'
import { Exchange } from './exchange.ts'
import { forward, type ForwardEffects } from './forward.ts'
import { addForwarded } from './forwarded.ts'
import { takeLocally, type Bucket } from './limits/bucket.ts'
import type { LimitDecision, Limiter } from './limits/limiter.ts'
import { limitHeaders } from './limits/headers.ts'
import type { Measures, RefusalReason } from './measures.ts'
import { gatherBody, tooLarge } from './request-body.ts'
import { readHead } from './request-head.ts'
import { parseTarget } from './request-line.ts'
import type { RequestIds } from './request-id.ts'
import type { Rules } from './rules.ts'
import { beginTrace } from './trace.ts'

export type GatewayDependencies = {
  rules: () => Rules
  admission: Admission
  limiter: Limiter
  measures: Measures
  accessLog: AccessLog
  forwarding: ForwardEffects
  requestIds: RequestIds
  /** New traces are begun here. */
  tracing: boolean
  log: Logger
  draining: AbortSignal
}

const requestIdPattern = /^[A-Za-z0-9_-]{8,64}$/

const notFound = new Problem('not-found', 'There is nothing at this address.')
const badTarget = new Problem('invalid-request', 'The address of the request is not valid.')
const refusedAddress = new Problem('forbidden', 'Requests from this address are not accepted.')
const overloaded = new Problem('overloaded', 'Too much is in flight at the moment.', { retryAfterSeconds: 1 })

export function createGateway(dependencies: GatewayDependencies): RawHandler {
  const { admission, limiter, measures, accessLog, forwarding, requestIds } = dependencies

  const refuse = (exchange: Exchange, reason: RefusalReason, problem: Problem, headers?: readonly string[]): void => {
    measures.refused(reason)
    // Where what follows on the connection begins is not known for sure.
    if (reason === 'malformed') exchange.response.shouldKeepAlive = false
    exchange.refuse(problem, headers)
  }

  /** A step that runs later must not take the process with it. */
  const guarded = (exchange: Exchange, step: () => void): void => {
    try {
      step()
    } catch (error) {
      dependencies.log.error({ error, route: exchange.route?.label }, 'a request failed unexpectedly')
      exchange.cancel?.()
      if (exchange.response.headersSent) {
        exchange.brokenOff = 500
        exchange.response.destroy()
      } else exchange.refuse(internalProblem(error))
    }
  }

  const leave = (rules: Rules): void => {
    rules.users--
    if (rules.users === 0) rules.unused?.()
  }

  const ended = (exchange: Exchange): void => {
    const { response, route } = exchange
    const whole = response.writableFinished
    exchange.over = true
    if (!whole) exchange.cancel?.()
    leave(exchange.rules)
    const status = whole ? response.statusCode : (exchange.brokenOff ?? 499)
    const tookMs = performance.now() - exchange.beganMs
    measures.request(route?.label ?? 'none', exchange.upstream, status)
    if (!exchange.stream) measures.duration(exchange.upstream, tookMs)
    accessLog.ended(exchange, status, tookMs)
    if (exchange.span) {
      exchange.span.setAttribute('http.response.status_code', status)
      exchange.span.end()
    }
  }

  /** Is the request sound, and where does it belong? */
  const begin = (exchange: Exchange): void => {
    const { request, rules, method } = exchange
    const { document, addresses } = rules
    const url = request.url ?? ''
    if (url.length > document.headers.urlBytes) {
      return refuse(
        exchange,
        'headers-too-large',
        new Problem('headers-too-large', 'The address of the request is too long.'),
      )
    }
    const target = parseTarget(url)
    if (!target) return refuse(exchange, 'malformed', badTarget)
    const found = rules.table.find(method, target.path)
    const limits = found.kind === 'found' ? found.route.headerLimits : document.headers
    const head = readHead(request, limits)
    if ('refusal' in head) {
      return head.refusal === 'invalid'
        ? refuse(exchange, 'malformed', new Problem('invalid-request', head.detail))
        : refuse(exchange, 'headers-too-large', new Problem('headers-too-large', head.detail))
    }
    exchange.head = head
    const peer = addresses.know(request.socket.remoteAddress ?? '')
    const caller = addresses.callerOf(request.socket.remoteAddress ?? '', head.forwardedFor)
    exchange.caller = caller
    if (caller.refused) return refuse(exchange, 'address', refusedAddress)
    if (peer?.trusted && head.requestId !== undefined && requestIdPattern.test(head.requestId)) {
      exchange.adoptRequestId(head.requestId)
    }
    if (rules.cors) {
      if (method === 'OPTIONS' && head.origin !== undefined && head.preflightMethod !== undefined) {
        return exchange.answerEmpty(204, rules.cors.preflight(head.origin))
      }
      exchange.answerHeaders.push(...rules.cors.headersFor(head.origin))
    }
    switch (found.kind) {
      case 'none':
        return refuse(exchange, 'no-route', notFound)
      case 'unknown-version':
        return refuse(
          exchange,
          'no-route',
          new Problem('not-found', 'There is no such version of the API.', {
            extensions: { versions: found.versions },
          }),
        )
      case 'other-methods': {
        const allow = ['allow', found.allowed.join(', ')]
        if (method === 'OPTIONS') return exchange.answerEmpty(204, allow)
        return refuse(exchange, 'no-route', new Problem('method-not-allowed', `${method} is not possible here.`), allow)
      }
      default:
    }
    const { route } = found
    exchange.route = route
    exchange.path = found.path
    exchange.query = target.query
    // Only where there are any: whoever asks for a stream elsewhere takes the place of an ordinary request.
    exchange.stream = route.streams && head.accept !== undefined && head.accept.includes('text/event-stream')
    if (route.headers.length > 0) exchange.answerHeaders.push(...route.headers)
    if (head.bodyBytes > route.bodyLimitBytes || (head.bodyBytes < 0 && route.bodyLimitBytes === 0)) {
      return refuse(exchange, 'body-too-large', tooLarge(route.bodyLimitBytes))
    }
    beginTrace(exchange, dependencies.tracing)
    authenticate(exchange)
  }

  const authenticate = (exchange: Exchange): void => {
    const { rules, caller } = exchange
    const route = exchange.route!
    const failures = limiter.bucketOf(rules.invalidTokens, caller!.party)
    // A flood that surely is over a limit of its route or address costs no signature; nor do more false tokens of an address.
    const buckets = bucketsOf(exchange)
    const seen = admission.look(exchange.head!)
    if (mustVerify(route, seen)) buckets.push(failures)
    const early = limiter.surelyLimited(buckets)
    if (early?.kind === 'limited') return limited(exchange, early, [])
    admission.admit(route, exchange.head!, seen, (refusal, principal) =>
      guarded(exchange, () => {
        if (exchange.over) return
        exchange.principal = principal
        if (!refusal) return takeTokens(exchange)
        if (refusal.status === 401 && exchange.head!.authorization !== undefined) {
          const nowMicros = performance.now() * 1_000
          const waitMicros = takeLocally(failures, nowMicros)
          if (waitMicros > 0) failures.emptyUntilMicros = nowMicros + waitMicros
        }
        refuse(
          exchange,
          refusal.status === 401 ? 'token' : refusal.status === 403 ? 'forbidden' : 'unavailable',
          refusal,
        )
      }),
    )
  }

  /** The buckets that this request needs, as far as the caller is known. */
  const bucketsOf = ({ route, principal, caller }: Exchange): Bucket[] => {
    const buckets: Bucket[] = []
    for (const limit of route!.limits) {
      switch (limit.by) {
        case 'route':
          buckets.push(limiter.bucketOf(limit, route!.label))
          break
        case 'ip':
          buckets.push(limiter.bucketOf(limit, caller!.party))
          break
        case 'tenant':
          if (principal) buckets.push(limiter.bucketOf(limit, principal.tenantId))
          break
        default:
          if (principal) buckets.push(limiter.bucketOf(limit, `${principal.tenantId}/${principal.userId}`))
      }
    }
    return buckets
  }

  const limited = (exchange: Exchange, decision: LimitDecision, buckets: readonly Bucket[]): void => {
    switch (decision.kind) {
      case 'limited': {
        const { bucket, where, waitMicros } = decision
        const seconds = Math.max(1, Math.ceil(waitMicros / 1_000_000))
        measures.limited(bucket.limit.name, where)
        const problem = new Problem('rate-limited', 'Too many requests.', {
          retryAfterSeconds: seconds,
          extensions: { limit: bucket.limit.name },
        })
        const headers = [
          'ratelimit-policy',
          bucket.limit.policy,
          'ratelimit',
          `"${bucket.limit.name}";r=0;t=${seconds}`,
        ]
        return exchange.refuse(problem, headers)
      }
      case 'unavailable':
        return refuse(
          exchange,
          'unavailable',
          new Problem('dependency-unavailable', 'Rate limits cannot be checked at the moment.', {
            retryAfterSeconds: 1,
          }),
        )
      case 'overloaded':
        return refuse(exchange, 'unavailable', overloaded)
      default:
        if (buckets.length > 0) exchange.answerHeaders.push(...limitHeaders(buckets))
        return takeBody(exchange)
    }
  }

  const takeTokens = (exchange: Exchange): void => {
    const buckets = bucketsOf(exchange)
    if (buckets.length === 0) return takeBody(exchange)
    limiter.take(buckets, (decision) =>
      guarded(exchange, () => {
        if (!exchange.over) limited(exchange, decision, buckets)
      }),
    )
  }

  const takeBody = (exchange: Exchange): void => {
    const { bodyBytes } = exchange.head!
    const { gatherBytes, gatherMs } = exchange.rules.document.body
    if (bodyBytes === 0) return send(exchange, null)
    if (bodyBytes < 0 || bodyBytes > gatherBytes) return send(exchange, undefined)
    gatherBody(exchange.request, { bytes: bodyBytes, timeoutMs: gatherMs }, (body) =>
      guarded(exchange, () => {
        if (body instanceof Problem) refuse(exchange, 'slow-body', body)
        else send(exchange, body)
      }),
    )
  }

  const send = (exchange: Exchange, body: Buffer | null | undefined): void => {
    const { outgoing, bodyBytes } = exchange.head!
    const { addresses } = exchange.rules
    if (body === undefined && bodyBytes > 0) outgoing.push('content-length', String(bodyBytes))
    addForwarded(
      outgoing,
      exchange.head!,
      addresses.know(exchange.request.socket.remoteAddress ?? ''),
      exchange.caller!,
    )
    outgoing.push('x-request-id', exchange.requestId)
    forward(exchange, forwarding, body, outgoing)
  }

  dependencies.draining.addEventListener('abort', () => {
    for (const exchange of forwarding.streams) {
      exchange.response.end()
      exchange.cancel?.()
    }
  })

  return (request: IncomingMessage, response: ServerResponse): void => {
    const rules = dependencies.rules()
    const exchange = new Exchange(request, response, rules, requestIds())
    rules.users++
    response.once('close', () => ended(exchange))
    // A body that breaks off is no reason to end the process; `close` comes, too.
    request.on('error', () => {})
    guarded(exchange, () => begin(exchange))
  }
}
