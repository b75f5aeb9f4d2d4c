/**
 * Sends a request to an upstream and its answer to the client, as it comes: nothing is kept back, the slower side sets the pace, and whoever
 * goes away ends the other side, too. Each attempt is one object.
 */
import type { Dispatcher } from 'undici'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { Permit } from './breaker.ts'
import { chooseUpstream, type Choice } from './choose-upstream.ts'
import type { Exchange } from './exchange.ts'
import type { Measures } from './measures.ts'
import { passBody } from './request-body.ts'
import { outgoingHeaders } from './response-head.ts'
import { codeOf, failureProblem } from './upstream-failure.ts'
import type { Upstream, UpstreamAddress } from './upstream.ts'

export type ForwardEffects = {
  measures: Measures
  now: () => number
  random: () => number
  /** An attempt failed in a way that people should hear of. */
  failed: (upstream: string, address: string, error: unknown) => void
  /** Event streams, so that draining can end them. */
  streams: Set<Exchange>
}

/** What is sent, the same in each attempt. */
type Sending = {
  exchange: Exchange
  effects: ForwardEffects
  /** Null: none. Undefined: it is passed on while it comes, and there is one attempt only. */
  body: Buffer | null | undefined
  headers: string[]
  retries: number
}

const repeatable = new Set(['GET', 'HEAD', 'PUT', 'DELETE'])
const goneReason = new Error('the client went away')
const again = new Error('another attempt is made')

/** `body` undefined: it is to be passed on while it comes. */
export function forward(
  exchange: Exchange,
  effects: ForwardEffects,
  body: Buffer | null | undefined,
  headers: string[],
): void {
  attempt({ exchange, effects, body, headers, retries: 0 }, undefined)
}

function attempt(sending: Sending, before: Attempt | undefined): void {
  const { exchange, effects } = sending
  if (exchange.over) return
  const nowMs = effects.now()
  const choice = choose(exchange, nowMs, before !== undefined)
  if (!choice) return unavailable(sending, nowMs)
  const { upstream, reason } = choice
  const permit = upstream.breaker.enter(nowMs)
  if (!permit) return unavailable(sending, nowMs)
  if (reason !== 'primary') effects.measures.diverted(exchange.route!.function, reason)
  if (!before) upstream.budget.earned()
  new Attempt(sending, upstream, upstream.nextAddress(nowMs, before?.address), permit).send()
}

function choose(exchange: Exchange, nowMs: number, repeated: boolean): Choice | undefined {
  const { principal, caller, request } = exchange
  const route = exchange.route!
  const { spread } = route
  return chooseUpstream(
    // Whoever was sent to a canary in vain is not sent there again.
    repeated ? { ...spread, canary: undefined } : spread,
    {
      tenantId: principal?.tenantId,
      identity: principal ? `${principal.tenantId}/${principal.userId}` : caller!.text,
      header: (name) => {
        const value = request.headers[name]
        return typeof value === 'string' ? value : undefined
      },
    },
    exchange.stream || route.long,
    nowMs,
  )
}

function unavailable({ exchange, effects }: Sending, nowMs: number): void {
  const { primary } = exchange.route!.spread
  effects.measures.refused('unavailable')
  const waitMs = primary.breaker.remainingMs(nowMs)
  exchange.upstream = primary.name
  exchange.refuse(
    waitMs > 0
      ? new Problem(
          'dependency-unavailable',
          'The service behind this address has failed too often; it is left alone for a moment.',
          {
            retryAfterSeconds: Math.max(1, waitMs / 1_000),
          },
        )
      : new Problem('overloaded', 'The service behind this address has all hands full.', { retryAfterSeconds: 1 }),
  )
}

class Attempt implements Dispatcher.DispatchHandler {
  readonly sending: Sending
  readonly upstream: Upstream
  readonly address: UpstreamAddress
  readonly permit: Permit
  readonly long: boolean
  sentMs = 0
  controller: Dispatcher.DispatchController | undefined = undefined
  /** Why it was taken back, before there was anything to take back. */
  cancelled: Error | undefined = undefined
  refusal: Problem | undefined = undefined
  settled = false
  /** Bytes of the answer that are still to come; undefined: not known. */
  left: number | undefined = undefined
  paused: NodeJS.Timeout | undefined = undefined

  constructor(sending: Sending, upstream: Upstream, address: UpstreamAddress, permit: Permit) {
    this.sending = sending
    this.upstream = upstream
    this.address = address
    this.permit = permit
    this.long = sending.exchange.stream || sending.exchange.route!.long
  }

  send(): void {
    const { exchange, effects, headers } = this.sending
    const { upstream, address, long } = this
    const { route, rules, traceparent } = exchange
    const { timeouts } = upstream.settings
    exchange.upstream = upstream.name
    exchange.cancel = () => this.takeBack(goneReason)
    if (long) upstream.streaming++
    else upstream.inFlight++
    this.sentMs = effects.now()
    const body =
      this.sending.body === undefined
        ? passBody(
            exchange.request,
            { bytes: route!.bodyLimitBytes, idleMs: rules.document.body.idleMs },
            (problem) => {
              this.refusal = problem
              this.takeBack(problem)
            },
          )
        : this.sending.body
    const pool = long ? address.streams : address.pool
    pool.dispatch(
      {
        method: exchange.method,
        path: exchange.path + exchange.query,
        headers: traceparent === undefined ? headers : [...headers, 'traceparent', traceparent],
        body,
        // Others wait for nobody on this connection.
        blocking: false,
        headersTimeout: route!.timeoutMs + timeouts.headersGraceMs,
        bodyTimeout: exchange.stream ? timeouts.streamIdleMs : timeouts.bodyIdleMs,
      },
      this,
    )
  }

  takeBack(reason: Error): void {
    this.cancelled = reason
    this.controller?.abort(reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller
    if (this.cancelled) controller.abort(this.cancelled)
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[]>,
  ): void {
    // What an upstream says in between is between it and us.
    if (status < 200) return
    const { exchange, effects } = this.sending
    const { settings } = this.upstream
    this.upstream.answered(effects.now() - this.sentMs)
    if (settings.breaker.statuses.includes(status)) this.settle('failed')
    // What lasts for minutes has begun well; anything else is known when it is over.
    else if (this.long) this.settle('succeeded')
    if (settings.retries.statuses.includes(status) && this.mayRepeat()) {
      // An answer all the same, unless its status counts as a failure.
      this.settle('succeeded')
      effects.measures.retried(this.upstream.name, 'status')
      controller.abort(again)
      return
    }
    const { response } = exchange
    if (exchange.over) return
    const empty = exchange.method === 'HEAD' || status === 204 || status === 304
    const length = headers['content-length']
    this.left = !empty && typeof length === 'string' ? Number(length) : undefined
    if (exchange.stream) effects.streams.add(exchange)
    response.writeHead(status, [...outgoingHeaders(headers), ...exchange.answerHeaders])
    // Whoever waits for the first event must know that there will be some.
    if (exchange.stream && !empty) response.flushHeaders()
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const { response } = this.sending.exchange
    if (response.destroyed) return
    if (this.left !== undefined) {
      this.left -= chunk.length
      // Head, body and end in one write.
      if (this.left === 0) {
        response.end(chunk)
        return
      }
    }
    if (response.write(chunk)) return
    controller.pause()
    this.paused = setTimeout(() => response.destroy(), this.upstream.settings.timeouts.clientIdleMs)
    response.once('drain', () => {
      clearTimeout(this.paused)
      controller.resume()
    })
  }

  onResponseEnd(): void {
    this.leave()
    this.settle('succeeded')
    const { response } = this.sending.exchange
    if (!response.writableEnded) response.end()
  }

  onResponseError(_controller: unknown, error: Error): void {
    this.leave()
    const { exchange, effects } = this.sending
    if (error === again) return this.repeat()
    const own = this.cancelled !== undefined
    const impossible = codeOf(error) === 'UND_ERR_INVALID_ARG'
    this.settle(own || impossible ? 'forgotten' : 'failed')
    if (this.refusal) return exchange.refuse(this.refusal)
    if (own || exchange.over) return
    if (impossible) {
      return exchange.refuse(new Problem('invalid-request', 'The request cannot be passed on.', { cause: error }))
    }
    effects.failed(this.upstream.name, this.address.url, error)
    if (exchange.response.headersSent) {
      // The client must see that this is not the whole answer.
      exchange.brokenOff = 502
      exchange.response.destroy()
      return
    }
    const notSent = this.controller === undefined
    if (notSent) this.upstream.leaveOut(this.address, effects.now())
    if (this.mayRepeat(notSent)) {
      effects.measures.retried(this.upstream.name, notSent ? 'not-sent' : 'failure')
      return this.repeat()
    }
    exchange.refuse(failureProblem(error, notSent))
  }

  /** What was never sent may be sent elsewhere, whatever its method is. */
  mayRepeat(notSent = false): boolean {
    const { exchange, effects, body, retries } = this.sending
    if (body === undefined || retries >= this.upstream.settings.retries.attempts) return false
    if (!notSent && !repeatable.has(exchange.method)) return false
    if (this.upstream.budget.spend()) return true
    effects.measures.retryRefused(this.upstream.name)
    return false
  }

  repeat(): void {
    const { sending } = this
    sending.retries++
    const waitMs = sending.effects.random() * this.upstream.settings.retries.backoffMs
    sending.exchange.cancel = undefined
    setTimeout(() => attempt(sending, this), waitMs)
  }

  /** Tells the breaker once: what is known first counts. */
  settle(outcome: 'succeeded' | 'failed' | 'forgotten'): void {
    if (this.settled) return
    this.settled = true
    this.upstream.breaker[outcome](this.permit, this.sending.effects.now())
  }

  /** The upstream is rid of it. */
  leave(): void {
    clearTimeout(this.paused)
    if (this.long) this.upstream.streaming--
    else this.upstream.inFlight--
    this.sending.exchange.cancel = undefined
    this.sending.effects.streams.delete(this.sending.exchange)
  }
}
