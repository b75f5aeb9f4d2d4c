/**
 * One press of "buy" over real HTTP, and what came of it.
 */
import type { Readable } from 'node:stream'
import type { Pool } from 'undici'
import type { RubbishKind } from './crowd-plan.ts'

export type Credentials = { pass?: string; token?: string }

export type PressResult = {
  status: number
  /** `accepted`, a problem code, or `no-answer` when the connection failed. */
  outcome: string
  orderNumber: string | undefined
  latencyMs: number
}

type Answer = { orderNumber?: string; code?: string }

function parseAnswer(text: string): Answer {
  try {
    return JSON.parse(text) as Answer
  } catch {
    return {}
  }
}

/** The request a press makes: a proper one, or one of the kinds of rubbish. */
export function pressRequest(
  credentials: Credentials,
  options: { quantity?: number; idempotencyKey?: string; rubbish?: RubbishKind } = {},
) {
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (credentials.pass !== undefined) headers['stampede-pass'] = credentials.pass
  else if (credentials.token !== undefined) headers['authorization'] = `Bearer ${credentials.token}`
  const quantity = options.quantity ?? 1
  let body = JSON.stringify(
    options.idempotencyKey === undefined ? { quantity } : { quantity, idempotencyKey: options.idempotencyKey },
  )
  switch (options.rubbish) {
    case 'no-token':
      delete headers['stampede-pass']
      delete headers['authorization']
      break
    case 'forged-pass':
      headers['stampede-pass'] = `${(credentials.pass ?? 'v1.x.y.z').slice(0, -4)}AAAA`
      break
    case 'pass-of-another-activity':
      headers['stampede-pass'] = 'v1.other.e30.AAAA'
      break
    case 'not-json':
      body = '{"quantity": 1'
      break
    case 'quantity-zero':
      body = '{"quantity":0}'
      break
    case 'quantity-text':
      body = '{"quantity":"1; drop table orders"}'
      break
    case 'quantity-huge':
      body = '{"quantity":1e309}'
      break
    case 'unknown-field':
      body = '{"quantity":1,"priceCents":1}'
      break
    case 'body-too-large':
      body = JSON.stringify({ quantity: 1, padding: 'x'.repeat(4_096) })
      break
    case undefined:
      break
  }
  return { headers, body }
}

export async function press(
  pool: Pool,
  activityId: string,
  request: { headers: Record<string, string>; body: string | Readable },
): Promise<PressResult> {
  const begun = performance.now()
  try {
    const response = await pool.request({
      method: 'POST',
      path: `/api/v1/seckill/${activityId}/purchases`,
      headers: request.headers,
      body: request.body,
    })
    const text = await response.body.text()
    const latencyMs = performance.now() - begun
    const answer = parseAnswer(text)
    if (response.statusCode === 202 && answer.orderNumber !== undefined)
      return { status: 202, outcome: 'accepted', orderNumber: answer.orderNumber, latencyMs }
    return {
      status: response.statusCode,
      outcome: answer.code ?? `status-${response.statusCode}`,
      orderNumber: answer.orderNumber,
      latencyMs,
    }
  } catch {
    // The connection was refused or cut: there is no answer, and the buyer does not know. The tally says so.
    return { status: 0, outcome: 'no-answer', orderNumber: undefined, latencyMs: performance.now() - begun }
  }
}
