/** The observation as one HTML file: no scripts, no network, readable in light and dark, by eye and by ear. */
import { columnsOf } from './columns.ts'
import { escapeText, renderPlot, styles, type Plot } from './plot.ts'
import { bandsOf, plotsOf } from './plots.ts'
import { podTotal, type Sample } from './samples.ts'
import { silenceLines } from './silences.ts'
import { secondsText, type Summary } from './summary.ts'

export type PageFacts = {
  title: string
  /** Commit, options and the like, as a reader should know them. */
  facts: Record<string, string>
}

const style = `
:root { color-scheme: light dark; --text: #1b1f24; --back: #ffffff; --soft: #57606a; --rule: #d0d7de; --band: #f3f5f7;
  --s0: #0b5cad; --s1: #1a7f37; --s2: #9a6700; --s3: #c62433; --s4: #6f42c1; --s5: #57606a }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --back: #0d1117; --soft: #9aa4ae; --rule: #30363d; --band: #161b22;
  --s0: #6cb6ff; --s1: #57d075; --s2: #e0b040; --s3: #ff7b82; --s4: #c9a5ff; --s5: #a8b3bd } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin: 2rem 0 .3rem }
table { border-collapse: collapse; font-size: .9rem; width: 100% } caption { text-align: left; font-weight: 600; padding: .4rem 0 }
th, td { border-bottom: 1px solid var(--rule); padding: .25rem .6rem .25rem 0; text-align: left; vertical-align: top } td.number { font-variant-numeric: tabular-nums }
.scroll { overflow-x: auto } figure { margin: 0 } figcaption { color: var(--soft); font-size: .85rem }
svg { width: 100%; height: auto; display: block } svg text { fill: var(--soft); font-size: 11px } .band-name { font-weight: 600 }
.grid { stroke: var(--rule); stroke-width: 1 } .band-0 { fill: var(--band) } .band-1 { fill: none }
.line { fill: none; stroke-width: 1.8 } .area { stroke: var(--back); stroke-width: .4; fill-opacity: .85 }
.legend { list-style: none; padding: 0; margin: .2rem 0 0; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .85rem } .legend svg { width: 2rem; height: .7rem; display: inline-block; margin-right: .4rem; vertical-align: middle }
${Array.from({ length: styles }, (_, index) => `.line.style-${index} { stroke: var(--s${index}); stroke-dasharray: ${['none', '6 3', '2 2', '8 3 2 3', '1 3', '12 4'][index]} } .area.style-${index} { fill: var(--s${index}) }`).join('\n')}
details { margin: 1.5rem 0 } .bad { font-weight: 700 }
`

export function renderPage(samples: readonly Sample[], summary: Summary, { title, facts }: PageFacts): string {
  const seconds = samples.map(({ second }) => second)
  const bands = bandsOf(samples)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>${escapeText(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeText(title)}</h1>
${summary.generator.bottleneck === null ? '' : `<p class="bad">${escapeText(summary.generator.bottleneck)}</p>`}
${factsTable(summary, facts)}
${phasesTable(summary)}
${functionsTable(summary)}
${plotsOf(samples)
  .map((plot) => section(plot, renderPlot(plot, seconds, bands)))
  .join('\n')}
${gapsList(summary)}
${secondsTable(samples)}
${columnsList(samples)}
</main>
</body>
</html>
`
}

function section(plot: Plot, svg: string): string {
  const shape = plot.stacked
    ? '<rect class="area style-%" width="32" height="11"/>'
    : '<line class="line style-%" x1="0" x2="32" y1="6" y2="6"/>'
  const legend = plot.series.map(
    ({ name, style: number }) =>
      `<li><svg viewBox="0 0 32 11" aria-hidden="true">${shape.replace('%', String(number % styles))}</svg>${escapeText(name)}</li>`,
  )
  return `<section><h2>${escapeText(plot.title)} (${escapeText(plot.unit)})</h2><figure>${svg}<figcaption>${escapeText(plot.description)} Across: seconds.</figcaption></figure><ul class="legend">${legend.join('')}</ul></section>`
}

type Cell = string | number | undefined

function table(caption: string, head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cell = (value: Cell) =>
    typeof value === 'number' ? `<td class="number">${value}</td>` : `<td>${escapeText(value ?? '–')}</td>`
  const line = ([first, ...rest]: readonly Cell[]) =>
    `<tr><th scope="row">${escapeText(String(first))}</th>${rest.map(cell).join('')}</tr>`
  return `<div class="scroll"><table><caption>${escapeText(caption)}</caption><thead><tr>${head.map((name) => `<th scope="col">${escapeText(name)}</th>`).join('')}</tr></thead><tbody>${rows.map(line).join('')}</tbody></table></div>`
}

function factsTable(summary: Summary, facts: Record<string, string>): string {
  const { stored } = summary
  return table(
    'In all',
    ['What', 'Value'],
    [
      ['Profile', summary.profile],
      ['Began', summary.startedAt],
      ['Seconds', summary.seconds],
      ['Requests', summary.requests],
      ['Accepted', summary.accepted],
      ['Errors (no answer, or 500 and more)', summary.errors],
      ['Cut (no function answered)', summary.cut],
      ['Back at the minimum, after the load', secondsText(summary.secondsBackToMinimum)],
      ...Object.entries(summary.maxLag).map(([name, lag]) => [`Most lag, ${name}`, lag]),
      ...(stored === undefined
        ? []
        : [
            ['Stock', stored.stock],
            ['Orders stored', stored.ordersStored],
            ['Oversold', stored.oversold],
            ['Lost', stored.lost],
            ['Double', stored.double],
          ]),
      ...Object.entries(facts),
    ],
  )
}

const phasesTable = ({ phases }: Summary) =>
  table(
    'Phases of the load',
    ['Phase', 'Seconds', 'Requests', 'Accepted', 'Errors', 'p50 ms', 'p99 ms'],
    phases.map((one) => [one.name, one.seconds, one.requests, one.accepted, one.errors, one.p50Ms, one.p99Ms]),
  )

const functionsTable = ({ functions }: Summary) =>
  table(
    'Functions',
    ['Function', 'Most pods', 'Most ready', 'First pod after', 'Minimum', 'At its minimum after the load'],
    Object.entries(functions).map(([name, one]) => [
      name,
      one.maxPods,
      one.maxReadyPods,
      secondsText(one.secondsToFirstPod),
      one.minimum,
      secondsText(one.secondsToMinimum),
    ]),
  )

function gapsList({ gaps, silences }: Summary): string {
  const items = [
    ...gaps.map(({ source, reason, times }) => `${source}: ${reason} (${times} times)`),
    ...silenceLines(silences).map((when) => `the whole cluster: ${when}`),
  ]
  if (items.length === 0) return ''
  return `<section><h2>Not read</h2><ul>${items.map((item) => `<li>${escapeText(item)}</li>`).join('')}</ul></section>`
}

/** What the plots show, in figures: enough to follow the scale by ear, not every column. */
function secondsTable(samples: readonly Sample[]): string {
  const names = [...new Set(samples.flatMap(({ functions }) => Object.keys(functions)))].sort()
  const rows = samples.map(({ second, phase, load, functions }) => [
    second,
    phase,
    load?.sent,
    load?.p99Ms,
    ...names.map((name) => {
      const pods = functions[name]?.pods
      return pods === undefined ? undefined : `${pods.ready} of ${podTotal(pods)}`
    }),
  ])
  return `<details><summary>Each second as a table (ready of all pods)</summary>${table('Each second', ['Second', 'Phase', 'Requests', 'p99 ms', ...names], rows)}</details>`
}

function columnsList(samples: readonly Sample[]): string {
  const rows = columnsOf(samples).map(({ name, description }) => [name, description])
  return `<details><summary>Columns of the CSV file</summary>${table('Columns', ['Column', 'Meaning'], rows)}</details>`
}
