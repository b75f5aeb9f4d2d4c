/** Plots as SVG text: steps over seconds, a gap where a value is not known, the phases of the load behind them. */
export type Series = {
  name: string
  /** One of the colours and dashes of the page, so that lines are told apart without colours too. */
  style: number
  values: readonly (number | undefined)[]
}

export type Band = { name: string; from: number; to: number }

export type Plot = {
  /** Unique on the page. */
  id: string
  title: string
  /** What a person who does not see it should know. */
  description: string
  unit: string
  /** Filled areas on top of each other instead of lines. */
  stacked?: boolean
  series: readonly Series[]
}

export const styles = 6
const size = { width: 900, height: 220, left: 56, right: 12, top: 22, bottom: 26 }

export const escapeText = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

/** A round number of steps up to at least `highest`: 1, 2 or 5 times a power of ten. */
export function scaleTo(highest: number): { top: number; step: number } {
  if (!(highest > 0)) return { top: 1, step: 1 }
  const rough = highest / 4
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough - power * 1e-9) ?? power * 10
  return { top: Math.max(step, Math.ceil(highest / step - 1e-9) * step), step }
}

export function renderPlot(plot: Plot, seconds: readonly number[], bands: readonly Band[]): string {
  const { width, height, left, right, top, bottom } = size
  const first = seconds[0] ?? 0
  const last = Math.max(first + 1, (seconds.at(-1) ?? 0) + 1)
  const x = (second: number) => round(left + ((second - first) / (last - first)) * (width - left - right))
  const sums = plot.stacked ? stack(plot.series) : plot.series.map(({ values }) => values)
  const highest = Math.max(0, ...sums.flat().map((value) => value ?? 0))
  const { top: maximum, step } = scaleTo(highest)
  const y = (value: number) => round(height - bottom - (value / maximum) * (height - top - bottom))

  const grid: string[] = []
  for (let value = 0; value <= maximum + step / 2; value += step)
    grid.push(
      `<line class="grid" x1="${left}" x2="${width - right}" y1="${y(value)}" y2="${y(value)}"/><text class="tick" text-anchor="end" x="${left - 6}" y="${y(value) + 4}">${label(value)}</text>`,
    )
  const { step: secondStep } = scaleTo((last - first) * 0.6)
  for (let second = first; second <= last; second += Math.max(1, secondStep))
    grid.push(`<text class="tick" text-anchor="middle" x="${x(second)}" y="${height - 8}">${label(second)}</text>`)

  const shades = bands.map(
    ({ name, from, to }, index) =>
      `<rect class="band band-${index % 2}" x="${x(from)}" width="${Math.max(0, round(x(to) - x(from)))}" y="${top}" height="${height - top - bottom}"/><text class="band-name" x="${x(from) + 4}" y="${top - 6}">${escapeText(name)}</text>`,
  )
  const paths = plot.series.map(({ name, style }, index) => {
    const values = sums[index]!
    const below = plot.stacked ? sums[index - 1] : undefined
    const points = values.filter((value) => value !== undefined).length
    const shape = plot.stacked ? area(seconds, values, below, x, y) : line(seconds, values, x, y)
    return `<path class="${plot.stacked ? 'area' : 'line'} style-${style % styles}" data-series="${escapeText(name)}" data-points="${points}" d="${shape}"/>`
  })
  // The topmost area first: the one below it is drawn over it.
  if (plot.stacked) paths.reverse()
  return [
    `<svg role="img" aria-labelledby="${plot.id}-title ${plot.id}-description" viewBox="0 0 ${width} ${height}" preserveAspectRatio="xMidYMid meet">`,
    `<title id="${plot.id}-title">${escapeText(plot.title)}</title>`,
    `<desc id="${plot.id}-description">${escapeText(plot.description)}</desc>`,
    ...shades,
    ...grid,
    ...paths,
    '</svg>',
  ].join('')
}

const round = (value: number) => Math.round(value * 10) / 10
const label = (value: number) => String(Math.round(value * 1_000) / 1_000)

function stack(series: readonly Series[]): (number | undefined)[][] {
  let below: (number | undefined)[] = []
  return series.map(({ values }) => {
    below = values.map((value, index) => (value === undefined ? undefined : value + (below[index] ?? 0)))
    return below
  })
}

type Position = (value: number) => number

/** Stretches of known values, as [from, to) positions. */
export function stretches(values: readonly (number | undefined)[]): [number, number][] {
  const found: [number, number][] = []
  let from: number | undefined
  for (let index = 0; index <= values.length; index++) {
    if (values[index] !== undefined) from ??= index
    else if (from !== undefined) {
      found.push([from, index])
      from = undefined
    }
  }
  return found
}

/** A value holds for its whole second: a step from it to the next. */
function steps(
  seconds: readonly number[],
  values: readonly (number | undefined)[],
  from: number,
  to: number,
  x: Position,
  y: Position,
): string[] {
  const points: string[] = []
  for (let index = from; index < to; index++) {
    const at = seconds[index]!
    const until = index + 1 < to ? seconds[index + 1]! : at + 1
    const height = y(values[index]!)
    points.push(`${x(at)},${height}`, `${x(until)},${height}`)
  }
  return points
}

function line(seconds: readonly number[], values: readonly (number | undefined)[], x: Position, y: Position): string {
  return stretches(values)
    .map(([from, to]) => `M${steps(seconds, values, from, to, x, y).join('L')}`)
    .join('')
}

function area(
  seconds: readonly number[],
  values: readonly (number | undefined)[],
  below: readonly (number | undefined)[] | undefined,
  x: Position,
  y: Position,
): string {
  const floor = below ?? values.map((value) => (value === undefined ? undefined : 0))
  return stretches(values)
    .map(([from, to]) => {
      const upper = steps(seconds, values, from, to, x, y)
      const lower = steps(
        seconds,
        floor.map((value) => value ?? 0),
        from,
        to,
        x,
        y,
      ).toReversed()
      return `M${[...upper, ...lower].join('L')}Z`
    })
    .join('')
}
