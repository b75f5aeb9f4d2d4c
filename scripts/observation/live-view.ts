/** The observation as it runs: a block that is redrawn in place at a terminal, else one line each second. */
import { namesIn } from './columns.ts'
import { podTotal, type Sample } from './samples.ts'

const bars = '▁▂▃▄▅▆▇█'

/** One letter a value, the highest of them full; a space where the value is not known. */
export function sparkline(values: readonly (number | undefined)[]): string {
  const highest = Math.max(0, ...values.map((value) => value ?? 0))
  return values
    .map((value) => {
      if (value === undefined) return ' '
      if (value <= 0 || highest === 0) return bars[0]
      return bars[Math.min(bars.length - 1, Math.max(1, Math.round((value / highest) * (bars.length - 1))))]
    })
    .join('')
}

const shown = (value: number | undefined, digits = 0) => (value === undefined ? '–' : value.toFixed(digits))

export function plainLine(sample: Sample): string {
  const { load, stock, lag } = sample
  const pods = Object.entries(sample.functions).map(([name, { pods: own, desired }]) =>
    own === undefined
      ? `${name} –`
      : `${name} ${own.ready}/${desired ?? '–'}${podTotal(own) > own.ready ? `+${podTotal(own) - own.ready}` : ''}`,
  )
  return [
    `${String(sample.second).padStart(4)} s`,
    sample.phase.padEnd(9),
    ...(load === undefined
      ? []
      : [
          `${load.sent}/s p50 ${shown(load.p50Ms, 1)} p99 ${shown(load.p99Ms, 1)} ms errors ${load.errors + load.noAnswer}`,
        ]),
    ...(stock === undefined ? [] : [`left ${stock.left} sold ${stock.sold} stored ${stock.confirmed}`]),
    ...(lag === undefined ? [] : [`lag ${Object.values(lag).reduce((sum, one) => sum + one, 0)}`]),
    `pods ${pods.join('  ')}`,
  ].join(' | ')
}

export function blockLines(samples: readonly Sample[], columns: number): string[] {
  const last = samples.at(-1)
  if (last === undefined) return []
  const width = Math.max(10, Math.min(60, columns - 62))
  const recent = samples.slice(-width)
  const row = (name: string, values: (number | undefined)[], text: string) =>
    `  ${name.padEnd(18)}${sparkline(values).padEnd(width)}  ${text}`
  const { load, stock } = last
  return [
    `  ${last.second} s   ${last.phase}`,
    row(
      'requests/s',
      recent.map((one) => one.load?.sent),
      load === undefined ? '–' : `${load.sent} of ${load.target}, accepted ${load.accepted}, refused ${load.refused}`,
    ),
    row(
      'p99 ms',
      recent.map((one) => one.load?.p99Ms),
      `p50 ${shown(load?.p50Ms, 1)}   p99 ${shown(load?.p99Ms, 1)}`,
    ),
    row(
      'errors',
      recent.map((one) => one.load && one.load.errors + one.load.noAnswer),
      load === undefined ? '–' : `${load.errors + load.noAnswer} (cut ${load.cut})`,
    ),
    ...(samples.some((one) => one.stock !== undefined)
      ? [
          row(
            'stock left',
            recent.map((one) => one.stock?.left),
            stock === undefined
              ? '–'
              : `left ${stock.left}   sold ${stock.sold}   stored ${stock.confirmed}   outbox ${stock.outbox}`,
          ),
        ]
      : []),
    ...(samples.some((one) => one.lag !== undefined)
      ? [
          row(
            'lag',
            recent.map((one) => one.lag && total(one.lag)),
            last.lag === undefined ? '–' : String(total(last.lag)),
          ),
        ]
      : []),
    ...namesIn(samples, ({ functions }) => functions).map((name) => {
      const own = last.functions[name]
      const pods = own?.pods
      return row(
        name,
        recent.map((one) => one.functions[name]?.pods?.ready),
        pods === undefined
          ? '–'
          : `ready ${pods.ready}${own?.desired === undefined ? '' : ` of ${own.desired}`}   starting ${pods.pending + pods.creating + pods.running}   ending ${pods.terminating}   ${shown(own?.requestsPerSecond)}/s`,
      )
    }),
  ]
}

const total = (lags: Record<string, number>) => Object.values(lags).reduce((sum, one) => sum + one, 0)

export class LiveView {
  readonly #out: NodeJS.WriteStream
  #drawn = 0

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  draw(samples: readonly Sample[]): void {
    const last = samples.at(-1)
    if (last === undefined) return
    if (!this.#out.isTTY) {
      this.#out.write(`${plainLine(last)}\n`)
      return
    }
    const columns = this.#out.columns || 120
    const lines = blockLines(samples, columns).map((line) => line.slice(0, columns - 1))
    if (this.#drawn > 0) this.#out.write(`\u001B[${this.#drawn}A`)
    this.#out.write(lines.map((line) => `\u001B[2K${line}\n`).join(''))
    this.#drawn = lines.length
  }

  /** Leaves the last view where it is; the next one starts below. */
  settle(): void {
    this.#drawn = 0
  }
}
