/**
 * What the gateway costs: the same purchases pressed through it and past it, in turns, in one run. Every press wins, each by a buyer
 * of its own with a pass, in a sale made for it.
 */
import { Pool } from 'undici'
import { createPasses, parsePassKeys } from '@stampede/shared/identity/pass.ts'
import { localTenant } from './identity.ts'
import { percentile } from './percentiles.ts'
import { press, pressRequest } from './press.ts'

export type GatewayCostOptions = {
  gatewayUrl: string
  directUrl: string
  activityId: string
  /** PASS_KEYS of the functions. */
  passKeys: string
  /** Presses of each turn; each way has `turns` of them. */
  presses: number
  turns: number
  connections: number
}

export type Way = { requests: number; ratePerSecond: number; p50Ms: number; p99Ms: number; refused: number }
/** `rateRatio`: rate through the gateway over the rate past it. */
export type GatewayCost = { through: Way; past: Way; rateRatio: number }

const passMs = 600_000

export async function measureGateway(options: GatewayCostOptions): Promise<GatewayCost> {
  const passes = createPasses({ keys: parsePassKeys(options.passKeys), now: Date.now })
  const pools = [options.gatewayUrl, options.directUrl].map(
    (url) => new Pool(url, { connections: options.connections, pipelining: 1 }),
  )
  const ways = pools.map(() => ({ latenciesMs: [] as number[], elapsedMs: 0, refused: 0 }))
  let buyer = 0
  try {
    for (let turn = 0; turn < options.turns; turn++) {
      for (const [index, pool] of pools.entries()) {
        const way = ways[index]!
        const requests = Array.from({ length: options.presses }, () => {
          const userId = `compare-${++buyer}`
          const { activityId } = options
          const times = { issuedAtMs: Date.now(), expiresAtMs: Date.now() + passMs }
          return pressRequest({
            pass: passes.issue({ tenantId: localTenant, userId, activityId, device: '', ...times }),
          })
        }).values()
        const begunMs = performance.now()
        const runner = async () => {
          for (const request of requests) {
            const { status, latencyMs } = await press(pool, options.activityId, request)
            way.latenciesMs.push(latencyMs)
            if (status !== 202) way.refused++
          }
        }
        await Promise.all(Array.from({ length: options.connections }, runner))
        way.elapsedMs += performance.now() - begunMs
      }
    }
  } finally {
    await Promise.all(pools.map((pool) => pool.destroy()))
  }
  const [through, past] = ways.map(({ latenciesMs, elapsedMs, refused }): Way => ({
    requests: latenciesMs.length,
    ratePerSecond: Math.round((latenciesMs.length * 1_000) / elapsedMs),
    p50Ms: round(percentile(latenciesMs, 0.5)),
    p99Ms: round(percentile(latenciesMs, 0.99)),
    refused,
  })) as [Way, Way]
  return { through, past, rateRatio: round(through.ratePerSecond / past.ratePerSecond) }
}

const round = (value: number) => Math.round(value * 100) / 100
