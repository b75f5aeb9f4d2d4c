/**
 * Schedules the deliveries of one partition. Ordered: the records of one key one after the other, different keys side by side;
 * unordered: side by side. Never more than `concurrency` at once. The watermark is the offset up to which every record is
 * settled: only that may be committed, else a crash would lose what was still on its way.
 */
export type LanesOptions<T> = {
  ordered: boolean
  concurrency: number
  /** Delivers one record; false: it was given up because the lanes were closed. Must not throw. */
  run: (item: T) => Promise<boolean>
}

type Entry<T> = { offset: bigint; key: string; item: T; settled: boolean }

export class Lanes<T> {
  readonly #options: LanesOptions<T>
  /** Not yet settled or behind one that is not, by offset; `#head` is the first. */
  #entries: Entry<T>[] = []
  #head = 0
  /** Ready to run, by arrival. */
  #ready: Entry<T>[] = []
  /** Ordered: what waits behind the running record of a key. */
  readonly #waiting = new Map<string, Entry<T>[]>()
  #running = 0
  #closed = false
  #watermark: bigint | undefined
  #whenBelow: { size: number; call: () => void } | undefined
  #idle: PromiseWithResolvers<void> | undefined

  constructor(options: LanesOptions<T>) {
    this.#options = options
  }

  /** Records taken and not yet below the watermark. */
  get size(): number {
    return this.#entries.length - this.#head
  }

  get running(): number {
    return this.#running
  }

  /** The next offset to read after a crash; undefined before the first record is settled. */
  get watermark(): bigint | undefined {
    return this.#watermark
  }

  /** Where a reader has to begin so that it misses nothing: at the watermark or the first record that was taken. */
  get position(): bigint | undefined {
    return this.#watermark ?? this.#entries[this.#head]?.offset
  }

  /** A record to deliver. Offsets only grow. */
  push(offset: bigint, key: string, item: T): void {
    if (this.#closed) return
    const entry = { offset, key, item, settled: false }
    this.#entries.push(entry)
    if (this.#options.ordered) {
      const waiting = this.#waiting.get(key)
      if (waiting) {
        waiting.push(entry)
        return
      }
      this.#waiting.set(key, [])
    }
    this.#ready.push(entry)
    this.#start()
  }

  /** A record that needs no delivery. */
  skip(offset: bigint): void {
    if (this.#closed) return
    if (this.size === 0) this.#watermark = offset + 1n
    else this.#entries.push({ offset, key: '', item: undefined as T, settled: true })
  }

  /** Calls back once when no more than `size` records are held. */
  onceBelow(size: number, call: () => void): void {
    this.#whenBelow = { size, call }
    this.#notify()
  }

  /** Starts nothing more. Resolves when what runs has ended. */
  async close(): Promise<void> {
    this.#closed = true
    this.#ready = []
    this.#waiting.clear()
    this.#whenBelow = undefined
    if (this.#running === 0) return
    this.#idle ??= Promise.withResolvers<void>()
    await this.#idle.promise
  }

  #start(): void {
    while (!this.#closed && this.#running < this.#options.concurrency) {
      const entry = this.#ready.shift()
      if (!entry) return
      this.#running += 1
      void this.#options.run(entry.item).then((settled) => this.#end(entry, settled))
    }
  }

  #end(entry: Entry<T>, settled: boolean): void {
    this.#running -= 1
    entry.settled = settled
    if (settled) this.#advance()
    if (this.#options.ordered && !this.#closed) {
      const next = this.#waiting.get(entry.key)?.shift()
      if (next) this.#ready.push(next)
      else this.#waiting.delete(entry.key)
    }
    if (this.#closed) {
      if (this.#running === 0) this.#idle?.resolve()
      return
    }
    this.#start()
    this.#notify()
  }

  #advance(): void {
    let head = this.#head
    while (this.#entries[head]?.settled) head += 1
    if (head === this.#head) return
    this.#watermark = this.#entries[head - 1]!.offset + 1n
    this.#head = head
    // Cutting off the front at each step would be quadratic.
    if (head > 256 && head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(head)
      this.#head = 0
    }
    if (this.#head === this.#entries.length) {
      this.#entries = []
      this.#head = 0
    }
  }

  #notify(): void {
    const waiting = this.#whenBelow
    if (!waiting || this.size > waiting.size) return
    this.#whenBelow = undefined
    waiting.call()
  }
}
