/** Events of tests: a sink that takes what functions publish, and deliveries to a function as the broker makes them. */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { z } from 'zod'
import { toCloudEvent, type OutgoingEvent } from '../events/publish.ts'
import { eventToHttp } from '../events/http-binding.ts'
import type { CloudEvent } from '../events/cloud-event.ts'
import type { TestIdentity } from './identity.ts'

export type PublishedEvent = {
  id: string
  type: string
  subject: string
  partitionkey: string | undefined
  data: Record<string, unknown>
}

export type EventSink = {
  /** For K_SINK. */
  url: string
  events: PublishedEvent[]
  /** The data of the events of a type, in the order they came, as soon as there are `count`. Throws after 10 seconds. */
  waitFor(type: string, count?: number): Promise<Record<string, unknown>[]>
  /** From now on each event is also given to this function, as soon as it came. */
  onEvent(take: (event: PublishedEvent, headers: http.IncomingHttpHeaders, body: Buffer) => Promise<void>): void
  stop(): Promise<void>
}

const waitLimitMs = 10_000

/** Takes events in binary mode and answers 202. */
export async function startEventSink(): Promise<EventSink> {
  const events: PublishedEvent[] = []
  const takers: Parameters<EventSink['onEvent']>[0][] = []
  const take = async (request: http.IncomingMessage, response: http.ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    const attribute = (name: string) => decodeURIComponent(String(request.headers[`ce-${name}`] ?? ''))
    const event: PublishedEvent = {
      id: attribute('id'),
      type: attribute('type'),
      subject: attribute('subject'),
      partitionkey: attribute('partitionkey') || undefined,
      data: JSON.parse(body.toString()) as Record<string, unknown>,
    }
    events.push(event)
    for (const taker of takers) await taker(event, request.headers, body)
    response.writeHead(202).end()
  }
  const server = http.createServer((request, response) => {
    take(request, response).catch((error: unknown) => response.writeHead(503).end(String(error)))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    events,
    waitFor: async (type, count = 1) => {
      const untilMs = performance.now() + waitLimitMs
      for (;;) {
        const found = events.filter((event) => event.type === type)
        if (found.length >= count) return found.map((event) => event.data)
        if (performance.now() > untilMs) {
          throw new Error(
            `${found.length} of ${count} events ${type} after ${waitLimitMs} ms; came: ${events.map((event) => event.type).join(', ')}`,
          )
        }
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    },
    onEvent: (taker) => {
      takers.push(taker)
    },
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Delivers an event to one function of a host, as the broker does. Returns the status. */
export async function deliver<S extends z.ZodType>(
  host: { url: string; identity: TestIdentity },
  functionName: string,
  event: OutgoingEvent<S> | CloudEvent,
): Promise<number> {
  const cloudEvent = 'specversion' in event ? event : toCloudEvent(event)
  const { headers, body } = eventToHttp(cloudEvent)
  const response = await fetch(`${host.url}/events/${functionName}`, {
    method: 'POST',
    headers: { ...headers, authorization: `Bearer ${await host.identity.serviceToken()}` },
    body,
  })
  await response.body?.cancel()
  return response.status
}

/** Runs a scheduled task of a function, as a PingSource does. Returns the status. */
export async function ping(
  host: { url: string; identity: TestIdentity },
  functionName: string,
  task: string,
): Promise<number> {
  const id = `${functionName}-${task}-${Math.random().toString(36).slice(2)}`
  return deliver(host, functionName, {
    specversion: '1.0',
    id,
    source: '/pings',
    type: 'dev.knative.sources.ping',
    datacontenttype: 'application/json',
    data: { function: functionName, task },
  })
}
