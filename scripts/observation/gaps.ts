/** Sources that could not be read: named once, counted always. */
export class Gaps {
  readonly #say: (line: string) => void
  readonly #gaps = new Map<string, { reason: string; times: number }>()

  constructor(say: (line: string) => void) {
    this.#say = say
  }

  note(source: string, reason: unknown): void {
    const known = this.#gaps.get(source)
    if (known) {
      known.times += 1
      return
    }
    const text = reason instanceof Error ? reason.message : String(reason)
    this.#gaps.set(source, { reason: text, times: 1 })
    this.#say(`Not read: ${source} (${text}). It stays a gap.`)
  }

  list(): { source: string; reason: string; times: number }[] {
    return [...this.#gaps].map(([source, gap]) => ({ source, ...gap }))
  }
}
