/**
 * Follows the change stream on a connection of its own. What it says about freshness is what makes memory usable: up to
 * `freshAtMs` everything that had changed is known.
 *
 * A change that was missed (the stream was cut, Redis forgot, another Redis answers) shows in the sequence of the changes, or in
 * the id of the Redis process; then everything is read again. Time is the monotonic clock's: the calendar may jump.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Redis } from 'ioredis'
import { accessPosition } from '@stampede/lua/generated/scripts.ts'
import { runScript } from '../redis/run-script.ts'
import { accessKeys } from './keys.ts'

export type Change = { kind: string; tenantId: string; data: string }

export type FollowerOptions = {
  redis: Redis | Cluster
  monotonicMs: () => number
  /** Resolves when memory has these; a rejection makes everything be read again. */
  apply: (changes: readonly Change[]) => Promise<void>
  /** Reads everything that is in memory again. */
  reload: () => Promise<void>
  /** Each minute or so, by Redis' clock. */
  sweep: (redisNowMs: number) => void
  /** Says whether every tenant is in the directory. */
  completeIs: (complete: boolean) => void
  /** Another Redis process answers than before: it may have forgotten what was written last. */
  restarted: () => void
  onError: (error: unknown) => void
}

export type Follower = {
  /** Begins; later calls do nothing. */
  start(): void
  /** -Infinity: never yet. */
  freshAtMs(): number
  close(): Promise<void>
}

/** A reading waits this long for a change. Small beside the second for which memory is believed, so that one late answer does no harm. */
const blockMs = 200
const positionEveryMs = 1_000
const sweepEveryMs = 60_000
const afterFailureMs = 100
const maximumChanges = 1_000

type Position = { run: string; sequence: number; cursor: string; nowMs: number; askedAtMs: number }

export function createFollower(options: FollowerOptions): Follower {
  const { redis, monotonicMs, apply, reload, sweep, completeIs, restarted, onError } = options
  let knownRun: string | undefined
  let running: Promise<void> | undefined
  const closing = new AbortController()
  const { signal } = closing
  let freshAtMs = Number.NEGATIVE_INFINITY
  let sweptAtMs = Number.NEGATIVE_INFINITY

  const readPosition = async (): Promise<Position> => {
    const askedAtMs = monotonicMs()
    const { complete: marker, changes, sequence } = accessKeys
    const reply = (await runScript(redis, accessPosition, [marker, changes, sequence])) as [
      string,
      string,
      string,
      string,
      number,
    ]
    const [run, newest, cursor, nowMs, isComplete] = reply
    completeIs(isComplete === 1)
    if (knownRun !== undefined && knownRun !== run) restarted()
    knownRun = run
    return { run, sequence: Number(newest), cursor, nowMs: Number(nowMs), askedAtMs }
  }

  const sweepSometimes = ({ nowMs, askedAtMs }: Position) => {
    if (askedAtMs - sweptAtMs < sweepEveryMs) return
    sweptAtMs = askedAtMs
    sweep(nowMs)
  }

  /** Reads everything again and follows from there; returns when something was missed. */
  const follow = async (): Promise<void> => {
    const begin = await readPosition()
    const { run } = begin
    let { sequence, cursor, askedAtMs: positionAtMs } = begin
    await reload()
    freshAtMs = begin.askedAtMs
    sweepSometimes(begin)
    let behind = false
    while (!signal.aborted) {
      const askedAtMs = monotonicMs()
      const reply = await redis.xread('COUNT', maximumChanges, 'BLOCK', blockMs, 'STREAMS', accessKeys.changes, cursor)
      const entries = reply?.[0]?.[1] ?? []
      if (entries.length > 0) {
        const changes: Change[] = []
        for (const [id, fields] of entries) {
          const own = recordOf(fields)
          if (Number(own['sequence']) !== sequence + 1) return
          sequence += 1
          cursor = id
          changes.push({ kind: own['kind'] ?? '', tenantId: own['tenant'] ?? '', data: own['data'] ?? '' })
        }
        if (changes.some(({ kind }) => kind === 'complete')) completeIs(true)
        await apply(changes)
        behind = false
        // A full reading may not be all there is.
        if (entries.length < maximumChanges) freshAtMs = askedAtMs
      }
      if (entries.length > 0 && askedAtMs - positionAtMs < positionEveryMs) continue
      const position = await readPosition()
      positionAtMs = position.askedAtMs
      if (position.run !== run || position.sequence < sequence) return
      if (position.sequence === sequence) {
        freshAtMs = position.askedAtMs
        sweepSometimes(position)
      } else if (entries.length === 0) {
        // It came after the reading, and the next one brings it; if not, it is lost.
        if (behind) return
        behind = true
      }
    }
  }

  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        await follow()
      } catch (error) {
        if (signal.aborted) return
        onError(error)
        await sleep(afterFailureMs, undefined, { signal }).catch(() => {})
      }
    }
  }

  return {
    start() {
      if (!signal.aborted) running ??= run()
    },
    freshAtMs: () => freshAtMs,
    async close() {
      closing.abort()
      redis.disconnect()
      await running
    },
  }
}

function recordOf(fields: readonly string[]): Record<string, string> {
  const record: Record<string, string> = {}
  for (let index = 0; index + 1 < fields.length; index += 2) record[fields[index]!] = fields[index + 1]!
  return record
}
