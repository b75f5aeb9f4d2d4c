/** A gateway with an upstream that does what each test says, for what happens while bodies come and go. */
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import { noLimits, startGateway, startUpstream, type Document, type TestGateway, type TestUpstream } from './testing.ts'

export const live = '/api/v1/seckill/a1/live'
export const press = '/api/v1/seckill/a1/purchases'
export const pressRoute = 'POST /api/v1/seckill/:activityId/purchases'
export const large = 64 * 1_048_576

/** One gateway in each file of tests; each test says what the upstream does with its own path. */
const handlers = new Map<string, (request: IncomingMessage, response: ServerResponse) => void>()
export let upstream: TestUpstream
export let gateway: TestGateway
let counter = 0

export const document: Document = {
  ...noLimits,
  body: { gatherBytes: 16_384, gatherMs: 1_500, idleMs: 1_500 },
  upstreams: {
    seckill: {
      timeouts: { headersGraceMs: 0, bodyIdleMs: 1_500, streamIdleMs: 10_000, clientIdleMs: 1_500 },
      breaker: { enabled: false },
      retries: { attempts: 1, backoffMs: 0, budgetBurst: 1_000 },
    },
  },
  routes: [
    { route: pressRoute, bodyLimitBytes: large },
    { route: 'GET /api/v1/seckill/:activityId/live', timeoutMs: 10_000 },
  ],
}

/** For `test.before`. */
export async function startPipe(): Promise<void> {
  upstream = await startUpstream((request, response) => {
    const id = new URL(request.url ?? '/', 'http://x').searchParams.get('id') ?? ''
    const handle = handlers.get(id)
    if (handle) handle(request, response)
    else response.writeHead(404).end()
  })
  gateway = await startGateway(upstream.url, document)
}

/** For `test.after.always`. */
export async function stopPipe(): Promise<void> {
  await gateway?.stop()
  await upstream?.stop()
}

/** What the upstream does for the path with this query. */
export function behind(handle: (request: IncomingMessage, response: ServerResponse) => void): string {
  const id = `h${++counter}`
  handlers.set(id, handle)
  return `?id=${id}`
}

/** Resolves when nothing more comes of it, whole or not. */
export const ended = (response: IncomingMessage) =>
  new Promise<void>((resolve) => {
    response.on('error', () => {})
    response.on('close', resolve)
    response.resume()
  })

export function open(method: string, path: string, headers: Record<string, string> = {}) {
  const { hostname, port } = new URL(gateway.url)
  const request = http.request({
    hostname,
    port,
    method,
    path,
    headers: { 'stampede-pass': 'x', ...headers },
    agent: false,
  })
  request.on('error', () => {})
  const answered = new Promise<IncomingMessage>((resolve) => {
    request.on('response', resolve)
  })
  return { request, answered }
}
