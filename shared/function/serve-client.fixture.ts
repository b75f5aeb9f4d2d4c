/** What the contract tests of the host share: the probe on a server of its own, requests to it, and what a problem must look like. */
import type { ExecutionContext } from 'ava'
import { createTestIdentity } from '../testing/identity.ts'
import { serve } from './serve.ts'
import { createProbe } from './serve.fixture.ts'

export const identity = await createTestIdentity()
export const environment = { ...identity.environment, LOG_LEVEL: 'silent' }

export async function serveProbe(extra: Record<string, string> = {}) {
  const { definition, state } = createProbe()
  const serving = await serve([definition], { port: 0, host: '127.0.0.1', environment: { ...environment, ...extra } })
  return { ...serving, definition, state, call: callsTo(serving.url) }
}

/** One probe on its own server; stopped when the test ends. */
export async function started(t: ExecutionContext, extra: Record<string, string> = {}) {
  const serving = await serveProbe(extra)
  t.teardown(serving.stop)
  return serving
}

// eslint-disable-next-line typescript/no-explicit-any -- the tests look into documents of many shapes
export type Answer = { status: number; headers: Headers; body: any; text: string }

/** Sends requests to this server, or to another with `base`. */
function callsTo(url: string) {
  return async (path: string, init: RequestInit & { base?: string } = {}): Promise<Answer> => {
    const response = await fetch(`${init.base ?? url}${path}`, { redirect: 'manual', ...init })
    const text = await response.text()
    const json = response.headers.get('content-type')?.includes('json') && text !== ''
    return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : undefined, text }
  }
}

export const json = (method: string, body: unknown, headers: Record<string, string> = {}): RequestInit => ({
  method,
  headers: { 'content-type': 'application/json', ...headers },
  body: typeof body === 'string' ? body : JSON.stringify(body),
})

/** Asserts a problem document as the documents promise it. */
export function problem(t: ExecutionContext, answer: Answer, status: number, code: string): void {
  t.is(answer.status, status, answer.text)
  t.is(answer.headers.get('content-type'), 'application/problem+json')
  t.like(answer.body, { type: `urn:stampede:problem:${code}`, status, code })
  t.is(typeof answer.body.title, 'string')
}

/** A body that the probe takes. */
export const item = { name: 'phone', count: 2 }
