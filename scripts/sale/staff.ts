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
}

const warmWithinMs = 30_000

export class Staff {
  readonly #platform: Platform
  readonly #token: string

  constructor(platform: Platform, staffToken: string) {
    this.#platform = platform
    this.#token = staffToken
  }

  async call(method: string, url: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
    const response = await fetch(url, {
      method,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(15_000),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) }
  }

  async #expect(method: string, url: string, body?: unknown): Promise<Record<string, unknown>> {
    const answer = await this.call(method, url, body)
    if (answer.status >= 300)
      throw new Error(`${method} ${new URL(url).pathname} answered ${answer.status}: ${JSON.stringify(answer.body)}`)
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
    await this.#warmedUp(activities, activityId)
    return activityId
  }

  async #warmedUp(activities: string, activityId: string): Promise<void> {
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
