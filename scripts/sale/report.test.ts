import test from 'ava'
import type { CrowdResult } from './crowd.ts'
import { brokenGuarantees, makeReport, reportLines } from './report.ts'

const crowd: CrowdResult = {
  tally: {
    requests: 100,
    accepted: 10,
    refused: { 'sold-out': 60, duplicate: 20, 'not-started': 6, 'invalid-request': 4 },
    noAnswer: 0,
  },
  held: [],
  rushMs: 1_000,
  rushRequests: 94,
  ratePerSecond: 94,
  p50Ms: 1.234,
  p95Ms: 5,
  p99Ms: 9.999,
}
const clean = { ordersStored: 10, oversold: 0, lost: 0, double: 0, lostOrderNumbers: [] }
const terms = { buyers: 90, stock: 10, settledMs: 250 }

test('report – refusals are sold out, duplicate, or the rest', (t) => {
  const report = makeReport(crowd, clean, terms)
  t.like(report, {
    requests: 100,
    accepted: 10,
    soldOut: 60,
    duplicate: 20,
    refused: 10,
    ordersStored: 10,
    p50Ms: 1.23,
    p99Ms: 10,
  })
  t.is(report.accepted + report.soldOut + report.duplicate + report.refused, report.requests)
})

test('report – every broken guarantee is named, and none when all held', (t) => {
  t.deepEqual(brokenGuarantees(makeReport(crowd, clean, terms)), [])
  const broken = makeReport(crowd, { ...clean, oversold: 1, lost: 2, double: 3, ordersStored: 8 }, terms)
  t.is(brokenGuarantees(broken).length, 4)
  t.true(reportLines(broken).at(-1)?.includes('2 accepted purchases lost'))
})
