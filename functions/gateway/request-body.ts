/**
 * The body of a request on its way to an upstream. A small one is taken in first: a slow sender then holds no connection to an upstream,
 * and the request can be repeated. Anything else is passed on while it comes, at the speed of the slower side.
 */
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { discardRest } from '@stampede/shared/http/body.ts'
import { Problem } from '@stampede/shared/http/problem.ts'

export type GatherLimits = { bytes: number; timeoutMs: number }

/** Calls back once: with the whole body, or with a problem. Never when the client goes away. */
export function gatherBody(
  request: IncomingMessage,
  { bytes, timeoutMs }: GatherLimits,
  done: (body: Buffer | Problem) => void,
): void {
  let chunks: Buffer[] | undefined
  let first: Buffer | undefined
  let length = 0
  const timer = setTimeout(() => finish(tooSlow(timeoutMs)), timeoutMs)
  const finish = (result: Buffer | Problem): void => {
    clearTimeout(timer)
    request.off('data', onData)
    request.off('end', onEnd)
    request.off('close', onClose)
    done(result)
  }
  const onData = (chunk: Buffer): void => {
    length += chunk.length
    if (length > bytes) return finish(tooLarge(bytes))
    if (first === undefined) first = chunk
    else (chunks ??= [first]).push(chunk)
  }
  const onEnd = (): void => finish(chunks ? Buffer.concat(chunks, length) : (first ?? Buffer.alloc(0)))
  const onClose = (): void => clearTimeout(timer)
  request.on('data', onData)
  request.on('end', onEnd)
  request.on('close', onClose)
}

export type PassLimits = { bytes: number; idleMs: number }

/** The body as a stream; `refused` says why it was broken off. A stream of its own: what happens to it must not end the client's connection. */
export function passBody(
  request: IncomingMessage,
  limits: PassLimits,
  refused: (problem: Problem) => void,
): PassThrough {
  const body = new PassThrough()
  // Whoever reads it hears of it, too; nobody may be reading any more.
  body.on('error', () => {})
  let length = 0
  const timer = setTimeout(() => {
    // It is the upstream that does not read; its own time limits tell.
    if (request.isPaused()) timer.refresh()
    else stop(tooSlow(limits.idleMs))
  }, limits.idleMs)
  const stop = (problem: Problem): void => {
    end()
    refused(problem)
    body.destroy(problem)
  }
  const end = (): void => {
    clearTimeout(timer)
    request.off('data', onData)
    request.off('end', onEnd)
    request.off('close', onClose)
  }
  const onData = (chunk: Buffer): void => {
    timer.refresh()
    length += chunk.length
    if (length > limits.bytes) return stop(tooLarge(limits.bytes))
    if (!body.write(chunk)) request.pause()
  }
  const onEnd = (): void => {
    end()
    body.end()
  }
  const onClose = (): void => {
    end()
    body.destroy(new Error('the client went away within the body'))
  }
  body.on('drain', () => request.resume())
  body.on('close', () => {
    end()
    // An answer may come before the body has ended: nobody reads the rest, and it must not stop the client.
    if (!request.complete && !request.destroyed) discardRest(request)
  })
  request.on('data', onData)
  request.on('end', onEnd)
  request.on('close', onClose)
  return body
}

export const tooLarge = (limitBytes: number): Problem =>
  new Problem('payload-too-large', `The body may have at most ${limitBytes} bytes.`, { extensions: { limitBytes } })

const tooSlow = (timeoutMs: number): Problem =>
  new Problem('request-timeout', `The body did not arrive in time (${timeoutMs} ms).`)
