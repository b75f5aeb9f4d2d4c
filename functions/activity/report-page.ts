/** The report as one self-contained page: no scripts, no outside resources, charts as inline SVG. */
import { escapeHtml as text, pageHeaders, theme } from './page.ts'
import type { Report } from './report.ts'

const style = `${theme}
.bar { fill: var(--accent); } .line { fill: none; stroke: var(--cool); stroke-width: 2; vector-effect: non-scaling-stroke; }
.axis { stroke: var(--line); } .label { fill: var(--soft); font-size: 11px; } .name { fill: var(--ink); font-size: 13px; } .value { fill: var(--ink); font-size: 13px; font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); }
@media print { body { background: #fff; } .card { break-inside: avoid; } }
`

const number = new Intl.NumberFormat('en')
const count = (value: number) => number.format(value)

function money(cents: number, currency: string): string {
  try {
    const format = new Intl.NumberFormat('en', { style: 'currency', currency })
    return format.format(cents / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2))
  } catch {
    // A currency that the runtime does not know is shown as it is.
    return `${count(cents)} ${currency}`
  }
}

function soldChart({ points }: Report['soldOverTime']): string {
  if (points.length === 0) return '<p class="soft">Nothing was sold.</p>'
  const [width, height, base] = [720, 220, 190]
  const highest = Math.max(...points.map((point) => point.units), 1)
  const all = Math.max(points.at(-1)?.cumulative ?? 0, 1)
  const step = width / points.length
  const bars = points.map((point, index) => {
    const tall = (point.units / highest) * (base - 20)
    const at = point.at.slice(11, 23)
    return `<rect class="bar" x="${(index * step + step * 0.1).toFixed(1)}" y="${(base - tall).toFixed(1)}" width="${(step * 0.8).toFixed(1)}" height="${tall.toFixed(1)}"><title>${at}: ${count(point.units)}</title></rect>`
  })
  const line = points.map(
    (point, index) =>
      `${((index + 0.5) * step).toFixed(1)},${(base - (point.cumulative / all) * (base - 20)).toFixed(1)}`,
  )
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Units sold over time">
<line class="axis" x1="0" y1="${base}" x2="${width}" y2="${base}"/>${bars.join('')}
<polyline class="line" points="${line.join(' ')}"/>
<text class="label" x="0" y="12">highest step ${count(highest)}</text><text class="label" x="${width}" y="12" text-anchor="end">all together ${count(all)}</text>
<text class="label" x="0" y="${height - 8}">${points[0]?.at.slice(0, 19).replace('T', ' ')} UTC</text><text class="label" x="${width}" y="${height - 8}" text-anchor="end">${points.at(-1)?.at.slice(11, 19)}</text></svg>`
}

/** Horizontal bars, longest first unless they come in an order. */
function barChart(label: string, rows: readonly (readonly [string, number])[]): string {
  if (rows.length === 0) return '<p class="soft">None.</p>'
  const highest = Math.max(...rows.map(([, value]) => value), 1)
  const tall = 30
  const bars = rows.map(([name, value], index) => {
    const y = index * tall
    const wide = (value / highest) * 250
    return `<text class="name" x="0" y="${y + 19}">${text(name)}</text><rect class="bar" x="130" y="${y + 6}" width="${Math.max(wide, value > 0 ? 1 : 0).toFixed(1)}" height="18" rx="3"/><text class="value" x="${(136 + wide).toFixed(1)}" y="${y + 19}">${count(value)}</text>`
  })
  return `<svg viewBox="0 0 460 ${rows.length * tall}" role="img" aria-label="${text(label)}">${bars.join('')}</svg>`
}

type Checks = { ok: boolean; checks: { check: string; ok: boolean; detail: string }[] } | null

function checksTable(consistency: unknown): string {
  const checks = consistency as Checks
  if (!checks) return '<p class="soft">Not checked yet: the check comes after the sale is closed.</p>'
  const rows = checks.checks.map(
    (check) =>
      `<tr><td class="${check.ok ? 'good' : 'bad'}">${check.ok ? '✓' : '✗'} ${text(check.check)}</td><td>${text(check.detail)}</td></tr>`,
  )
  return `<table>${rows.join('')}</table>`
}

export function reportPage(report: Report): { html: string; headers: Record<string, string> } {
  const { activity, units, funnel } = report
  const tile = (label: string, value: string, note = '') =>
    `<div class="card"><h2>${text(label)}</h2><div class="number">${text(value)}</div><div class="soft">${text(note)}</div></div>`
  const funnelRows = [
    ['accepted', funnel.accepted],
    ['stored', funnel.stored],
    ['paid', funnel.paid],
    ['pending', funnel.pending],
    ['cancelled', funnel.cancelled],
    ['refunded', funnel.refunded],
    ['rejected', funnel.rejected],
  ] as const
  const refused = Object.entries(report.refused).sort(([, one], [, other]) => other - one)
  const history = report.history.map(
    (change) =>
      `<tr><td>${text(change.at.slice(0, 19).replace('T', ' '))}</td><td>${text(change.from)} → ${text(change.to)}</td><td>${text(change.actor)}</td></tr>`,
  )
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${text(activity.name)} – report</title><style>${style}</style></head><body><main>
<h1>${text(activity.name)}</h1>
<p class="soft">${text(activity.activityId)} · ${text(activity.startsAt)} to ${text(activity.endsAt)} · <span class="badge">${text(activity.state)}</span></p>
<div class="grid">
${tile('Sold', count(units.sold), `of ${count(units.allocated)} units`)}
${tile('Unsold', count(units.unsold))}
${tile('Oversold', count(units.oversold))}
${tile('Revenue', money(report.revenueCents, activity.currency), 'paid orders')}
</div>
<section class="card"><h2>Sold over time</h2>${soldChart(report.soldOverTime)}${report.soldOverTime.truncated ? '<p class="soft">Only the first orders were read.</p>' : ''}</section>
<div class="wide">
<section class="card"><h2>What became of accepted purchases</h2>${barChart('Funnel of purchases', funnelRows)}</section>
<section class="card"><h2>Refused presses</h2>${barChart('Refused presses by reason', refused)}</section>
<section class="card"><h2>Consistency</h2>${checksTable(report.consistency)}</section>
<section class="card"><h2>History (UTC)</h2><table>${history.join('')}</table></section>
</div>
<p class="soft">Made ${text(report.generatedAt)}.</p>
</main></body></html>
`
  return { html, headers: pageHeaders({ style }) }
}
