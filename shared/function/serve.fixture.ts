/** The function that the host's contract tests serve, in their own process and in a child's. */
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { orderCancelled, orderPaid } from '@stampede/eventing/catalogue/events.ts'
import { sendJson } from '../http/answer.ts'
import { Problem } from '../http/problem.ts'
import { Reply, StreamReply, defineFunction, every, hotRoute, on, route } from './declaration.ts'
import type { ReceivedEvent } from './declaration.ts'

export type ProbeState = {
  handled: ReceivedEvent<unknown>[]
  ticks: number
  stopped: number
  draining: AbortSignal
  /** What the handler of `order.paid` does next; default nothing. */
  onPaid: () => Promise<void>
  /** The same for the task `tick`. */
  onTick: () => Promise<void>
  ready: () => Promise<void>
  sawAbort: boolean
  /** Requests of `/held` that wait, and what lets them go. */
  held: number
  release: () => void
}

/** A fresh function with its state in reach of the test. */
export function createProbe(name = 'probe') {
  const gate = Promise.withResolvers<void>()
  const state: ProbeState = {
    held: 0,
    release: gate.resolve,
    handled: [],
    ticks: 0,
    stopped: 0,
    draining: new AbortController().signal,
    onPaid: async () => {},
    onTick: async () => {},
    ready: async () => {},
    sawAbort: false,
  }
  const item = z.object({ name: z.string().max(20), count: z.int().min(1), extra: z.unknown().optional() })
  const definition = defineFunction({
    name,
    summary: 'What the host must do, tried out.',
    config: z.object({ PROBE_GREETING: z.string().default('hello') }),
    connect: (_config, host) => {
      state.draining = host.draining
      return state
    },
    routes: [
      route(
        'GET',
        `/${name}/items/:itemId`,
        {
          auth: 'public',
          summary: 'Shows what it was given.',
          query: z.object({ limit: z.coerce.number().int().min(1).max(10).optional() }).loose(),
        },
        ({ params, query, headers, principal }) => ({ params, query, test: headers['x-test'], principal }),
      ),
      route(
        'PUT',
        `/${name}/items/:itemId`,
        {
          auth: 'public',
          summary: 'Gives the body back.',
          params: z.object({ itemId: z.string().regex(/^[a-z0-9-]+$/) }),
          body: item,
          reply: item,
        },
        ({ body }) => body,
      ),
      route(
        'POST',
        `/${name}/items`,
        { auth: 'public', summary: 'Creates.', body: item, status: 201, bodyLimitBytes: 1_000 },
        ({ body }) => new Reply(201, body, { location: '/somewhere' }),
      ),
      route(
        'DELETE',
        `/${name}/items/:itemId`,
        { auth: 'staff', permission: 'stocks.manage', summary: 'Nothing to say.' },
        () => undefined,
      ),
      route('GET', `/${name}/mine`, { auth: 'user', summary: 'Who is calling.' }, ({ principal }) => principal),
      route('GET', `/${name}/internal`, { auth: 'service', summary: 'For functions.' }, ({ principal }) => principal),
      route('GET', `/${name}/broken`, { auth: 'public', summary: 'Fails.' }, () => {
        throw Object.assign(new Error('password=hunter2'), { code: 201, statusCode: 201 })
      }),
      route('GET', `/${name}/refused`, { auth: 'public', summary: 'Refuses.' }, () => {
        throw new Problem('sold-out', 'Nothing is left.', { extensions: { left: 0 } })
      }),
      route(
        'GET',
        `/${name}/slow`,
        {
          auth: 'public',
          summary: 'Takes its time.',
          query: z.object({ ms: z.coerce.number().max(60_000) }),
          timeoutMs: 30_000,
        },
        async ({ query }) => {
          await sleep(query.ms)
          return { slept: query.ms }
        },
      ),
      route('GET', `/${name}/held`, { auth: 'public', summary: 'Waits for the test.' }, async () => {
        state.held++
        await gate.promise
        return { released: true }
      }),
      route(
        'GET',
        `/${name}/hangs`,
        { auth: 'public', summary: 'Never answers.', timeoutMs: 50 },
        async ({ signal }) => {
          signal.addEventListener('abort', () => (state.sawAbort = true))
          await new Promise(() => {})
        },
      ),
      route(
        'GET',
        `/${name}/stream`,
        { auth: 'public', summary: 'Events until the end.' },
        () =>
          new StreamReply(async (response, signal) => {
            response.writeHead(200, { 'content-type': 'text/event-stream' })
            response.write('data: first\n\n')
            await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
            response.end('data: last\n\n')
          }),
      ),
      route(
        'GET',
        `/${name}/text`,
        { auth: 'public', summary: 'Text.' },
        () => new Reply(200, 'a;b\n', { 'content-type': 'text/csv' }),
      ),
      route('POST', `/${name}/crash`, { auth: 'public', summary: 'Throws where nobody catches.' }, () => {
        setTimeout(() => {
          throw new Error('nobody caught this')
        }, 10)
        return { crashing: true }
      }),
      route('POST', `/${name}/reject`, { auth: 'public', summary: 'Rejects where nobody catches.' }, () => {
        setTimeout(() => void Promise.reject(new Error('nobody awaited this')), 10)
        return { rejecting: true }
      }),
      hotRoute(
        'POST',
        `/${name}/hot/:itemId/press`,
        { auth: 'public', summary: 'Answers in front.' },
        () =>
          (request, response, [itemId]) => {
            if (itemId === 'broken') throw new Error('hot and broken')
            request.resume()
            sendJson(response, 202, { itemId, method: request.method, url: request.url })
          },
      ),
      hotRoute(
        'GET',
        `/${name}/hot/:itemId`,
        { auth: 'public', summary: 'Answers in front, later.' },
        () =>
          (request, response, [itemId]) => {
            setTimeout(() => sendJson(response, 200, { itemId, url: request.url }), 5)
          },
      ),
    ],
    events: [
      on(orderPaid, async (event, own: ProbeState) => {
        await own.onPaid()
        own.handled.push(event)
      }),
      on(orderCancelled, async (event, own: ProbeState) => {
        own.handled.push(event)
      }),
    ],
    schedules: [
      every('tick', '* * * * *', async (own: ProbeState) => {
        await own.onTick()
        own.ticks++
      }),
    ],
    ready: async (own) => own.ready(),
    stop: async (own) => {
      own.stopped++
      if (process.env['PROBE_TELLS']) process.stdout.write(`stopped ${own.stopped}\n`)
    },
  })
  return { state, definition }
}
