/**
 * The answers of the hot path. What can be made beforehand is made once: status, headers and body as text (Node sends header
 * and text body in one write; a Buffer would be a second one). Each answer has its reason, which is also what is counted.
 */
import type { ServerResponse } from 'node:http'
import { Problem, problemCodes } from '@stampede/shared/http/problem.ts'
import type { InputError, ProblemCode, ProblemOptions } from '@stampede/shared/http/problem.ts'
import type { PurchaseVerdict } from '@stampede/shared/sale/types.ts'

/** What became of a press: `accepted`, `replayed`, or the problem code of the refusal. */
export const reasons = ['accepted', 'replayed', ...(Object.keys(problemCodes) as ProblemCode[])] as const
export type Reason = (typeof reasons)[number]

export type Answer = {
  readonly reason: Reason
  readonly status: number
  readonly headers: string[]
  readonly body: string
}

/** What a decision may end with: the script's verdicts and what can happen before or instead of one. */
export type Outcome =
  | PurchaseVerdict
  | { outcome: 'overloaded' }
  /** Redis did not answer: whether the purchase was accepted is not known. */
  | { outcome: 'undecided' }
  /** Accepted, but Kafka has not acknowledged it in time (DURABILITY=kafka). */
  | { outcome: 'not-durable' }

export function problemAnswer(code: ProblemCode, detail: string, options: ProblemOptions = {}): Answer {
  const problem = new Problem(code, detail, options)
  const body = JSON.stringify(problem.toDocument())
  const headers = [
    'content-type',
    'application/problem+json',
    'cache-control',
    'no-store',
    'content-length',
    String(Buffer.byteLength(body)),
  ]
  if (problem.retryAfterSeconds !== undefined) {
    headers.push('retry-after', String(Math.max(1, Math.ceil(problem.retryAfterSeconds))))
  }
  if (problem.status === 401) headers.push('www-authenticate', 'Bearer')
  return { reason: code, status: problem.status, headers, body }
}

const askResult = 'Ask for the result: GET …/result tells whether it was accepted.'

export const answers = {
  soldOut: problemAnswer('sold-out', 'Nothing is left.'),
  ended: problemAnswer('ended', 'The sale is over.'),
  closed: problemAnswer('ended', 'The sale was closed.'),
  paused: problemAnswer('paused', 'The sale is paused; try again in a moment.', { retryAfterSeconds: 2 }),
  unauthenticated: problemAnswer('unauthenticated', 'A valid pass or access token is required.'),
  anotherActivity: problemAnswer('forbidden', 'The pass belongs to another activity.'),
  anotherDevice: problemAnswer('forbidden', 'The pass belongs to another device.'),
  passRequired: problemAnswer('forbidden', 'This sale takes purchases with a pass only: POST …/pass gives one.', {
    extensions: { reason: 'pass-required' },
  }),
  anotherUser: problemAnswer('forbidden', 'Purchases can be made for oneself only.'),
  notAPerson: problemAnswer('forbidden', 'Only people can buy.'),
  unknownActivity: problemAnswer('not-found', 'There is no sale of this activity.'),
  rateLimited: problemAnswer('rate-limited', 'Too many purchases of this activity at once.', { retryAfterSeconds: 1 }),
  tenantRateLimited: problemAnswer('rate-limited', 'Too many purchases of this shop at once.', {
    retryAfterSeconds: 1,
  }),
  quotaUnknown: problemAnswer('dependency-unavailable', 'The quota of the shop cannot be read at the moment.', {
    retryAfterSeconds: 1,
  }),
  overloaded: problemAnswer('overloaded', 'Too many purchases wait for a decision.', { retryAfterSeconds: 1 }),
  recovering: problemAnswer('recovering', 'The sale is made whole after a failure; nothing is lost.', {
    retryAfterSeconds: 1,
  }),
  undecided: problemAnswer('dependency-unavailable', `The purchase may have been accepted. ${askResult}`, {
    retryAfterSeconds: 1,
    extensions: { undecided: true },
  }),
  notDurable: problemAnswer('dependency-unavailable', `The purchase is on its way, but not yet safe. ${askResult}`, {
    retryAfterSeconds: 1,
    extensions: { undecided: true },
  }),
  saleUnreadable: problemAnswer('dependency-unavailable', 'The sale cannot be read at the moment.', {
    retryAfterSeconds: 1,
  }),
  tooLarge: problemAnswer('payload-too-large', 'The body of a purchase has at most 1024 bytes.'),
  mediaType: problemAnswer('unsupported-media-type', 'Send application/json.'),
} as const satisfies Record<string, Answer>

/** The rest of a body that is too large is not read: the connection cannot be used again. */
answers.tooLarge.headers.push('connection', 'close')

const orderNumberLength = 26
const acceptedHeaders = (reason: 'accepted' | 'replayed'): Omit<Answer, 'body'> => ({
  reason,
  status: 202,
  headers: [
    'content-type',
    'application/json; charset=utf-8',
    'content-length',
    String(orderNumberLength + '{"orderNumber":"","status":"accepted"}'.length),
  ],
})
const acceptedHead = acceptedHeaders('accepted')
const replayedHead = acceptedHeaders('replayed')
const duplicateParts = partsAround('duplicate', 'You already have an order in this activity.')

function partsAround(code: ProblemCode, detail: string) {
  const mark = '0'.repeat(orderNumberLength)
  const answer = problemAnswer(code, detail, { extensions: { orderNumber: mark } })
  const at = answer.body.indexOf(mark)
  return { answer, before: answer.body.slice(0, at), after: answer.body.slice(at + mark.length) }
}

export function accepted(orderNumber: string, replayed = false): Answer {
  const head = replayed ? replayedHead : acceptedHead
  return {
    reason: head.reason,
    status: 202,
    headers: head.headers,
    body: `{"orderNumber":"${orderNumber}","status":"accepted"}`,
  }
}

function duplicate(orderNumber: string): Answer {
  const { answer, before, after } = duplicateParts
  return { reason: 'duplicate', status: answer.status, headers: answer.headers, body: before + orderNumber + after }
}

export function notStarted(startsAtMs: number, nowMs: number): Answer {
  const startsAt = new Date(startsAtMs).toISOString()
  return problemAnswer('not-started', `The sale starts at ${startsAt}.`, {
    retryAfterSeconds: (startsAtMs - nowMs) / 1_000,
    extensions: { startsAt },
  })
}

/** Made once for each second, because `Retry-After` counts down to the next day. */
export function quotaExceeded(secondsLeft: number): Answer {
  if (lastExceeded?.secondsLeft !== secondsLeft) {
    const answer = problemAnswer('quota-exceeded', 'The shop takes no more orders today.', {
      retryAfterSeconds: secondsLeft,
    })
    lastExceeded = { secondsLeft, answer }
  }
  return lastExceeded.answer
}
let lastExceeded: { secondsLeft: number; answer: Answer } | undefined

export function invalid(errors: InputError[]): Answer {
  return problemAnswer('invalid-request', 'The body is not a purchase.', { errors })
}

/** The one table from outcomes to answers. */
const table: { [K in Outcome['outcome']]: (outcome: Extract<Outcome, { outcome: K }>, nowMs: number) => Answer } = {
  accepted: (outcome) => accepted(outcome.orderNumber),
  replayed: (outcome) => accepted(outcome.orderNumber, true),
  duplicate: (outcome) => duplicate(outcome.orderNumber),
  'over-limit': (outcome) =>
    problemAnswer('over-limit', `You can buy ${outcome.remaining} more at most.`, {
      extensions: { remaining: outcome.remaining },
    }),
  'sold-out': () => answers.soldOut,
  insufficient: (outcome) =>
    problemAnswer('sold-out', `Only ${outcome.left} left.`, { extensions: { left: outcome.left } }),
  'not-started': (outcome, nowMs) => notStarted(outcome.startsAtMs, nowMs),
  ended: () => answers.ended,
  paused: () => answers.paused,
  closed: () => answers.closed,
  'unknown-activity': () => answers.unknownActivity,
  recovering: () => answers.recovering,
  overloaded: () => answers.overloaded,
  undecided: () => answers.undecided,
  'not-durable': () => answers.notDurable,
}

/** `nowMs` by Redis' clock, for `Retry-After`. */
export function answerOf(outcome: Outcome, nowMs: number): Answer {
  return (table[outcome.outcome] as (outcome: Outcome, nowMs: number) => Answer)(outcome, nowMs)
}

/** Sends an answer; does nothing when one was sent already or the client is gone. */
export function send(response: ServerResponse, answer: Answer): void {
  if (response.headersSent || response.destroyed) return
  response.writeHead(answer.status, answer.headers)
  response.end(answer.body)
}
