/**
 * The live view of a sale in a terminal: one block that is redrawn in place; without a terminal a line each second.
 */
import type { Tally } from './tally.ts'

/** What `GET /api/v1/seckill/:activityId/live` answers, as far as the display uses it. */
export type LiveNumbers = { left: number; sold: number; confirmed: number; outbox: number }

export type LiveView = {
  phase: string
  done: number
  of: number
  tally: Tally
  ratePerSecond: number
  live: LiveNumbers | undefined
}

const barWidth = 40

export function bar(share: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * barWidth)
  return '█'.repeat(filled) + '░'.repeat(barWidth - filled)
}

export function viewLines(view: LiveView): string[] {
  const { tally, live } = view
  const refused = Object.entries(tally.refused)
    .sort(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${reason} ${count}`)
    .join('  ')
  const total = live === undefined ? 0 : live.left + live.sold
  return [
    `  ${view.phase.padEnd(10)}${bar(view.of === 0 ? 0 : view.done / view.of)} ${view.done}/${view.of}   ${view.ratePerSecond}/s`,
    live === undefined
      ? '  sold      –'
      : `  sold      ${bar(total === 0 ? 0 : live.sold / total)} ${live.sold}/${total}   left ${live.left}   lag ${live.sold - live.confirmed} (outbox ${live.outbox})   stored ${live.confirmed}`,
    `  refused   ${refused === '' ? 'none' : refused}`,
  ]
}

export class LiveDisplay {
  readonly #out: NodeJS.WriteStream
  #drawn = 0
  #lastLineMs = 0

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  draw(view: LiveView, nowMs = Date.now()): void {
    if (!this.#out.isTTY) {
      if (nowMs - this.#lastLineMs < 1_000) return
      this.#lastLineMs = nowMs
      this.#out.write(
        `${viewLines(view)
          .map((line) => line.trim())
          .join('  |  ')}\n`,
      )
      return
    }
    const columns = this.#out.columns || 120
    const lines = viewLines(view).map((line) => line.slice(0, columns - 1))
    if (this.#drawn > 0) this.#out.write(`\u001B[${this.#drawn}A`)
    this.#out.write(lines.map((line) => `\u001B[2K${line}\n`).join(''))
    this.#drawn = lines.length
  }

  /** Leaves the last view where it is; the next one starts below. */
  settle(): void {
    this.#drawn = 0
    this.#lastLineMs = 0
  }
}
