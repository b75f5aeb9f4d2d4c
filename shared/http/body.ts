/** Reads request bodies with a limit of size and time. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { Problem } from './problem.ts'

export type BodyLimits = { limitBytes: number; timeoutMs: number }

/** After a refusal this much of the rest is read and thrown away, so that the client gets to read the answer. */
const lingerBytes = 8 * 1_048_576
const lingerMs = 2_000

/**
 * Throws Problem `payload-too-large` or `request-timeout`; `invalid-request` when the client goes away within the body.
 * `headers` are the real ones: on its way through the runtime `request.headers` is something else.
 */
export function readBody(
  request: IncomingMessage,
  headers: IncomingHttpHeaders,
  { limitBytes, timeoutMs }: BodyLimits,
): Promise<Buffer> {
  const announced = Number(headers['content-length'] ?? 0)
  if (announced > limitBytes) {
    discardRest(request)
    return Promise.reject(tooLarge(limitBytes))
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const finish = (settle: () => void) => {
      clearTimeout(timer)
      request.off('data', onData)
      request.off('end', onEnd)
      request.off('error', onGone)
      request.off('close', onGone)
      settle()
    }
    const onData = (chunk: Buffer) => {
      length += chunk.length
      if (length > limitBytes) {
        finish(() => {
          discardRest(request)
          reject(tooLarge(limitBytes))
        })
      } else chunks.push(chunk)
    }
    const onEnd = () => finish(() => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length)))
    const onGone = () => finish(() => reject(new Problem('invalid-request', 'The body ended early.')))
    const timer = setTimeout(
      () =>
        finish(() => {
          discardRest(request)
          reject(new Problem('request-timeout', `The body did not arrive within ${timeoutMs} ms.`))
        }),
      timeoutMs,
    )
    request.on('data', onData)
    request.on('end', onEnd)
    request.on('error', onGone)
    request.on('close', onGone)
  })
}

function tooLarge(limitBytes: number): Problem {
  return new Problem('payload-too-large', `The body may have at most ${limitBytes} bytes.`, {
    extensions: { limitBytes },
  })
}

/** Closing while the client still sends would reset the connection and lose the answer. The patience has a limit too. */
export function discardRest(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return
  let left = lingerBytes
  const timer = setTimeout(() => request.destroy(), lingerMs)
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length
    if (left < 0) request.destroy()
  })
  request.on('error', () => {})
  request.once('close', () => clearTimeout(timer))
}
