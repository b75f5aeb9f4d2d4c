/**
 * The crowd: a process of its own that plays all buyers over real HTTP. It is told what to do by its parent and reports as it
 * goes; at the end it hands over every 202 it holds, so that they can be compared with what is stored.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'undici'
import type { JWK } from 'jose'
import { answeredPassBody } from './challenge.ts'
import { planCrowd, usualShares, type Buyer, type CrowdShares } from './crowd-plan.ts'
import { createTokenMint } from './identity.ts'
import { percentile } from './percentiles.ts'
import { press, pressRequest, type Credentials } from './press.ts'
import { seededRandom } from './random.ts'
import { signInByCode } from './sign-in.ts'
import { CrowdTally, type HeldOrder, type Tally } from './tally.ts'

export type CrowdOrders = {
  /** Where the sale's function answers. */
  url: string
  activityId: string
  signingKey: JWK
  buyers: number
  seed: number
  connections: number
  shares?: CrowdShares
  /** Presses a second; undefined: as fast as the answers come. */
  pacePerSecond?: number
  /** How often a buyer without an answer, or told to come back (503), presses again with the same idempotency key. */
  persistence?: number
  /** So many buyers register and sign in through `url`, which is a gateway then; the tokens of the others are made in advance. */
  signingIn?: number
}

export type CrowdMessage =
  | { type: 'progress'; phase: 'tokens' | 'passes' | 'rush'; done: number; of: number; tally: Tally }
  | { type: 'ready' }
  | { type: 'finished'; result: CrowdResult }
  | { type: 'failed'; reason: string }

export type CrowdResult = {
  tally: Tally
  held: HeldOrder[]
  rushMs: number
  rushRequests: number
  ratePerSecond: number
  p50Ms: number
  p95Ms: number
  p99Ms: number
}

const maximumPassAttempts = 40

/** Runs `work` for each item, at most `width` at a time. */
async function inParallel<T>(items: readonly T[], width: number, work: (item: T) => Promise<void>): Promise<void> {
  const iterator = items.values()
  const runner = async () => {
    for (const item of iterator) await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, runner))
}

async function fetchPass(pool: Pool, activityId: string, token: string): Promise<string> {
  let body: string | undefined
  for (let attempt = 1; ; attempt++) {
    const response = await pool.request({
      method: 'POST',
      path: `/api/v1/seckill/${activityId}/pass`,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body ?? null,
    })
    const text = await response.body.text()
    if (response.statusCode === 200 || response.statusCode === 201) return (JSON.parse(text) as { pass: string }).pass
    // The refusal brings the challenge along. Solved here, while the countdown runs, so that the rush knows nothing of it.
    if (response.statusCode === 403 && attempt < maximumPassAttempts) {
      body = answeredPassBody(JSON.parse(text))
      if (body !== undefined) continue
    }
    if (response.statusCode < 500 || attempt === maximumPassAttempts)
      throw new Error(`a buyer got no pass: status ${response.statusCode}, ${text.slice(0, 200)}`)
    await sleep(250)
  }
}

export class Crowd {
  readonly #orders: CrowdOrders
  readonly #say: (message: CrowdMessage) => void
  readonly #pool: Pool
  readonly #buyers: Buyer[]
  readonly #credentials = new Map<string, Credentials>()
  readonly #tally = new CrowdTally()

  constructor(orders: CrowdOrders, say: (message: CrowdMessage) => void) {
    this.#orders = orders
    this.#say = say
    this.#pool = new Pool(orders.url, {
      connections: orders.connections,
      pipelining: 1,
      headersTimeout: 30_000,
      bodyTimeout: 30_000,
    })
    this.#buyers = planCrowd(
      orders.buyers,
      orders.seed,
      orders.shares ?? usualShares,
      Math.min(orders.signingIn ?? 0, orders.buyers),
    )
  }

  #progress(phase: 'tokens' | 'passes' | 'rush', done: number): void {
    this.#say({ type: 'progress', phase, done, of: this.#buyers.length, tally: this.#tally.snapshot() })
  }

  /**
   * Every buyer signs in (a token) and fetches a pass, as a buyer's browser does while the countdown runs. The impatient come first
   * and press at once, so that they are early however long the others take.
   */
  async prepare(): Promise<void> {
    const mint = await createTokenMint(this.#orders.signingKey)
    let done = 0
    const staffToken = await mint('outbox-reader', ['support'])
    const signIn = async (buyer: Buyer) => {
      if (buyer.signsIn) {
        const signedIn = await signInByCode(this.#pool, `${buyer.userId}@example.org`, staffToken)
        buyer.userId = signedIn.userId
        this.#credentials.set(buyer.userId, { token: signedIn.token })
      } else this.#credentials.set(buyer.userId, { token: await mint(buyer.userId) })
      if (++done % 1_000 === 0) this.#progress('tokens', done)
    }
    let passes = 0
    const getPass = async (buyer: Buyer) => {
      const credentials = this.#credentials.get(buyer.userId)
      if (credentials?.token === undefined) throw new Error(`no token for ${buyer.userId}`)
      if (!buyer.withoutPass) credentials.pass = await fetchPass(this.#pool, this.#orders.activityId, credentials.token)
      if (++passes % 500 === 0) this.#progress('passes', passes)
    }
    const impatient = this.#buyers.filter((buyer) => buyer.early)
    await inParallel(impatient, 64, async (buyer) => {
      await signIn(buyer)
      await getPass(buyer)
      await this.#pressOnce(buyer)
    })
    const others = this.#buyers.filter((buyer) => !buyer.early)
    // A sign-in costs a hash that is made to be dear; people do not sign in all at once either.
    await inParallel(
      others.filter(({ signsIn }) => signsIn),
      4,
      signIn,
    )
    await inParallel(
      others.filter(({ signsIn }) => !signsIn),
      64,
      signIn,
    )
    await inParallel(others, 64, getPass)
    this.#say({ type: 'ready' })
  }

  async #pressOnce(buyer: Buyer, options: Parameters<typeof pressRequest>[1] = {}): Promise<string> {
    const request = pressRequest(this.#credentials.get(buyer.userId) ?? {}, options)
    const pressedAtMs = Date.now()
    const result = await press(this.#pool, this.#orders.activityId, request)
    this.#tally.record(result, buyer.userId, options.quantity ?? 1, pressedAtMs)
    return result.outcome
  }

  /** Presses until there is a true answer: one key, so that a repeated press is not a second purchase. */
  async #pressUntilAnswered(buyer: Buyer, random: () => number): Promise<void> {
    const patience = this.#orders.persistence ?? 0
    const options = patience > 0 ? { idempotencyKey: `${buyer.userId}-1` } : {}
    for (let attempt = 0; ; attempt++) {
      const outcome = await this.#pressOnce(buyer, options)
      const again =
        outcome === 'no-answer' ||
        outcome === 'overloaded' ||
        outcome === 'recovering' ||
        outcome === 'dependency-unavailable'
      if (!again || attempt >= patience) return
      await sleep(200 + random() * 300)
    }
  }

  async rush(): Promise<CrowdResult> {
    const random = seededRandom(this.#orders.seed + 1)
    const requestsBefore = this.#tally.snapshot().requests
    const latenciesBefore = this.#tally.latenciesMs.length
    const begun = performance.now()
    let done = 0
    const report = setInterval(() => this.#progress('rush', done), 200)
    const pace = this.#orders.pacePerSecond
    let turn = 0
    await inParallel(this.#buyers, this.#orders.connections, async (buyer) => {
      if (pace !== undefined) {
        const dueMs = begun + (turn++ * 1_000) / pace
        const waitMs = dueMs - performance.now()
        if (waitMs > 0) await sleep(waitMs)
      }
      if (buyer.rubbish !== undefined) await this.#pressOnce(buyer, { rubbish: buyer.rubbish })
      await this.#pressUntilAnswered(buyer, random)
      if (buyer.twice) await this.#pressOnce(buyer)
      done++
    })
    clearInterval(report)
    const rushMs = performance.now() - begun
    this.#progress('rush', done)
    const latencies = this.#tally.latenciesMs.slice(latenciesBefore)
    const rushRequests = this.#tally.snapshot().requests - requestsBefore
    return {
      tally: this.#tally.snapshot(),
      held: this.#tally.held,
      rushMs,
      rushRequests,
      ratePerSecond: Math.round((rushRequests * 1_000) / rushMs),
      p50Ms: percentile(latencies, 0.5),
      p95Ms: percentile(latencies, 0.95),
      p99Ms: percentile(latencies, 0.99),
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }
}
