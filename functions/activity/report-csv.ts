/** The report as CSV (RFC 4180): one table of section, name, value, so that any spreadsheet opens it. */
import type { Report } from './report.ts'

type Cell = string | number

/** A cell that a spreadsheet would take for a formula is made text. */
function cell(value: Cell): string {
  const text = String(value)
  const safe = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

export function reportCsv(report: Report): string {
  const rows: Cell[][] = [['section', 'name', 'value', 'more']]
  const section = (name: string, values: Record<string, Cell>) => {
    for (const [key, value] of Object.entries(values)) rows.push([name, key, value, ''])
  }
  section('activity', report.activity)
  section('units', report.units)
  section('funnel', report.funnel)
  rows.push(['revenue', report.activity.currency, report.revenueCents, 'minor units'])
  section('refused', report.refused)
  section('rejected', report.rejectedByReason)
  for (const point of report.soldOverTime.points) rows.push(['sold', point.at, point.units, point.cumulative])
  for (const { at, command, from, to, actor } of report.history)
    rows.push(['history', at, `${from} → ${to}`, `${command} by ${actor}`])
  return rows.map((row) => row.map(cell).join(',') + '\r\n').join('')
}
