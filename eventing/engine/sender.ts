/** Sends one event once, over HTTP in binary content mode, and says what came back. */
import {
  Agent as HttpAgent,
  request as httpRequest,
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { EventMessage } from '@stampede/shared/events/cloud-event.ts'
import { toHttp } from '@stampede/shared/events/http-binding.ts'

export type Answer =
  | { kind: 'response'; status: number; headers: IncomingHttpHeaders; body: Buffer }
  /** No answer: refused or broken connection, timeout, answer too large. */
  | { kind: 'error'; detail: string }

/** Bearer token for a delivery to `url`. */
export type TokenProvider = (url: string) => Promise<string> | string

export type Sender = {
  send(url: string, message: EventMessage, options: { timeoutMs: number; signal: AbortSignal }): Promise<Answer>
  close(): void
}

const maximumAnswerBytes = 1_048_576

export function createSender(options: { token?: TokenProvider | undefined } = {}): Sender {
  const settings = { keepAlive: true, maxSockets: Infinity, maxFreeSockets: 256 }
  const http = new HttpAgent(settings)
  const https = new HttpsAgent(settings)

  const once = (url: URL, headers: Record<string, string>, body: Buffer, signal: AbortSignal) => {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const secure = url.protocol === 'https:'
    const request = (secure ? httpsRequest : httpRequest)(url, {
      method: 'POST',
      agent: secure ? https : http,
      headers,
      signal,
    })
    request.on('response', (response) => readAnswer(response, resolve, reject))
    request.on('error', reject)
    request.end(body)
    return { promise, request }
  }

  return {
    async send(url, message, { timeoutMs, signal }) {
      const timeout = AbortSignal.timeout(timeoutMs)
      const either = AbortSignal.any([timeout, signal])
      try {
        const { headers, body } = toHttp(message)
        if (options.token) headers['authorization'] = `Bearer ${await options.token(url)}`
        const target = new URL(url)
        for (let attempt = 1; ; attempt += 1) {
          const { promise, request } = once(target, headers, body, either)
          try {
            return await promise
          } catch (error) {
            if (attempt > 2 || !isStaleSocket(request, error)) throw error
          }
        }
      } catch (error) {
        if (timeout.aborted) return { kind: 'error', detail: `no answer within ${timeoutMs} ms` }
        return { kind: 'error', detail: textOf(error) }
      }
    },
    close() {
      http.destroy()
      https.destroy()
    },
  }
}

/** The other side closed a kept connection in the moment it was used again: nothing was read from it, and it costs no attempt. */
function isStaleSocket(request: ClientRequest, error: unknown): boolean {
  return request.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET'
}

function readAnswer(
  response: IncomingMessage,
  resolve: (answer: Answer) => void,
  reject: (error: Error) => void,
): void {
  const chunks: Buffer[] = []
  let bytes = 0
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > maximumAnswerBytes) response.destroy(new Error(`the answer is larger than ${maximumAnswerBytes} bytes`))
    else chunks.push(chunk)
  })
  response.on('end', () =>
    resolve({
      kind: 'response',
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: Buffer.concat(chunks),
    }),
  )
  response.on('error', reject)
}

/** Connection errors to several addresses of a name come as an AggregateError without a message. */
function textOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return textOf(error.errors[0])
  const { code, message } = error as NodeJS.ErrnoException
  return message || code || String(error)
}
