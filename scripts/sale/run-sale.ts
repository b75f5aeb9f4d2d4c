/**
 * One whole sale against a running platform: staff prepare the activity, the crowd comes, the rush, the wait until everything is
 * stored, the audit.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '@stampede/shared/database/connect.ts'
import type { JWK } from 'jose'
import { auditSale, type Audit } from './audit.ts'
import { CrowdHandle } from './crowd-handle.ts'
import type { CrowdShares } from './crowd-plan.ts'
import type { CrowdResult } from './crowd.ts'
import { localTenant } from './identity.ts'
import type { LiveDisplay, LiveNumbers } from './live-display.ts'
import type { Platform } from './platform.ts'
import { makeReport, type SaleReport } from './report.ts'
import { waitUntilSettled } from './settle.ts'
import type { Staff } from './staff.ts'

export type SaleOptions = {
  name: string
  buyers: number
  stock: number
  perUserLimit?: number
  buckets?: number
  seed: number
  connections: number
  shares?: CrowdShares
  /** Buyers who register and sign in through the gateway. */
  signingIn?: number
}

export type SaleResult = { activityId: string; report: SaleReport; audit: Audit; crowd: CrowdResult }

const settleWithinMs = 120_000
/** Signing in, solving the challenge and fetching a pass, measured on two cores: what the countdown must leave time for. */
const passesPerSecond = 450
const saleLengthMs = 3_600_000

async function liveNumbers(url: string, activityId: string): Promise<LiveNumbers | undefined> {
  try {
    const response = await fetch(`${url}/api/v1/seckill/${activityId}/live`, { signal: AbortSignal.timeout(1_000) })
    if (!response.ok) return undefined
    return (await response.json()) as LiveNumbers
  } catch {
    // The view shows what it knows; the audit does not depend on it.
    return undefined
  }
}

export async function runSale(
  context: {
    platform: Platform
    staff: Staff
    database: Database
    signingKey: JWK
    display: LiveDisplay
    say: (line: string) => void
    onActivity?: (activityId: string) => void
  },
  options: SaleOptions,
): Promise<SaleResult> {
  const { platform, staff, database, display, say } = context
  const countdownMs = 4_000 + Math.ceil((options.buyers / passesPerSecond) * 1_000)
  const startsAtMs = Date.now() + countdownMs
  const activityId = await staff.prepareActivity({
    name: options.name,
    stock: options.stock,
    perUserLimit: options.perUserLimit ?? 1,
    buckets: options.buckets ?? 1,
    startsAtMs,
    endsAtMs: startsAtMs + saleLengthMs,
  })
  say(
    `Activity ${activityId}: ${options.stock} units, opens in ${Math.max(0, Math.round((startsAtMs - Date.now()) / 1_000))} s`,
  )
  context.onActivity?.(activityId)

  const url = platform.url('seckill')
  let live: LiveNumbers | undefined
  let shown = { requests: 0, atMs: performance.now() }
  let ratePerSecond = 0
  const watch = setInterval(() => void liveNumbers(url, activityId).then((numbers) => (live = numbers ?? live)), 250)
  const crowd = new CrowdHandle((progress) => {
    const nowMs = performance.now()
    if (nowMs - shown.atMs > 180) {
      ratePerSecond = Math.max(
        0,
        Math.round(((progress.tally.requests - shown.requests) * 1_000) / (nowMs - shown.atMs)),
      )
      shown = { requests: progress.tally.requests, atMs: nowMs }
    }
    display.draw({
      phase: progress.phase,
      done: progress.done,
      of: progress.of,
      tally: progress.tally,
      ratePerSecond,
      live,
    })
  })
  try {
    await crowd.prepare({
      url,
      activityId,
      signingKey: context.signingKey,
      buyers: options.buyers,
      seed: options.seed,
      connections: options.connections,
      signingIn: options.signingIn ?? 0,
      ...(options.shares === undefined ? {} : { shares: options.shares }),
    })
    display.settle()
    const waitMs = startsAtMs - Date.now()
    if (waitMs > 0) {
      say(`${options.buyers} buyers hold a pass and wait for the start (${(waitMs / 1_000).toFixed(1)} s)`)
      await sleep(waitMs + 5)
    }
    say('Go.')
    const result = await crowd.rush()
    const settled = await waitUntilSettled(
      database,
      { tenantId: localTenant, activityId },
      result.held,
      settleWithinMs,
      (missing) => {
        display.draw({
          phase: 'storing',
          done: result.held.length - missing,
          of: result.held.length,
          tally: result.tally,
          ratePerSecond: 0,
          live,
        })
      },
    )
    live = (await liveNumbers(url, activityId)) ?? live
    display.draw(
      {
        phase: 'stored',
        done: settled.ledger.orders.size,
        of: result.held.length,
        tally: result.tally,
        ratePerSecond: 0,
        live,
      },
      Number.MAX_SAFE_INTEGER,
    )
    display.settle()
    const audit = auditSale(settled.ledger, result.held, {
      stock: options.stock,
      perUserLimit: options.perUserLimit ?? 1,
    })
    return {
      activityId,
      audit,
      crowd: result,
      report: makeReport(result, audit, {
        buyers: options.buyers,
        stock: options.stock,
        settledMs: settled.settledMs,
        signedIn: Math.min(options.signingIn ?? 0, options.buyers),
      }),
    }
  } finally {
    clearInterval(watch)
    crowd.stop()
  }
}
