/**
 * What staff do before a sale, over the same HTTP as the console: stock for a variant, an activity, its schedule, the pre-check.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Platform } from './platform.ts'

export type ActivityPlan = {
  name: string
  stock: number
  perUserLimit?: number
  buckets?: number
  startsAtMs: number
  endsAtMs: number
  paymentTimeoutSeconds?: number
  /** How long the sale may take to be warmed up; default 30,000. Functions that start from zero take longer. */
  warmWithinMs?: number
}

/** How a request gets there. Default: `fetch` of its URL; along the route of a cluster the Host header has to be another one. */
export type StaffTransport = (
  url: string,
  request: { method: string; headers: Record<string, string>; body: string | undefined },
) => Promise<{ status: number; text: string }>

/** Another answer than was hoped for. */
export class StaffError extends Error {
  override readonly name = 'StaffError'
  readonly status: number
  constructor(message: string, status: number) {
    super(message)
    this.status = status
  }
}

const usualWarmWithinMs = 30_000

const fetchTransport: StaffTransport = async (url, { method, headers, body }) => {
  const response = await fetch(url, { method, headers, body: body ?? null, signal: AbortSignal.timeout(15_000) })
  return { status: response.status, text: await response.text() }
}

export class Staff {
  readonly #platform: Pick<Platform, 'url'>
  readonly #token: string
  readonly #transport: StaffTransport

  constructor(platform: Pick<Platform, 'url'>, staffToken: string, transport = fetchTransport) {
    this.#platform = platform
    this.#token = staffToken
    this.#transport = transport
  }

  async call(method: string, url: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
    const { status, text } = await this.#transport(url, {
      method,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    })
    return { status, body: parseObject(text) }
  }

  async #expect(method: string, url: string, body?: unknown): Promise<Record<string, unknown>> {
    const answer = await this.call(method, url, body)
    if (answer.status >= 300)
      throw new StaffError(
        `${method} ${new URL(url).pathname} answered ${answer.status}: ${JSON.stringify(answer.body)}`,
        answer.status,
      )
    return answer.body
  }

  /** Creates and schedules an activity with stock of its own, and waits until its sale is warmed up. Returns its id. */
  async prepareActivity(plan: ActivityPlan): Promise<string> {
    const variantId = `phone-${randomBytes(5).toString('hex')}`
    await this.#expect('PUT', `${this.#platform.url('inventory')}/api/v1/stocks/${variantId}`, {
      version: 0,
      onHand: plan.stock,
      lowStockThreshold: 0,
      reason: 'delivered for the sale',
    })
    const activities = `${this.#platform.url('activity')}/api/v1/activities`
    const created = await this.#expect('POST', activities, {
      name: plan.name,
      variantId,
      stock: plan.stock,
      perUserLimit: plan.perUserLimit ?? 1,
      buckets: plan.buckets ?? 1,
      startsAt: new Date(plan.startsAtMs).toISOString(),
      endsAt: new Date(plan.endsAtMs).toISOString(),
      priceCents: 99_900,
      currency: 'EUR',
      paymentTimeoutSeconds: plan.paymentTimeoutSeconds ?? 900,
    })
    const activityId = String(created['activityId'])
    await this.#expect('POST', `${activities}/${activityId}/schedule`)
    await this.#warmedUp(activities, activityId, plan.warmWithinMs ?? usualWarmWithinMs)
    return activityId
  }

  async #warmedUp(activities: string, activityId: string, warmWithinMs: number): Promise<void> {
    const deadline = Date.now() + warmWithinMs
    for (;;) {
      const { state } = await this.#expect('GET', `${activities}/${activityId}`)
      if (state === 'warmed-up' || state === 'open') return
      if (state === 'allocation-refused' || Date.now() > deadline)
        throw new Error(
          `activity ${activityId} is "${String(state)}" and not warmed up after ${warmWithinMs / 1_000} s; see the logs`,
        )
      await sleep(100)
    }
  }
}

/** An ingress answers errors in plain text. */
function parseObject(text: string): Record<string, unknown> {
  if (text === '') return {}
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return { text: text.slice(0, 500) }
  }
}
