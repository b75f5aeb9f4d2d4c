/**
 * Signing in as a person does, through the gateway: a code is asked for, comes by message (into the development outbox, where staff
 * of the tenant can read it), and makes an account with a session.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'undici'
import { localTenant } from './identity.ts'

export type SignedIn = { userId: string; token: string }

const codeWithinMs = 60_000
const lookEveryMs = 100

type Answer = { status: number; body: Record<string, unknown> }

/** @throws Error that says which step was answered what */
export async function signInByCode(pool: Pool, email: string, staffToken: string): Promise<SignedIn> {
  const auth = `/api/v1/tenants/${localTenant}/auth`
  const contact = { kind: 'email', value: email }
  await expect(202, pool, 'POST', `${auth}/codes`, { contact, purpose: 'register' })
  const code = await readCode(pool, email, staffToken)
  const { body } = await expect(201, pool, 'POST', `${auth}/registrations`, { contact, code })
  return { userId: String(body['userId']), token: String(body['accessToken']) }
}

async function readCode(pool: Pool, email: string, staffToken: string): Promise<string> {
  const deadline = performance.now() + codeWithinMs
  const path = `/api/v1/notifications/outbox?recipient=${encodeURIComponent(email)}`
  for (;;) {
    const { body } = await expect(200, pool, 'GET', path, undefined, staffToken)
    const [message] = body['messages'] as { body: string }[]
    const code = message && /\b\d{6}\b/.exec(message.body)?.[0]
    if (code !== undefined) return code
    if (performance.now() > deadline) throw new Error(`no code came for ${email} within ${codeWithinMs / 1_000} s`)
    await sleep(lookEveryMs)
  }
}

async function expect(
  status: number,
  pool: Pool,
  method: 'GET' | 'POST',
  path: string,
  body?: unknown,
  token?: string,
): Promise<Answer> {
  const response = await pool.request({
    method,
    path,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.body.text()
  if (response.statusCode !== status)
    throw new Error(`${method} ${path} answered ${response.statusCode}: ${text.slice(0, 300)}`)
  return { status, body: JSON.parse(text) as Record<string, unknown> }
}
