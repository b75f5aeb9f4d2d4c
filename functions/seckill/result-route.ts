/** `GET …/result`: at once, by long poll (`?waitSeconds=`), or as server-sent events. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AccessChecker } from '@stampede/shared/access/types.ts'
import type { HotHandler } from '@stampede/shared/function/declaration.ts'
import { sendJson } from '@stampede/shared/http/answer.ts'
import type { TokenVerifier } from '@stampede/shared/identity/access-token.ts'
import type { Passes } from '@stampede/shared/identity/pass.ts'
import { bucketOf } from '@stampede/shared/sale/bucket.ts'
import type { BucketRef } from '@stampede/shared/sale/types.ts'
import { admit, credentialsOf, isAnswer, type Buyer } from './admission.ts'
import { answers, problemAnswer, send, type Answer } from './answers.ts'
import { openEventStream, wantsEventStream } from './event-stream.ts'
import { isFinal, type PurchaseResult, type Results } from './results.ts'
import type { SaleCache } from './sale-cache.ts'

export const maximumWaitSeconds = 30
/** An event stream that saw nothing final ends after this time; the browser comes back by itself. */
const streamMs = 120_000
/** Keeps proxies from closing a stream in which nothing happens. */
const heartbeatMs = 15_000

const badWait = problemAnswer('invalid-request', 'The query is not valid.', {
  errors: [{ pointer: '/waitSeconds', detail: `a whole number from 0 to ${maximumWaitSeconds}` }],
})
const tooMany = problemAnswer('overloaded', 'Too many wait for a result; ask without waiting.', {
  retryAfterSeconds: 1,
})
const tooManyOfBuyer = problemAnswer('rate-limited', 'You wait for this result too often at once.', {
  retryAfterSeconds: 1,
})

export type ResultDependencies = {
  passes: Passes
  tokens: TokenVerifier
  access: AccessChecker
  sales: SaleCache
  results: Results
  draining: AbortSignal
}

export function createResultRoute(dependencies: ResultDependencies): HotHandler {
  const { sales, results, draining } = dependencies

  const find = async (
    request: IncomingMessage,
    activityId: string,
  ): Promise<{ buyer: Buyer; bucket: BucketRef } | Answer> => {
    const buyer = await admit(credentialsOf(request), activityId, dependencies)
    if (isAnswer(buyer)) return buyer
    const sale = await sales.load(buyer.tenantId, activityId)
    if (!sale) return answers.unknownActivity
    return { buyer, bucket: sale.buckets[bucketOf(buyer.userId, sale.buckets.length)]! }
  }

  const answer = async (request: IncomingMessage, response: ServerResponse, activityId: string): Promise<void> => {
    const found = await find(request, activityId)
    if ('reason' in found) return send(response, found)
    const { buyer, bucket } = found
    if (wantsEventStream(request.headers.accept)) return stream(response, buyer, bucket)
    const waitSeconds = waitSecondsOf(request.url!)
    if (waitSeconds === undefined) return send(response, badWait)
    const first = await results.now(bucket, buyer.userId)
    if (waitSeconds === 0 || isFinal(first) || draining.aborted) return sendJson(response, 200, first)
    longPoll(response, buyer, bucket, waitSeconds, first)
  }

  const longPoll = (
    response: ServerResponse,
    buyer: Buyer,
    bucket: BucketRef,
    waitSeconds: number,
    first: PurchaseResult,
  ): void => {
    let latest = first
    const leave = results.wait(bucket, {
      userId: buyer.userId,
      look(result) {
        if (result === undefined) return false
        latest = result
        if (!isFinal(result)) return false
        finish()
        return true
      },
    })
    if (typeof leave === 'string') return send(response, leave === 'too-many' ? tooMany : tooManyOfBuyer)
    const finish = () => {
      stop()
      sendJson(response, 200, latest)
    }
    const stop = endWith(response, draining, waitSeconds * 1_000, leave, finish)
  }

  const stream = (response: ServerResponse, buyer: Buyer, bucket: BucketRef): void => {
    let shown = ''
    const leave = results.wait(bucket, {
      userId: buyer.userId,
      look(result) {
        if (result === undefined) return false
        const text = JSON.stringify(result)
        if (text !== shown) events.send('result', result)
        shown = text
        if (!isFinal(result)) return false
        finish()
        return true
      },
    })
    if (typeof leave === 'string') return send(response, leave === 'too-many' ? tooMany : tooManyOfBuyer)
    const events = openEventStream(response)
    const heartbeat = setInterval(() => events.sendText(':\n\n'), heartbeatMs)
    const finish = () => {
      stop()
      events.end()
    }
    const stop = endWith(
      response,
      draining,
      streamMs,
      () => {
        clearInterval(heartbeat)
        leave()
      },
      finish,
    )
  }

  return (request, response, params) => {
    answer(request, response, params[0]!).catch(() => send(response, answers.saleUnreadable))
  }
}

/** Ends a wait when its time is over, the function drains, or the client goes. Returns how to stop watching. */
function endWith(
  response: ServerResponse,
  draining: AbortSignal,
  timeoutMs: number,
  leave: () => void,
  finish: () => void,
): () => void {
  const stop = () => {
    clearTimeout(timer)
    draining.removeEventListener('abort', finish)
    response.off('close', stop)
    leave()
  }
  const timer = setTimeout(finish, timeoutMs)
  draining.addEventListener('abort', finish)
  response.once('close', stop)
  if (draining.aborted) queueMicrotask(finish)
  return stop
}

function waitSecondsOf(url: string): number | undefined {
  const question = url.indexOf('?')
  if (question < 0) return 0
  const text = new URLSearchParams(url.slice(question + 1)).get('waitSeconds')
  if (text === null) return 0
  if (!/^\d{1,2}$/.test(text)) return undefined
  const seconds = Number(text)
  return seconds <= maximumWaitSeconds ? seconds : undefined
}
