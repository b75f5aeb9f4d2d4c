/** Requests along a Route. `fetch` does not let the Host header be set, and the ingress goes by it. */
import http from 'node:http'
import https from 'node:https'
import type { Route } from './route.ts'

export type RouteAnswer = { status: number; headers: http.IncomingHttpHeaders; text: string; durationMs: number }

export type RouteCall = {
  method?: string
  headers?: Record<string, string>
  body?: string
  /** For the whole answer; default 15,000. */
  timeoutMs?: number
  /** For many requests; default: a connection for each request. */
  agent?: http.Agent | https.Agent
}

/** Nobody answered: the connection was refused or cut, or time ran out. What was asked for may have happened. */
export class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError'
}

const maximumBodyBytes = 4 * 1_024 * 1_024

/** @throws NoAnswerError when no whole answer came in time. */
export function send(
  route: Pick<Route, 'url' | 'host' | 'connect'>,
  path: string,
  call: RouteCall = {},
): Promise<RouteAnswer> {
  const { method = 'GET', headers = {}, body, timeoutMs = 15_000, agent = false } = call
  const secure = route.url.startsWith('https:')
  const { hostname, port } = new URL(`http://${route.connect}`)
  const beganMs = performance.now()
  return new Promise((resolve, reject) => {
    const request = (secure ? https : http).request(
      {
        host: hostname.replace(/^\[|\]$/g, ''),
        port: Number(port) || (secure ? 443 : 80),
        path,
        method,
        agent,
        headers: {
          ...headers,
          host: route.host,
          ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
        },
        ...(secure ? { servername: route.host } : {}),
        signal: AbortSignal.timeout(timeoutMs),
      },
      (response) => {
        const parts: Buffer[] = []
        let bytes = 0
        response.on('data', (part: Buffer) => {
          bytes += part.length
          if (bytes > maximumBodyBytes)
            request.destroy(new Error(`the answer is longer than ${maximumBodyBytes} bytes`))
          else parts.push(part)
        })
        response.once('error', fail)
        response.once('end', () => {
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(parts).toString('utf8'),
            durationMs: performance.now() - beganMs,
          })
        })
      },
    )
    const fail = (error: Error) =>
      reject(
        new NoAnswerError(
          `${method} ${route.host}${path} by ${route.connect}: ${error.name === 'TimeoutError' || error.name === 'AbortError' ? `no answer within ${timeoutMs / 1_000} s` : error.message}`,
          { cause: error },
        ),
      )
    request.once('error', fail)
    request.end(body)
  })
}
