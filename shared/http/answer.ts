/** Writes answers on the raw response, for hot routes and the host alike: one form of problem documents everywhere. */
import type { ServerResponse } from 'node:http'
import { Problem } from './problem.ts'

const problemHeaders = { 'content-type': 'application/problem+json', 'cache-control': 'no-store' }

/** Sends JSON text that is made already. Does nothing when an answer has begun or the client is gone. */
export function sendJsonText(
  response: ServerResponse,
  status: number,
  json: string,
  headers?: Record<string, string>,
): void {
  if (response.headersSent || response.destroyed) return
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
    'content-length': Buffer.byteLength(json),
    ...headers,
  })
  response.end(json)
}

export function sendJson(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers?: Record<string, string>,
): void {
  sendJsonText(response, status, JSON.stringify(value), headers)
}

/** Sends the problem document with the headers that belong to its status (`Retry-After`, `WWW-Authenticate`). */
export function sendProblem(response: ServerResponse, problem: Problem, headers?: Record<string, string>): void {
  if (response.headersSent || response.destroyed) return
  const body = JSON.stringify(problem.toDocument())
  const own: Record<string, string | number> = {
    ...problemHeaders,
    'content-length': Buffer.byteLength(body),
    ...headers,
  }
  if (problem.retryAfterSeconds !== undefined) own['retry-after'] = Math.max(0, Math.ceil(problem.retryAfterSeconds))
  if (problem.status === 401) own['www-authenticate'] = 'Bearer'
  response.writeHead(problem.status, own)
  response.end(body)
}

/** What is sent for something unexpected: the message stays in the log. */
export function internalProblem(cause: unknown): Problem {
  return new Problem('internal', 'The request failed unexpectedly. The failure was recorded.', { cause })
}
