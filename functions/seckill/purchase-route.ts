/**
 * The hot route: one press of "buy". Admission needs no I/O with a pass: the pass, the body, what memory knows of the sale, the
 * rate limit; then the press waits for the decision that it shares with others of the same turn. Nothing else is in the request.
 */
/* eslint-disable promise/always-return, promise/no-callback-in-promise -- both outcomes end in an answer; a chain would cost the hot path promises */
import type { IncomingMessage } from 'node:http'
import type { Span } from '@opentelemetry/api'
import type { AccessChecker, AccessVerdict } from '@stampede/shared/access/types.ts'
import type { HotHandler, Principal } from '@stampede/shared/function/declaration.ts'
import { bearerTokenOf, type TokenVerifier } from '@stampede/shared/identity/access-token.ts'
import type { Passes } from '@stampede/shared/identity/pass.ts'
import type { OrderNumber } from '@stampede/shared/ids/order-number.ts'
import { bucketOf } from '@stampede/shared/sale/bucket.ts'
import { traceparentOf } from '@stampede/shared/telemetry/tracing.ts'
import { accessAnswers } from './access-answers.ts'
import { buyerOf, credentialsOf, isAnswer, passRefusal, tokenRefusal } from './admission.ts'
import { answerOf, answers, invalid, quotaExceeded, send, type Answer, type Outcome } from './answers.ts'
import type { Counters } from './counters.ts'
import type { Decider } from './decide-together.ts'
import { Press, returnUnit } from './press.ts'
import { maximumBodyBytes, parseOrderCreate, parsePurchase } from './purchase-input.ts'
import { earlyAnswer, refusalFromMemory, takeToken, type Sale, type SaleCache } from './sale-cache.ts'
import type { TakeOutcome, TenantQuotas } from './tenant-quota.ts'
import { decideSoldOut } from './winners.ts'

export const purchasePath = '/api/v1/seckill/:activityId/purchases'
export const orderCreatePath = '/api/flash-sale/order/create'

/** Tokens that are being verified and sales that are being read for presses of this process. */
const maximumAsynchronous = 5_000

export type PurchaseDependencies = {
  passes: Passes
  tokens: TokenVerifier
  access: AccessChecker
  quotas: Pick<TenantQuotas, 'mayPass' | 'take' | 'whenLeased' | 'secondsLeft'>
  sales: SaleCache
  decider: Decider<Press>
  counters: Counters
  orderNumbers: () => OrderNumber
  /** May change between presses. */
  pace: { readonly rate: number; readonly burst: number; readonly passRequired: boolean }
  now: () => number
}

export type PurchaseRoutes = {
  purchase: HotHandler
  orderCreate: HotHandler
  /** Answers a press and counts the answer. */
  settle: (press: Press, outcome: Outcome) => void
}

export function createPurchaseRoutes(dependencies: PurchaseDependencies): PurchaseRoutes {
  const { passes, tokens, access, quotas, sales, decider, counters, orderNumbers, pace, now } = dependencies
  let asynchronous = 0

  /** Refusals wait for the end of the turn: writing each between two reads wakes the client each time and costs half as much again. */
  let refused: Press[] = []
  const sendRefused = (): void => {
    const presses = refused
    refused = []
    for (const press of presses) send(press.response, press.answer!)
  }
  const refuse = (press: Press, answer: Answer): void => {
    counters.presses.add(answer.reason)
    press.answer = answer
    if (press.span !== undefined) endSpan(press.span, answer)
    if (refused.push(press) === 1) setImmediate(sendRefused)
  }

  const settle = (press: Press, outcome: Outcome): void => {
    const redisNowMs = now() + (press.sale?.clockOffsetMs ?? 0)
    const answer = answerOf(outcome, redisNowMs)
    returnUnit(press, outcome)
    counters.presses.add(answer.reason)
    if (press.span !== undefined) endSpan(press.span, answer)
    send(press.response, answer)
  }

  /** The last step of admission: the sale is known. */
  const decide = (press: Press, sale: Sale): void => {
    const nowMs = now()
    sale.usedAtMs = nowMs
    press.sale = sale
    if (!takeToken(sale, pace.rate, pace.burst, nowMs)) return refuse(press, answers.rateLimited)
    const rate = quotas.mayPass(sale.tenantId)
    if (rate !== 'ok') return refuse(press, rate === 'limited' ? answers.tenantRateLimited : answers.quotaUnknown)
    const refusal = refusalFromMemory(sale, nowMs)
    if (refusal !== undefined) {
      counters.decided.add('memory')
      return refuse(press, refusal === 'not-started' ? earlyAnswer(sale, nowMs) : answers[refusal])
    }
    const { userId } = press.buyer!
    const { quantity, idempotencyKey } = press
    if (sale.winners !== undefined && nowMs < sale.soldOutUntilMs) {
      const verdict = decideSoldOut(sale.winners, sale.perUserLimit, userId, quantity, idempotencyKey)
      if (verdict !== undefined) {
        counters.decided.add('memory')
        return refuse(press, answerOf(verdict, nowMs))
      }
    }
    submit(press, sale)
  }

  /** With a unit of the tenant's quota of orders, where it has one. */
  const submit = (press: Press, sale: Sale): void => {
    const unit = quotas.take(sale.tenantId)
    if (typeof unit === 'string') return withoutUnit(press, sale, unit)
    press.unit = unit
    const { userId } = press.buyer!
    const { quantity, idempotencyKey } = press
    press.buckets = sale.buckets.length
    press.ref = sale.buckets[bucketOf(userId, press.buckets)]!
    press.purchase = {
      userId,
      quantity,
      orderNumber: orderNumbers(),
      idempotencyKey,
      traceparent: press.span === undefined ? undefined : traceparentOf(press.span),
    }
    if (decider.submit(press)) counters.decided.add('redis')
    else {
      unit?.giveBack()
      refuse(press, answers.overloaded)
    }
  }

  const withoutUnit = (press: Press, sale: Sale, outcome: TakeOutcome): void => {
    if (outcome === 'exceeded') return refuse(press, quotaExceeded(quotas.secondsLeft()))
    if (outcome === 'unknown') return refuse(press, answers.quotaUnknown)
    if (outcome === 'recovering') return refuse(press, answers.recovering)
    if (!quotas.whenLeased(sale.tenantId, () => submit(press, sale))) refuse(press, answers.overloaded)
  }

  /** Who presses is known and the body is valid. */
  const findSale = (press: Press): void => {
    const { tenantId } = press.buyer!
    const sale = sales.get(tenantId, press.activityId)
    if (sale) return decide(press, sale)
    if (sale === null) return refuse(press, answers.unknownActivity)
    if (asynchronous >= maximumAsynchronous) return refuse(press, answers.overloaded)
    asynchronous += 1
    sales.load(tenantId, press.activityId).then(
      (loaded) => {
        asynchronous -= 1
        if (loaded) decide(press, loaded)
        else refuse(press, answers.unknownActivity)
      },
      () => {
        asynchronous -= 1
        refuse(press, answers.saleUnreadable)
      },
    )
  }

  const withVerdict = (press: Press, verdict: AccessVerdict, next: (press: Press) => void): void => {
    if (verdict === 'allowed') next(press)
    else refuse(press, accessAnswers[verdict])
  }
  const later = (press: Press, question: Promise<AccessVerdict>, next: (press: Press) => void): void => {
    asynchronous += 1
    question.then(
      (verdict) => {
        asynchronous -= 1
        withVerdict(press, verdict, next)
      },
      () => {
        asynchronous -= 1
        refuse(press, accessAnswers.unknown)
      },
    )
  }

  /** May the holder of a token or pass still buy? Memory knows; only when it does not, Redis is asked, once for all who wait. */
  const withPrincipal = (press: Press, principal: Principal, next: (press: Press) => void): void => {
    const buyer = buyerOf(principal)
    if (isAnswer(buyer)) return refuse(press, buyer)
    press.buyer = buyer
    const verdict = access.checkSync(principal)
    if (verdict !== undefined) return withVerdict(press, verdict, next)
    if (asynchronous >= maximumAsynchronous) return refuse(press, answers.overloaded)
    later(press, access.check(principal), next)
  }

  /** Continues with the buyer of the access token: at once when the token is remembered. */
  const withToken = (press: Press, next: (press: Press) => void): void => {
    const token = bearerTokenOf(press.credentials.authorization)
    if (token === undefined) return refuse(press, answers.unauthenticated)
    const known = tokens.verifySync(token)
    if (known) return withPrincipal(press, known, next)
    if (asynchronous >= maximumAsynchronous) return refuse(press, answers.overloaded)
    asynchronous += 1
    tokens.verify(token).then(
      (principal) => {
        asynchronous -= 1
        withPrincipal(press, principal, next)
      },
      (error: unknown) => {
        asynchronous -= 1
        refuse(press, tokenRefusal(error))
      },
    )
  }

  /** A token alone would go around the challenge that comes before a pass. */
  const withTokenAlone = (press: Press, next: (press: Press) => void): void =>
    withToken(press, () => (pace.passRequired ? refuse(press, answers.passRequired) : next(press)))

  const withBuyer = (press: Press, next: (press: Press) => void): void => {
    const { pass } = press.credentials
    if (pass === undefined) return withTokenAlone(press, next)
    const holder = passes.verify(pass, press.activityId, press.credentials.device)
    if (holder === undefined) return refuse(press, passRefusal(passes, pass, press.activityId))
    withPrincipal(press, holder, next)
  }

  const purchaseBody = (press: Press): void => {
    const input = parsePurchase(press.body)
    if (Array.isArray(input)) return refuse(press, invalid(input))
    press.quantity = input.quantity
    press.idempotencyKey = input.idempotencyKey
    findSale(press)
  }

  const orderCreateBody = (press: Press): void => {
    const input = parseOrderCreate(press.body)
    // Only who is signed in hears what is wrong with the body.
    if (Array.isArray(input)) {
      return press.credentials.pass === undefined
        ? withToken(press, () => refuse(press, invalid(input)))
        : refuse(press, invalid(input))
    }
    press.activityId = input.activityId
    press.quantity = input.quantity
    withBuyer(press, () => {
      if (press.buyer!.userId !== input.userId) return refuse(press, answers.anotherUser)
      findSale(press)
    })
  }

  const readThen = (request: IncomingMessage, press: Press, next: (press: Press) => void): void => {
    const { contentType, contentLength } = press.credentials
    if (contentType !== undefined && !isJson(contentType)) return refuse(press, answers.mediaType)
    if (contentLength !== undefined && Number(contentLength) > maximumBodyBytes) return refuse(press, answers.tooLarge)
    request.on('data', (chunk: Buffer) => {
      press.bodyBytes += chunk.length
      if (press.bodyBytes > maximumBodyBytes) {
        // Once; what follows is not read: the connection closes with the answer.
        if (press.answer === undefined) refuse(press, answers.tooLarge)
        request.pause()
        return
      }
      press.body += chunk.toString('latin1')
    })
    request.on('end', () => {
      if (press.answer === undefined) next(press)
    })
  }

  return {
    settle,
    purchase: (request, response, params) => {
      const press = new Press(response, credentialsOf(request), params[0]!, purchasePath)
      withBuyer(press, (admitted) => readThen(request, admitted, purchaseBody))
    },
    orderCreate: (request, response) => {
      const press = new Press(response, credentialsOf(request), '', orderCreatePath)
      readThen(request, press, orderCreateBody)
    },
  }
}

function endSpan(span: Span, { status, reason }: Answer): void {
  span.setAttributes({ 'http.response.status_code': status, 'seckill.reason': reason })
  span.end()
}

const isJson = (contentType: string): boolean =>
  contentType === 'application/json' || /^\s*application\/(json|[\w.+-]*\+json)\s*(;|$)/i.test(contentType)
