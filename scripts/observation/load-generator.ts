/**
 * Presses "buy" at the rate of a plan, each press by another buyer. Requests go out when they are due, whether or not earlier ones
 * were answered: a slow answer does not lower the load that it is measured under.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'undici'
import { createPasses, parsePassKeys } from '@stampede/shared/identity/pass.ts'
import { createTokenMint } from '../sale/identity.ts'
import { press, pressRequest, type Credentials } from '../sale/press.ts'
import type { LoadOrders, LoadResult } from './load-orders.ts'
import { LoadTally } from './load-tally.ts'
import { dueRequests, phaseAt, planSeconds } from './phases.ts'
import type { LoadSecond } from './samples.ts'

const tickMs = 5
/** More are not sent: the answers do not come back any more. */
const maximumInFlight = 5_000
const passLifeMs = 3_600_000
/** Every so many buyers one comes without a pass. */
const tokenEvery = 25

export async function generateLoad(
  orders: LoadOrders,
  onSecond: (second: LoadSecond) => void,
  stop: AbortSignal,
): Promise<LoadResult> {
  const { plan, activityId } = orders
  const pool = new Pool(originOf(orders), {
    connections: orders.connections,
    pipelining: 1,
    headersTimeout: orders.timeoutMs,
    bodyTimeout: orders.timeoutMs,
    ...(orders.url.startsWith('https:') ? { connect: { servername: orders.host } } : {}),
  })
  const credentialsOf = await createCredentials(orders)
  const tally = new LoadTally()
  const loopDelay = monitorEventLoopDelay({ resolution: 10 })
  loopDelay.enable()
  const begunMs = performance.now()
  let buyers = 0
  let due = 0
  let inFlight = 0

  const pressOnce = async (phase: string): Promise<void> => {
    buyers++
    const userId = `${orders.buyerPrefix}-${buyers}`
    inFlight++
    tally.countSent()
    try {
      const isSlow = orders.slow !== undefined && buyers % orders.slow.every === 0
      const { headers, body } = pressRequest(await credentialsOf(userId, buyers))
      const pressedAtMs = Date.now()
      const result = await press(pool, activityId, {
        headers: { ...headers, host: orders.host, 'content-length': String(body.length) },
        body: isSlow ? slowly(body, orders.slow!.forMs) : body,
      })
      // What was slow on purpose says nothing about the function.
      tally.record(isSlow ? `${phase} (slow)` : phase, userId, result, pressedAtMs)
    } finally {
      inFlight--
    }
  }

  let cpuBefore = process.cpuUsage()
  let secondBeganMs = begunMs
  let dueBefore = 0
  const endSecond = () => {
    const nowMs = performance.now()
    const { user, system } = process.cpuUsage(cpuBefore)
    cpuBefore = process.cpuUsage()
    const target = due - dueBefore
    dueBefore = due
    onSecond(
      tally.takeSecond({
        target,
        inFlight,
        loopDelayMs: Math.round(loopDelay.max / 1e6),
        cpuShare: Math.round((user + system) / 10 / (nowMs - secondBeganMs)) / 100,
      }),
    )
    secondBeganMs = nowMs
    loopDelay.reset()
  }
  const seconds = setInterval(endSecond, 1_000)
  const running = new Set<Promise<void>>()
  try {
    for (let last = false; !last && !stop.aborted;) {
      const elapsedMs = performance.now() - begunMs
      const phase = phaseAt(plan, elapsedMs)
      last = phase === undefined
      const until = dueRequests(plan, elapsedMs)
      for (; due < until; due++) {
        if (inFlight >= maximumInFlight) {
          tally.countNotSent()
          continue
        }
        const one = pressOnce(phase ?? plan.at(-1)!.name).finally(() => running.delete(one))
        running.add(one)
      }
      if (!last) await sleep(tickMs)
    }
    await Promise.all(running)
    endSecond()
  } finally {
    clearInterval(seconds)
    loopDelay.disable()
    await pool.destroy()
  }
  const plannedMs = planSeconds(plan) * 1_000
  const lengths = stop.aborted && performance.now() - begunMs < plannedMs ? [] : plan
  return tally.result(new Map(lengths.map(({ name, seconds: length }) => [name, length])))
}

/** Half of the body now, the rest at the end: the request is at the pod and cannot be answered yet. */
function slowly(body: string, forMs: number): Readable {
  const half = Math.floor(body.length / 2)
  return Readable.from(
    (async function* () {
      yield body.slice(0, half)
      await sleep(forMs)
      yield body.slice(half)
    })(),
    { objectMode: false },
  )
}

function originOf({ url, connect }: LoadOrders): string {
  return `${url.startsWith('https:') ? 'https' : 'http'}://${connect}`
}

async function createCredentials(
  orders: LoadOrders,
): Promise<(userId: string, turn: number) => Promise<Credentials> | Credentials> {
  const { tenantId, activityId } = orders
  const mint = await createTokenMint(orders.signingKey, tenantId, 3_600, orders.tokenTerms)
  const token = async (userId: string): Promise<Credentials> => ({ token: await mint(userId) })
  if (orders.passKeys === undefined) return token
  const passes = createPasses({ keys: parsePassKeys(orders.passKeys), now: Date.now })
  return (userId, turn) => {
    if (turn % tokenEvery === 0) return token(userId)
    const issuedAtMs = Date.now()
    const expiresAtMs = issuedAtMs + passLifeMs
    return { pass: passes.issue({ tenantId, userId, activityId, device: '', issuedAtMs, expiresAtMs }) }
  }
}
