/** The report at the end of a sale: for people, and as one JSON object. */
import type { Audit } from './audit.ts'
import type { CrowdResult } from './crowd.ts'
import type { GatewayCost, Way } from './gateway-cost.ts'

export type SaleReport = {
  buyers: number
  stock: number
  requests: number
  accepted: number
  soldOut: number
  duplicate: number
  /** Every other refusal. */
  refused: number
  refusedByReason: Record<string, number>
  noAnswer: number
  ordersStored: number
  oversold: number
  lost: number
  double: number
  ratePerSecond: number
  p50Ms: number
  p95Ms: number
  p99Ms: number
  settledMs: number
  /** Buyers who registered and signed in through the gateway. */
  signedIn: number
  /** The same presses through the gateway and past it, after the sale. */
  gateway?: GatewayCost
}

const round = (value: number) => Math.round(value * 100) / 100

export function makeReport(
  crowd: CrowdResult,
  audit: Audit,
  terms: { buyers: number; stock: number; settledMs: number; signedIn?: number },
): SaleReport {
  const { 'sold-out': soldOut = 0, duplicate = 0, ...others } = crowd.tally.refused
  return {
    buyers: terms.buyers,
    stock: terms.stock,
    requests: crowd.tally.requests,
    accepted: crowd.tally.accepted,
    soldOut,
    duplicate,
    refused: Object.values(others).reduce((sum, count) => sum + count, 0),
    refusedByReason: crowd.tally.refused,
    noAnswer: crowd.tally.noAnswer,
    ordersStored: audit.ordersStored,
    oversold: audit.oversold,
    lost: audit.lost,
    double: audit.double,
    ratePerSecond: crowd.ratePerSecond,
    p50Ms: round(crowd.p50Ms),
    p95Ms: round(crowd.p95Ms),
    p99Ms: round(crowd.p99Ms),
    settledMs: terms.settledMs,
    signedIn: terms.signedIn ?? 0,
  }
}

/** The guarantees that this run broke, in words; empty when it kept them all. */
export function brokenGuarantees(report: SaleReport): string[] {
  const broken: string[] = []
  if (report.oversold > 0) broken.push(`${report.oversold} units oversold`)
  if (report.lost > 0) broken.push(`${report.lost} accepted purchases lost`)
  if (report.double > 0) broken.push(`${report.double} buyers got more than the limit`)
  if (report.noAnswer > 0) broken.push(`${report.noAnswer} presses got no answer`)
  if (report.ordersStored < report.accepted)
    broken.push(`${report.accepted - report.ordersStored} accepted purchases are not stored as orders`)
  return broken
}

const number = (value: number) => value.toLocaleString('en-US')

export function reportLines(report: SaleReport): string[] {
  const line = (name: string, value: string) => `  ${name.padEnd(30)}${value}`
  const reasons = Object.entries(report.refusedByReason).sort(([, a], [, b]) => b - a)
  const verdict = brokenGuarantees(report)
  const way = ({ ratePerSecond, p99Ms }: Way) => `${number(ratePerSecond)}/s, p99 ${p99Ms} ms`
  const gateway = report.gateway
    ? [
        line('through the gateway', `${way(report.gateway.through)}  (× ${report.gateway.rateRatio})`),
        line('the same past it', way(report.gateway.past)),
      ]
    : []
  return [
    line('requests', `${number(report.requests)}  (${number(report.ratePerSecond)}/s in the rush)`),
    line('latency', `p50 ${report.p50Ms} ms   p95 ${report.p95Ms} ms   p99 ${report.p99Ms} ms`),
    line('accepted', `${number(report.accepted)} of ${number(report.stock)} units`),
    ...reasons.map(([reason, count]) => line(`refused: ${reason}`, number(count))),
    line(
      'orders stored',
      `${number(report.ordersStored)}, the last ${(report.settledMs / 1_000).toFixed(2)} s after the last acceptance`,
    ),
    line('signed in by code', number(report.signedIn)),
    ...gateway,
    line('oversold, lost, double', `${report.oversold}, ${report.lost}, ${report.double}`),
    verdict.length === 0 ? '  Every guarantee held.' : `  A guarantee broke: ${verdict.join('; ')}.`,
  ]
}
