/**
 * Everything that touches faas-js-runtime. The runtime owns the HTTP server and calls the function; what it does not do well
 * is closed here and in `front.ts` (each gap has a test in `runtime-gaps.test.ts` or `serve-process.test.ts`):
 *
 * - it always listens on `::` and cannot take port 0. Its server is caught when it is made, and its `listen` gets our address;
 * - it answers timeouts and malformed HTTP in its own words: the listeners are replaced;
 * - it ends the process on signals at once, and on an uncaught exception with code 0: its process listeners are removed, the
 *   host has its own (`life.ts`);
 * - it merges a `func.yaml` of the working directory over the options: it is sent to look where there is none.
 *
 * Both catches happen within the synchronous part of `start()` and are undone before it returns to anyone else.
 */
import http from 'node:http'
import type { RequestListener, Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { dirname } from 'node:path'
import process from 'node:process'
import runtime from 'faas-js-runtime'
import { problemCodes } from '../http/problem.ts'
import type { ProblemCode } from '../http/problem.ts'
import { listenWide, type Listening } from './wide-listen.ts'

/** Under this key the front hands an exchange through the runtime. A client cannot send a symbol. */
export const exchangeKey = Symbol('stampede exchange')

export type RuntimeOptions = {
  port: number
  /** Undefined: all addresses, IPv6 and IPv4. */
  host: string | undefined
  /** Limit for receiving a whole request. Hot routes rely on it alone. */
  requestTimeoutMs: number
  /** Listener in front of the runtime's; `pass` is the runtime's. */
  front: (pass: RequestListener) => RequestListener
  /** The function that the runtime calls; gets what was put under `exchangeKey`. */
  invoke: (exchange: unknown) => Promise<void>
}

const trappedEvents = ['uncaughtException', 'SIGINT', 'SIGTERM', 'SIGQUIT'] as const

export type Runtime = Listening & {
  server: Server
  /** Closes connections that wait for nothing, those that never sent a byte too: Node's own method leaves these open. */
  closeIdle: () => void
}

export async function startRuntime(options: RuntimeOptions): Promise<Runtime> {
  const listening = Promise.withResolvers<Runtime>()
  const undo = [catchServer(options, listening), keepProcessListeners()]
  try {
    const handle = async (context: { headers: Record<symbol, unknown> }) => {
      await options.invoke(context.headers[exchangeKey])
    }
    // A directory that holds no func.yaml; the log level silences complaints about answers that we have sent ourselves.
    const settings = { port: 1, logLevel: 'fatal', config: dirname(process.execPath) }
    const started = runtime.start(handle as never, settings as never)
    started.catch(listening.reject)
  } finally {
    for (const step of undo) step()
  }
  return await listening.promise
}

export function urlOf(server: Server): string {
  const { address, port, family } = server.address() as AddressInfo
  if (address === '::' || address === '0.0.0.0') return `http://127.0.0.1:${port}`
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}

/** Until undone, the next server that is made gets our listeners and listens where we say. */
function catchServer(options: RuntimeOptions, listening: PromiseWithResolvers<Runtime>): () => void {
  const createServer = http.createServer
  const replacement = (given: http.ServerOptions, pass: RequestListener): Server => {
    const server = createServer(
      { ...given, connectionsCheckingInterval: 2_000, headersTimeout: Math.min(10_000, options.requestTimeoutMs) },
      options.front(pass),
    )
    const sockets = new Set<Socket>()
    server.on('connection', (socket) => {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    })
    const closeIdle = () => {
      server.closeIdleConnections()
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
    }
    server.listen = ((): Server => {
      server.requestTimeout = options.requestTimeoutMs
      // Longer than the idle limit of the proxies in front, so that it is never this side that closes first.
      server.keepAliveTimeout = 75_000
      server.removeAllListeners('clientError')
      server.on('clientError', answerClientError)
      // The runtime would end the process when the address is taken; the caller shall decide that.
      server.removeAllListeners('error')
      listenWide(server, options).then(({ close }) => listening.resolve({ server, close, closeIdle }), listening.reject)
      return server
    }) as Server['listen']
    return server
  }
  http.createServer = replacement as typeof http.createServer
  return () => {
    http.createServer = createServer
  }
}

/** Removes the process listeners that were added in between. */
function keepProcessListeners(): () => void {
  const before = trappedEvents.map((event) => process.listeners(event as 'SIGTERM'))
  return () => {
    for (const [index, event] of trappedEvents.entries()) {
      for (const listener of process.listeners(event as 'SIGTERM')) {
        if (!before[index]!.includes(listener)) process.off(event, listener)
      }
    }
  }
}

/** For requests that never became one: written on the socket, because there is no response object. */
function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  // Node keeps the answer that is being written on the socket; a second head would garble it.
  const answering = (socket as { _httpMessage?: { headersSent?: boolean } | null })._httpMessage?.headersSent === true
  if (!socket.writable || answering || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const { code, detail } = clientErrors[error.code ?? ''] ?? malformed
  const { status, title } = problemCodes[code]
  const body = JSON.stringify({ type: `urn:stampede:problem:${code}`, title, status, detail, code })
  socket.end(
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\ncontent-type: application/problem+json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  )
}

const malformed: { code: ProblemCode; detail: string } = {
  code: 'invalid-request',
  detail: 'The request is not valid HTTP.',
}
const clientErrors: Record<string, { code: ProblemCode; detail: string }> = {
  ERR_HTTP_REQUEST_TIMEOUT: { code: 'request-timeout', detail: 'The request did not arrive in time.' },
  HPE_HEADER_OVERFLOW: { code: 'headers-too-large', detail: 'The headers are too large.' },
}
