/**
 * Takes CloudEvents on `POST /` (all functions of the process) and `POST /events/<function>` (one of them), in binary and
 * structured mode. The answer is for the broker: 204 done, 400/413/415/422 poison (never sent again), 503 try again.
 */
import type { z } from 'zod'
import { sendProblem } from '../http/answer.ts'
import { readBody } from '../http/body.ts'
import { inputErrors } from '../http/input.ts'
import { parseJson } from '../http/json.ts'
import { Problem } from '../http/problem.ts'
import { checkAttributes, isJsonMediaType } from '../events/cloud-event.ts'
import type { EventMessage } from '../events/cloud-event.ts'
import { fromHttp } from '../events/http-binding.ts'
import { SpanKind, withSpan } from '../telemetry/tracing.ts'
import type { ReceivedEvent } from './declaration.ts'
import { createEventAuthentication } from './event-authentication.ts'
import { answerError } from './exchange.ts'
import type { Exchange } from './exchange.ts'
import type { Host, Mounted } from './host.ts'
import { createTaskPlanner, taskTypes, type TaskPlanner } from './tasks.ts'

/** One thing to do for an event: a subscription's handler or a schedule's task. */
export type Work = {
  owner: Mounted
  label: string
  run: () => Promise<void>
  /** Has seen to it that it is done again later: then the broker need not. */
  failed?: () => Promise<boolean>
}

export type EventReceiver = (exchange: Exchange, functionName: string | undefined) => Promise<void>

export function createEventReceiver(host: Host): EventReceiver {
  const planTask = createTaskPlanner(host)
  const mayDeliver = createEventAuthentication(host)
  return async (exchange, functionName) => {
    try {
      await mayDeliver(exchange.headers, functionName)
      const message = await readEvent(host, exchange)
      const mounted = host.mounted.filter(
        ({ definition }) => functionName === undefined || definition.name === functionName,
      )
      const problem = await runAll(host, planWork(mounted, message, planTask), message)
      if (problem) sendProblem(exchange.response, problem)
      else exchange.response.writeHead(204).end()
    } catch (error) {
      answerError(host, exchange, error, 'event')
    }
  }
}

async function readEvent(host: Host, exchange: Exchange): Promise<EventMessage> {
  const { config } = host
  const bytes = await readBody(exchange.request, exchange.headers, {
    limitBytes: config.EVENT_BODY_LIMIT_BYTES,
    timeoutMs: config.BODY_TIMEOUT_MS,
  })
  const read = fromHttp(exchange.headers, bytes)
  if (read.kind === 'none')
    throw new Problem('invalid-request', 'This takes CloudEvents 1.0 in binary or structured mode.')
  if (read.kind === 'unsupported') throw new Problem('unsupported-media-type', read.detail)
  if (read.kind === 'invalid') throw new Problem('invalid-request', 'The body is not a CloudEvent in JSON.')
  const problems = checkAttributes(read.message.attributes)
  if (problems.length > 0) {
    const errors = problems.slice(0, 20).map((detail) => ({ pointer: '', detail }))
    throw new Problem('invalid-request', 'The event is not a CloudEvent 1.0.', { errors })
  }
  return read.message
}

function planWork(mounted: readonly Mounted[], message: EventMessage, planTask: TaskPlanner): Work[] {
  const type = message.attributes['type'] ?? ''
  const data = eventData(message)
  if (taskTypes.has(type)) return [planTask(mounted, type, data)]
  const work = mounted.flatMap((owner) =>
    (owner.definition.events ?? [])
      .filter(({ event }) => event.type === type)
      .map(({ event, handle }): Work => {
        const { name } = owner.definition
        return {
          owner,
          label: name,
          run: async () => handle(received(message, check(event.data, data)), owner.dependencies),
        }
      }),
  )
  if (work.length === 0)
    throw new Problem('invalid-request', `There is no subscription for events of the type "${type.slice(0, 200)}".`)
  return work
}

function eventData(message: EventMessage): unknown {
  const { data, attributes } = message
  if (data === undefined || data.length === 0) return undefined
  const contentType = attributes['datacontenttype']
  if (contentType !== undefined && !isJsonMediaType(contentType)) {
    throw new Problem('unsupported-media-type', 'The data of events must be JSON.')
  }
  return parseJson(data)
}

function check(schema: z.ZodType, data: unknown): unknown {
  const parsed = schema.safeParse(data)
  if (parsed.success) return parsed.data
  throw new Problem('invalid-request', 'The data of the event is not valid.', { errors: inputErrors(parsed.error) })
}

function received({ attributes }: EventMessage, data: unknown): ReceivedEvent<never> {
  return {
    id: attributes['id'] ?? '',
    source: attributes['source'] ?? '',
    type: attributes['type'] ?? '',
    subject: attributes['subject'],
    time: attributes['time'],
    traceparent: attributes['traceparent'],
    data: data as never,
  }
}

/** Runs everything side by side and gives the worst outcome: try again before poison before done. */
async function runAll(host: Host, work: readonly Work[], message: EventMessage): Promise<Problem | undefined> {
  const outcomes = await Promise.all(work.map(async (item) => runOne(host, item, message)))
  return outcomes.find((problem) => problem?.status === 503) ?? outcomes.find((problem) => problem !== undefined)
}

async function runOne(
  host: Host,
  { owner, label, run, failed }: Work,
  message: EventMessage,
): Promise<Problem | undefined> {
  const { type = '', id, source, traceparent } = message.attributes
  const stop = host.measures.eventSeconds.startTimer({ function: owner.definition.name, type })
  const { promise: timeUp, reject } = Promise.withResolvers<never>()
  const timeoutMs = host.config.EVENT_TIMEOUT_MS
  const timer = setTimeout(() => reject(new Error(`not finished within ${timeoutMs} ms`)), timeoutMs)
  try {
    const done = withSpan(`${type} ${label}`, run, {
      kind: SpanKind.CONSUMER,
      attributes: { 'messaging.system': 'cloudevents', 'messaging.message.id': id ?? '' },
      ...(traceparent === undefined ? {} : { traceparent }),
    })
    // After its time it goes on alone; what it throws then must not end the process.
    done.catch(() => {})
    await Promise.race([done, timeUp])
    stop({ outcome: 'done' })
    return undefined
  } catch (error) {
    const poison = error instanceof Problem && (error.status === 400 || error.status === 422)
    stop({ outcome: poison ? 'refused' : 'retry' })
    owner.log.warn(
      { error, event: { type, id, source }, poison },
      poison ? 'event refused' : 'event not handled, to be sent again',
    )
    if (poison) return error
    if (await failed?.()) return undefined
    return new Problem('dependency-unavailable', 'The event could not be handled now.', {
      cause: error,
      retryAfterSeconds: retryAfterOf(error),
    })
  } finally {
    clearTimeout(timer)
  }
}

function retryAfterOf(error: unknown): number | undefined {
  return error instanceof Problem ? error.retryAfterSeconds : undefined
}
