/**
 * What a loss of power does to Redis with `appendfsync everysec`: the last second of its log is gone. A killed process alone loses
 * nothing, because the operating system still writes what it was given. So the drill cuts that second off the log itself.
 */
import { readdirSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'

const sampleEveryMs = 20
const lostMs = 1_000
const maximumSamples = 60_000

type Sample = { atMs: number; file: string; bytes: number }

export class LastSecond {
  readonly #samples: Sample[] = []
  #folder: string | undefined
  #timer: NodeJS.Timeout | undefined

  /** Finds the log of a Redis on this machine and watches how it grows. */
  async watch(redisUrl: string): Promise<void> {
    const redis = new Redis(redisUrl, { maxRetriesPerRequest: 2 })
    try {
      const settings = (await redis.config('GET', 'dir', 'appenddirname', 'appendonly', 'appendfsync')) as unknown
      const found = Array.isArray(settings)
        ? Object.fromEntries(
            Array.from({ length: settings.length / 2 }, (_, i) => [settings[2 * i], settings[2 * i + 1]]),
          )
        : (settings as Record<string, string>)
      if (found['appendonly'] !== 'yes' || found['appendfsync'] !== 'everysec')
        throw new Error('the drill of Redis needs appendonly yes and appendfsync everysec')
      this.#folder = join(String(found['dir']), String(found['appenddirname']))
    } finally {
      redis.disconnect()
    }
    this.#samples.length = 0
    this.#timer = setInterval(() => this.#sample(), sampleEveryMs)
  }

  #newestLog(): { file: string; bytes: number } | undefined {
    if (this.#folder === undefined) return undefined
    const logs = readdirSync(this.#folder).filter((name) => name.endsWith('.incr.aof'))
    const sequence = (name: string) => Number(/\.(\d+)\.incr\.aof$/.exec(name)?.[1] ?? 0)
    const newest = logs.toSorted((one, other) => sequence(other) - sequence(one))[0]
    if (newest === undefined) return undefined
    const file = join(this.#folder, newest)
    return { file, bytes: statSync(file).size }
  }

  #sample(): void {
    const log = this.#newestLog()
    if (log && this.#samples.length < maximumSamples) this.#samples.push({ atMs: performance.now(), ...log })
  }

  /** After the kill: takes from the log what came in its last second. Returns the bytes that are gone. */
  forget(): number {
    clearInterval(this.#timer)
    const log = this.#newestLog()
    if (!log) return 0
    const endMs = performance.now() - lostMs
    const kept = this.#samples.findLast((sample) => sample.file === log.file && sample.atMs <= endMs)
    if (!kept || kept.bytes >= log.bytes) return 0
    truncateSync(log.file, kept.bytes)
    return log.bytes - kept.bytes
  }
}
