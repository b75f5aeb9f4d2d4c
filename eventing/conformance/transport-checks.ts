import { deepEqual, equal, ok } from 'node:assert/strict'
import { request } from 'node:http'
import type { Check } from './check.ts'
import { makeEvent, publish } from './publish.ts'

/** Status and body of a POST; not `fetch`, which sets a content type of its own. */
function post(url: string, headers: Record<string, string>, body: string): Promise<{ status: number; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>()
  const outgoing = request(url, { method: 'POST', headers }, (response) => {
    let text = ''
    response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
  })
  outgoing.on('error', reject)
  outgoing.end(body)
  return promise
}

export const transportChecks: Check[] = [
  {
    title: 'transport – an event in binary mode arrives with the same attributes and data',
    run: async (broker) => {
      const sent = await publish(
        broker,
        makeEvent(broker, 'transport', 'binary', {
          subject: 'Füße "50 %" 手机',
          time: '2026-01-02T03:04:05.678Z',
          colour: 'red',
          data: { text: 'ünï 手机', list: [1, 2, 3] },
        }),
      )
      const [arrival] = await broker.subscriber.until('the event', () =>
        atLeast(1, broker.subscriber.at('/transport', sent.id)),
      )
      const { attributes, data } = arrival!.message
      for (const name of ['specversion', 'id', 'source', 'type', 'subject', 'time', 'colour'] as const) {
        equal(attributes[name], sent[name], name)
      }
      equal(attributes['datacontenttype'], 'application/json')
      deepEqual(JSON.parse(data!.toString()), sent.data)
    },
  },
  {
    title: 'transport – an event in structured mode arrives in binary mode',
    run: async (broker) => {
      const event = makeEvent(broker, 'transport', 'structured', { colour: 'blue', data: { n: 1 } })
      const answer = await post(
        broker.ingressUrl,
        { 'content-type': 'application/cloudevents+json; charset=utf-8' },
        JSON.stringify(event),
      )
      equal(answer.status, 202)
      const [arrival] = await broker.subscriber.until('the event', () =>
        atLeast(1, broker.subscriber.at('/transport', event.id)),
      )
      ok(arrival!.headers['ce-id'] !== undefined, 'binary mode')
      equal(arrival!.message.attributes['colour'], 'blue')
      deepEqual(JSON.parse(arrival!.message.data!.toString()), { n: 1 })
    },
  },
  {
    title: 'transport – bytes that are not JSON arrive unchanged',
    run: async (broker) => {
      const bytes = Buffer.from([0, 1, 2, 250, 251, 255, 10, 13])
      const event = makeEvent(broker, 'transport', 'bytes', {
        datacontenttype: 'application/octet-stream',
        data: bytes,
      })
      await publish(broker, event)
      const [arrival] = await broker.subscriber.until('the event', () =>
        atLeast(1, broker.subscriber.at('/transport', event.id)),
      )
      deepEqual(arrival!.message.data, bytes)
      equal(arrival!.message.attributes['datacontenttype'], 'application/octet-stream')
    },
  },
  {
    title: 'ingress – what is no CloudEvent 1.0 is refused with 400',
    run: async (broker) => {
      const whole = {
        'ce-specversion': '1.0',
        'ce-id': `${broker.run}-x`,
        'ce-source': '/conformance',
        'ce-type': 'x',
        'content-type': 'application/json',
      }
      const { 'ce-id': _id, ...withoutId } = whole
      const { 'ce-type': _type, ...withoutType } = whole
      const { 'ce-source': _source, ...withoutSource } = whole
      for (const headers of [
        withoutId,
        withoutType,
        withoutSource,
        { ...whole, 'ce-specversion': '0.9' },
        { 'content-type': 'application/json' },
      ]) {
        equal((await post(broker.ingressUrl, headers, '{}')).status, 400, JSON.stringify(headers))
      }
      equal(
        (await post(broker.ingressUrl, { 'content-type': 'application/cloudevents+json' }, '{"specversion":')).status,
        400,
      )
    },
  },
  {
    title: 'ingress – an unknown broker is answered 404',
    run: async (broker) => {
      const event = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/x', 'ce-type': 'x' }
      equal((await post(`${broker.ingressUrl}-that-is-not-there`, event, '')).status, 404)
    },
  },
]

export const atLeast = <T>(count: number, found: T[]): T[] | undefined => (found.length >= count ? found : undefined)
