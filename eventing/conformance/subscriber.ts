/** The suite's own HTTP server: plays every subscriber and dead-letter sink, and notes what came. */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { EventMessage } from '@stampede/shared/events/cloud-event.ts'
import { fromHttp } from '@stampede/shared/events/http-binding.ts'

/** One request that came in. */
export type Arrival = {
  path: string
  headers: IncomingHttpHeaders
  message: EventMessage
  /** Monotonic, milliseconds. */
  atMs: number
}

/** What to answer; the default is 204. A handler may take its time. */
export type Answer = { status: number; headers?: Record<string, string>; body?: string }
export type Handler = (arrival: Arrival, earlier: number) => Answer | Promise<Answer>

const waitLimitMs = 60_000

export class Subscriber {
  readonly #server: Server
  readonly #handlers = new Map<string, Handler>()
  readonly #watchers = new Set<() => void>()
  readonly arrivals: Arrival[] = []

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => void this.#handle(request.url ?? '/', request.headers, Buffer.concat(chunks), response))
      request.on('error', () => {})
    })
    this.#server.keepAliveTimeout = 75_000
  }

  static async start(options: { port?: number; host?: string } = {}): Promise<Subscriber> {
    const subscriber = new Subscriber()
    await new Promise<void>((resolve, reject) => {
      subscriber.#server.once('error', reject)
      subscriber.#server.listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve)
    })
    return subscriber
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** How events that `id` names are answered at a path, from now on. */
  answer(path: string, id: string, handler: Handler): void {
    this.#handlers.set(`${path} ${id}`, handler)
  }

  /** What came to a path for events whose id begins so. */
  at(path: string, idPrefix: string): Arrival[] {
    return this.arrivals.filter(
      (arrival) => arrival.path === path && arrival.message.attributes['id']?.startsWith(idPrefix),
    )
  }

  /** Resolves with what `look` finds once it finds something; rejects after a minute, with what came so far. */
  async until<T>(what: string, look: () => T | undefined | false): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const check = () => {
      const found = look()
      if (found !== undefined && found !== false) resolve(found)
    }
    const timer = setTimeout(() => {
      const seen = this.arrivals.slice(-20).map(({ path, message }) => `${path} ${message.attributes['id']}`)
      reject(
        new Error(`${what} did not happen within ${waitLimitMs} ms; the last arrivals: ${seen.join(', ') || 'none'}`),
      )
    }, waitLimitMs)
    this.#watchers.add(check)
    check()
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#watchers.delete(check)
    }
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }

  #notify(): void {
    for (const watcher of this.#watchers) watcher()
  }

  async #handle(path: string, headers: IncomingHttpHeaders, body: Buffer, response: ServerResponse): Promise<void> {
    const found = fromHttp(headers, body)
    const message = found.kind === 'event' ? found.message : { attributes: {}, data: body }
    const id = message.attributes['id'] ?? ''
    const earlier = this.at(path, id).length
    const arrival = { path, headers, message, atMs: performance.now() }
    this.arrivals.push(arrival)
    this.#notify()
    const handler = this.#handlers.get(`${path} ${id}`)
    const answer = handler ? await handler(arrival, earlier) : { status: 204 }
    // What a check waits for may have changed in the handler.
    this.#notify()
    response.on('error', () => {})
    response.writeHead(answer.status, answer.headers).end(answer.body)
  }
}
