/** The life of one delivery: attempts with back-off, the reply back to the broker, the dead letter. */
import { setTimeout as sleep } from 'node:timers/promises'
import { checkAttributes, type EventMessage } from '@stampede/shared/events/cloud-event.ts'
import { fromHttp } from '@stampede/shared/events/http-binding.ts'
import type { EngineLog } from './log.ts'
import type { ConsumerMetrics } from './metrics.ts'
import type { DeliveryPlan, Target } from './plan.ts'
import { isRetriedStatus, waitMs, type RetryPolicy } from './retry-policy.ts'
import type { Answer, Sender } from './sender.ts'

export type DeliverOptions = {
  name: string
  subscriber: Target
  delivery: DeliveryPlan
  replyTopic: string | undefined
  sender: Sender
  /** Puts an event into a topic; resolves when Kafka acknowledged it. */
  produce: (topic: string, message: EventMessage) => Promise<void>
  log: EngineLog
  metrics: ConsumerMetrics
}

/** What ends a delivery early: `pauses` ends waits and forbids further attempts, `requests` ends also the attempt that runs. */
export type DeliverySignals = { pauses: AbortSignal; requests: AbortSignal }

/** Resolves true when the event is settled (delivered, dead-lettered or dropped), false when a signal ended it before. */
export type Deliver = (message: EventMessage, signals: DeliverySignals) => Promise<boolean>

/** `data` is the beginning of the answer, as bytes, or of the error's text. */
type Failure = { destination: string; status: number | undefined; data: Buffer }
type Outcome = { kind: 'done' } | { kind: 'failed'; failure: Failure } | { kind: 'aborted' }

/** As at the ingress: Kafka would refuse a larger one every time. */
const maximumReplyBytes = 900_000
/** Pauses between attempts to get rid of a dead letter or a reply, which may not be lost. */
const firstPauseMs = 200
const longestPauseMs = 5_000

export function createDeliver(options: DeliverOptions): Deliver {
  const { subscriber, delivery, sender, produce, log, metrics } = options

  const attemptOnce = async (
    target: Target,
    message: EventMessage,
    policy: RetryPolicy,
    signals: DeliverySignals,
  ): Promise<Answer> => {
    if (target.kind === 'http')
      return sender.send(target.url(), message, { timeoutMs: policy.timeoutMs, signal: signals.requests })
    try {
      await produce(target.topic, message)
      return { kind: 'response', status: 202, headers: {}, body: Buffer.alloc(0) }
    } catch (error) {
      return { kind: 'error', detail: (error as Error).message }
    }
  }

  const withRetries = async (
    target: Target,
    message: EventMessage,
    onSuccess: (answer: Extract<Answer, { kind: 'response' }>) => Promise<Outcome>,
    signals: DeliverySignals,
  ): Promise<Outcome> => {
    const { policy } = delivery
    for (let attempt = 1; ; attempt += 1) {
      const answer = await attemptOnce(target, message, policy, signals)
      if (signals.requests.aborted && answer.kind === 'error') return { kind: 'aborted' }
      if (answer.kind === 'response' && answer.status >= 200 && answer.status < 300) return onSuccess(answer)
      const failure = failureOf(target, answer)
      const final = answer.kind === 'response' && !isRetriedStatus(answer.status)
      if (final || attempt > policy.retry) return { kind: 'failed', failure }
      metrics.retried.inc()
      const header = answer.kind === 'response' ? answer.headers['retry-after'] : undefined
      const pauseMs = waitMs(policy, attempt, { status: failure.status, retryAfter: header }, Date.now())
      log.debug(
        { consumer: options.name, event: message.attributes['id'], attempt, pauseMs, ...forLog(failure) },
        'delivery failed, will repeat',
      )
      if (!(await pause(pauseMs, signals.pauses))) return { kind: 'aborted' }
    }
  }

  /** For what may not be lost: again and again until it worked or the engine stops (then the offset is not committed). */
  const untilDone = async (what: string, work: () => Promise<Outcome>, signals: DeliverySignals): Promise<boolean> => {
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      const outcome = await work()
      if (outcome.kind === 'done') return true
      if (outcome.kind === 'aborted') return false
      log.warn({ consumer: options.name, ...forLog(outcome.failure) }, `${what} could not be written, will repeat`)
      if (!(await pause(pauseMs, signals.pauses))) return false
    }
  }

  const handleReply = async (
    answer: Extract<Answer, { kind: 'response' }>,
    signals: DeliverySignals,
  ): Promise<Outcome> => {
    const { replyTopic } = options
    if (replyTopic === undefined) return { kind: 'done' }
    const found = fromHttp(answer.headers, answer.body)
    if (found.kind === 'none' && answer.body.length === 0) return { kind: 'done' }
    const problems = found.kind === 'event' ? problemsOfReply(found.message) : []
    if (found.kind !== 'event' || problems.length > 0) {
      // Knative's dispatcher takes an answer with a body that is no event as a failed delivery, and does not repeat it.
      const detail = problems.length > 0 ? problems.join('; ') : 'the answer has a body that is not a CloudEvent'
      return {
        kind: 'failed',
        failure: { destination: nameOf(subscriber), status: answer.status, data: Buffer.from(detail) },
      }
    }
    const { message } = found
    const target: Target = { kind: 'topic', name: 'reply', topic: replyTopic }
    const written = await untilDone(
      'a reply',
      async () => outcomeOf(target, await attemptOnce(target, message, delivery.policy, signals)),
      signals,
    )
    if (written) metrics.replied.inc()
    return written ? { kind: 'done' } : { kind: 'aborted' }
  }

  return async (message, signals) => {
    const startedMs = performance.now()
    const outcome = await withRetries(subscriber, message, (answer) => handleReply(answer, signals), signals)
    if (outcome.kind === 'aborted') return false
    metrics.latency.observe((performance.now() - startedMs) / 1_000)
    if (outcome.kind === 'done') {
      metrics.delivered.inc()
      return true
    }
    const { failure } = outcome
    const { deadLetter } = delivery
    const about = {
      consumer: options.name,
      event: message.attributes['id'],
      type: message.attributes['type'],
      ...forLog(failure),
    }
    if (!deadLetter) {
      metrics.dropped.inc()
      log.error(about, 'event dropped: it could not be delivered and there is no dead-letter sink')
      return true
    }
    const letter = deadLetterOf(message, failure)
    const done = async (): Promise<Outcome> => ({ kind: 'done' })
    if (!(await untilDone('a dead letter', () => withRetries(deadLetter, letter, done, signals), signals))) return false
    metrics.deadLettered.inc()
    log.warn(about, 'event went to the dead-letter sink')
    return true
  }
}

function problemsOfReply({ attributes, data }: EventMessage): string[] {
  const bytes = (data?.length ?? 0) + Buffer.byteLength(Object.entries(attributes).join(''))
  if (bytes > maximumReplyBytes) return [`the reply is larger than ${maximumReplyBytes} bytes`]
  return checkAttributes(attributes)
}

const nameOf = (target: Target): string => (target.kind === 'http' ? target.url() : target.name)

function failureOf(target: Target, answer: Answer): Failure {
  return answer.kind === 'response'
    ? { destination: nameOf(target), status: answer.status, data: answer.body.subarray(0, maximumErrorData) }
    : { destination: nameOf(target), status: undefined, data: Buffer.from(answer.detail) }
}

function outcomeOf(target: Target, answer: Answer): Outcome {
  return answer.kind === 'response' ? { kind: 'done' } : { kind: 'failed', failure: failureOf(target, answer) }
}

const maximumErrorData = 1_024

/**
 * The event with Knative's extensions: where it could not be delivered, the status of the last answer (absent when there was
 * none), and the beginning of the answer or the error's text; base64 when it holds what an attribute may not.
 */
export function deadLetterOf(message: EventMessage, failure: Failure): EventMessage {
  const attributes: Record<string, string> = { ...message.attributes, knativeerrordest: failure.destination }
  delete attributes['knativeerrorcode']
  delete attributes['knativeerrordata']
  if (failure.status !== undefined) attributes['knativeerrorcode'] = String(failure.status)
  if (failure.data.length > 0) {
    const data = failure.data.subarray(0, maximumErrorData)
    const plain = data.every((byte) => byte >= 0x20 && byte <= 0x7e)
    // 768 bytes are as long in base64 as the longest plain text.
    attributes['knativeerrordata'] = plain ? data.toString('latin1') : data.subarray(0, 768).toString('base64')
  }
  return { attributes, data: message.data }
}

const forLog = ({ destination, status, data }: Failure) => ({
  destination,
  status,
  detail: data.subarray(0, maximumErrorData).toString('utf8'),
})

/** False when the signal ended the pause. */
async function pause(durationMs: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(durationMs, undefined, { signal })
    return true
  } catch {
    return false
  }
}
