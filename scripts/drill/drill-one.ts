/**
 * One drill: a real sale over real processes; one of them is killed at a seeded moment of the rush and started again.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '@stampede/shared/database/connect.ts'
import type { JWK } from 'jose'
import { auditSale } from '../sale/audit.ts'
import { CrowdHandle } from '../sale/crowd-handle.ts'
import type { CrowdResult } from '../sale/crowd.ts'
import { localTenant } from '../sale/identity.ts'
import type { LiveNumbers } from '../sale/live-display.ts'
import type { Platform } from '../sale/platform.ts'
import { seededRandom } from '../sale/random.ts'
import { waitUntilSettled } from '../sale/settle.ts'
import type { Staff } from '../sale/staff.ts'
import { wholeAgainMs } from './whole-again.ts'

export const drillTargets = ['redis', 'kafka', 'mariadb', 'seckill', 'order', 'eventing'] as const
export type DrillTarget = (typeof drillTargets)[number]

export type DrillContext = {
  platform: Platform
  staff: Staff
  database: Database
  signingKey: JWK
  say: (line: string) => void
  /** Makes ready what the kill of this target needs to know; called when the rush begins. */
  watch: (target: DrillTarget) => Promise<void>
  /** SIGKILL, and the start of the same thing with the same data. */
  kill: (target: DrillTarget) => Promise<void>
  restart: (target: DrillTarget) => Promise<void>
}

export type DrillResult = {
  target: DrillTarget
  oversold: number
  lost: number
  double: number
  /** From the kill until a purchase pressed after it is stored and nothing accepted before is missing; null: not within the limit. */
  wholeAgainMs: number | null
  accepted: number
  ordersStored: number
  /** Presses that got no answer or a 503, and were pressed again. */
  repeated: number
  killedAfterMs: number
  /** What Redis and MySQL tell differently at the end; null when they agree. */
  disagreement: string | null
}

const crowdSize = 6_000
const pacePerSecond = 500
/** Fewer than the buyers, so that every drill also sells out. */
const stock = 5_000
const downMs = 1_000
const settleWithinMs = 60_000
const agreeWithinMs = 30_000
const preparationMs = 12_000

/** Waits until Redis tells what MySQL tells; returns what still differs at the end, undefined when nothing does. */
async function disagreement(
  platform: Platform,
  activityId: string,
  expected: LiveNumbers,
): Promise<string | undefined> {
  const deadline = Date.now() + agreeWithinMs
  for (;;) {
    let found = 'Redis does not answer'
    try {
      const response = await fetch(`${platform.url('seckill')}/api/v1/seckill/${activityId}/live`, {
        signal: AbortSignal.timeout(2_000),
      })
      const live = (await response.json()) as LiveNumbers
      const different = (Object.keys(expected) as (keyof LiveNumbers)[]).filter((name) => live[name] !== expected[name])
      if (response.ok && different.length === 0) return undefined
      found = different.map((name) => `${name} is ${live[name]} and not ${expected[name]}`).join(', ')
    } catch {
      // Not reachable yet: asked again until the deadline.
    }
    if (Date.now() > deadline) return found
    await sleep(250)
  }
}

async function killDuringRush(context: DrillContext, target: DrillTarget, killAfterMs: number): Promise<number> {
  await context.watch(target)
  await sleep(killAfterMs)
  const killedAtMs = Date.now()
  await context.kill(target)
  context.say(`${target}: killed ${(killAfterMs / 1_000).toFixed(1)} s into the rush`)
  await sleep(downMs)
  await context.restart(target)
  context.say(`${target}: started again`)
  return killedAtMs
}

export async function drillOne(context: DrillContext, target: DrillTarget, seed: number): Promise<DrillResult> {
  const random = seededRandom(seed + drillTargets.indexOf(target) * 7_919)
  const killedAfterMs = Math.round(2_000 + random() * 4_000)
  const startsAtMs = Date.now() + preparationMs
  const activityId = await context.staff.prepareActivity({
    name: `Drill: ${target}`,
    stock,
    startsAtMs,
    endsAtMs: startsAtMs + 600_000,
  })
  const crowd = new CrowdHandle(() => undefined)
  let result: CrowdResult
  let killedAtMs: number
  try {
    await crowd.prepare({
      url: context.platform.url('seckill'),
      activityId,
      signingKey: context.signingKey,
      buyers: crowdSize,
      seed,
      connections: 400,
      pacePerSecond,
      persistence: 100,
      shares: { early: 0, twice: 0.05, withoutPass: 0.01, rubbish: 0.01 },
    })
    await sleep(Math.max(0, startsAtMs - Date.now() + 5))
    ;[result, killedAtMs] = await Promise.all([crowd.rush(), killDuringRush(context, target, killedAfterMs)])
  } finally {
    crowd.stop()
  }
  const settled = await waitUntilSettled(
    context.database,
    { tenantId: localTenant, activityId },
    result.held,
    settleWithinMs,
  )
  const audit = auditSale(settled.ledger, result.held, { stock, perUserLimit: 1 })
  const liveUnits = [...settled.ledger.orders.values()].reduce(
    (units, order) => units + (order.live ? order.quantity : 0),
    0,
  )
  return {
    target,
    oversold: audit.oversold,
    lost: audit.lost,
    double: audit.double,
    wholeAgainMs: wholeAgainMs(result.held, settled.ledger, killedAtMs) ?? null,
    accepted: result.held.length,
    ordersStored: audit.ordersStored,
    repeated:
      result.tally.noAnswer +
      (result.tally.refused['overloaded'] ?? 0) +
      (result.tally.refused['recovering'] ?? 0) +
      (result.tally.refused['dependency-unavailable'] ?? 0),
    killedAfterMs,
    disagreement:
      (await disagreement(context.platform, activityId, {
        sold: liveUnits,
        left: stock - liveUnits,
        confirmed: liveUnits,
        outbox: 0,
      })) ?? null,
  }
}
