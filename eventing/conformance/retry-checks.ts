import { equal, match, ok } from 'node:assert/strict'
import type { BrokerUnderTest } from './broker-under-test.ts'
import type { Check } from './check.ts'
import { makeEvent, publish } from './publish.ts'
import type { Answer } from './subscriber.ts'
import { atLeast } from './transport-checks.ts'

/** Answers the first deliveries with these and every later one with 204. */
async function publishAnswered(
  broker: BrokerUnderTest,
  type: string,
  name: string,
  answers: Answer[],
): Promise<string> {
  const event = makeEvent(broker, type, name)
  broker.subscriber.answer(`/${type}`, event.id, (_arrival, earlier) => answers[earlier] ?? { status: 204 })
  await publish(broker, event)
  return event.id
}

/** Milliseconds between the deliveries of an event. */
async function gaps(broker: BrokerUnderTest, path: string, id: string, deliveries: number): Promise<number[]> {
  const arrivals = await broker.subscriber.until(`delivery ${deliveries} of ${id}`, () =>
    atLeast(deliveries, broker.subscriber.at(path, id)),
  )
  return arrivals.slice(1, deliveries).map(({ atMs }, index) => atMs - arrivals[index]!.atMs)
}

/** Timers may fire a little early by another clock. */
const toleranceMs = 15

const retried = [404, 408, 409, 429, 500, 501, 502, 503, 504]
const final = [400, 401, 403, 405, 406, 410, 413, 415, 422]

export const retryChecks: Check[] = [
  {
    title: 'retries – 404, 408, 409, 429 and 5xx are delivered again until they succeed',
    run: async (broker) => {
      const ids = await Promise.all(
        retried.map((status) => publishAnswered(broker, 'retry', `again-${status}`, [{ status }, { status }])),
      )
      for (const id of ids)
        await broker.subscriber.until(`the third delivery of ${id}`, () =>
          atLeast(3, broker.subscriber.at('/retry', id)),
        )
      for (const id of ids) equal(broker.subscriber.at('/dead/retry', id).length, 0, id)
    },
  },
  {
    title: 'retries – other refusals go to the dead letter after one attempt',
    run: async (broker) => {
      const body = JSON.stringify({ detail: 'no "use"' })
      const ids = await Promise.all(
        final.map((status) => publishAnswered(broker, 'retry', `never-${status}`, [{ status, body }])),
      )
      for (const [index, id] of ids.entries()) {
        const [letter] = await broker.subscriber.until(`the dead letter of ${id}`, () =>
          atLeast(1, broker.subscriber.at('/dead/retry', id)),
        )
        equal(broker.subscriber.at('/retry', id).length, 1, id)
        const { attributes, data } = letter!.message
        equal(attributes['knativeerrorcode'], String(final[index]))
        match(attributes['knativeerrordest'] ?? '', /\/retry$/)
        equal(attributes['type'], 'io.stampede.conformance.retry')
        equal(JSON.parse(data!.toString()).name, `never-${final[index]}`)
        const errorData = attributes['knativeerrordata'] ?? ''
        ok(errorData === body || Buffer.from(errorData, 'base64').toString() === body, `knativeerrordata: ${errorData}`)
      }
    },
  },
  {
    title: 'retries – there are retry + 1 attempts, then the dead letter tells the last answer',
    run: async (broker) => {
      const answers = [500, 503, 502, 204].map((status) => ({ status, body: `answer ${status}` }))
      const id = await publishAnswered(broker, 'retry', 'exhausted', answers)
      const [letter] = await broker.subscriber.until('the dead letter', () =>
        atLeast(1, broker.subscriber.at('/dead/retry', id)),
      )
      equal(broker.subscriber.at('/retry', id).length, 3)
      equal(letter!.message.attributes['knativeerrorcode'], '502')
    },
  },
  {
    title: 'dead letters – the sink of the Broker takes them when the Trigger has none',
    run: async (broker) => {
      const id = await publishAnswered(broker, 'broker-dead-letter', 'a', [{ status: 400 }])
      const [letter] = await broker.subscriber.until('the dead letter', () =>
        atLeast(1, broker.subscriber.at('/dead/broker', id)),
      )
      equal(letter!.message.attributes['knativeerrorcode'], '400')
    },
  },
  {
    title: 'dead letters – a subscriber that cannot be reached is tried again and then named',
    run: async (broker) => {
      const { id } = await publish(broker, makeEvent(broker, 'unreachable', 'a'))
      const [letter] = await broker.subscriber.until('the dead letter', () =>
        atLeast(1, broker.subscriber.at('/dead/unreachable', id)),
      )
      match(letter!.message.attributes['knativeerrordest'] ?? '', /127\.0\.0\.1:1\b/)
    },
  },
  {
    title: 'dead letters – a sink that fails gets the letter once it works again',
    localOnly: true,
    run: async (broker) => {
      const id = await publishAnswered(broker, 'retry', 'dead-sink-fails', [{ status: 400 }])
      // More failures than the retries of one round.
      broker.subscriber.answer('/dead/retry', id, (_arrival, earlier) => ({ status: earlier < 5 ? 500 : 204 }))
      await broker.subscriber.until('the sixth attempt', () => atLeast(6, broker.subscriber.at('/dead/retry', id)))
      equal(broker.subscriber.at('/retry', id).length, 1)
    },
  },
  {
    title: 'retries – an answer that does not come in time counts as a failure',
    run: async (broker) => {
      const { promise: release, resolve } = Promise.withResolvers<Answer>()
      const event = makeEvent(broker, 'timeout', 'slow')
      broker.subscriber.answer('/timeout', event.id, (_arrival, earlier) => (earlier === 0 ? release : { status: 204 }))
      await publish(broker, event)
      await broker.subscriber.until('the second delivery', () => atLeast(2, broker.subscriber.at('/timeout', event.id)))
      resolve({ status: 204 })
    },
  },
  {
    title: 'back-off – linear: waits grow by the delay',
    run: async (broker) => {
      const id = await publishAnswered(broker, 'linear', 'a', [{ status: 500 }, { status: 500 }, { status: 500 }])
      const waits = await gaps(broker, '/linear', id, 4)
      // Knative's dispatchers begin with one delay or with none: at least n − 1 delays before repeat n hold for all of them.
      for (const [index, wait] of waits.entries())
        ok(wait >= 200 * (broker.local ? index + 1 : index) - toleranceMs, `wait ${index + 1}: ${wait} ms`)
    },
  },
  {
    title: 'back-off – exponential: waits double',
    run: async (broker) => {
      const id = await publishAnswered(broker, 'exponential', 'a', [{ status: 500 }, { status: 500 }, { status: 500 }])
      const waits = await gaps(broker, '/exponential', id, 4)
      for (const [index, wait] of waits.entries())
        ok(wait >= 200 * 2 ** (broker.local ? index + 1 : index) - toleranceMs, `wait ${index + 1}: ${wait} ms`)
    },
  },
  {
    title: 'back-off – Retry-After in seconds and as a date is waited for',
    localOnly: true,
    run: async (broker) => {
      const inSeconds = await publishAnswered(broker, 'retry', 'after-seconds', [
        { status: 429, headers: { 'retry-after': '1' } },
      ])
      const [bySeconds] = await gaps(broker, '/retry', inSeconds, 2)
      ok(bySeconds! >= 1_000 - toleranceMs, `waited ${bySeconds} ms`)
      // Dates have whole seconds: three seconds from now is at least two.
      const event = makeEvent(broker, 'retry', 'after-date')
      broker.subscriber.answer('/retry', event.id, (_arrival, earlier) =>
        earlier > 0
          ? { status: 204 }
          : { status: 503, headers: { 'retry-after': new Date(Date.now() + 3_000).toUTCString() } },
      )
      await publish(broker, event)
      const [byDate] = await gaps(broker, '/retry', event.id, 2)
      ok(byDate! >= 2_000 - toleranceMs, `waited ${byDate} ms`)
    },
  },
]
