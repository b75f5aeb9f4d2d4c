/**
 * A distributed lock with a lease that renews itself. On one Redis (or Cluster, or behind Sentinel) it is as safe as that Redis;
 * on several independent ones it is Redlock: a majority decides, and the lease is shortened by the drift of their clocks.
 *
 * No lease can stop a process that was paused longer than its lease from going on. So every holder gets a **fencing token**, greater than
 * all before: write it with what the lock protects and refuse smaller ones there.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Redis } from 'ioredis'
import * as scripts from '@stampede/lua/generated/scripts.ts'
import { runScript } from './run-script.ts'

export type LockOptions = {
  /** How long the lock outlives a holder that died, milliseconds. Default 10,000. */
  leaseMs?: number
  /** Default: a third of the lease, so that two renewals may fail. */
  renewEveryMs?: number
  /** Pause between attempts while another holds it; up to twice as long, by chance. Default 50. */
  retryDelayMs?: number
  /** Time for one call to one node. Default: a quarter of the lease, 1,000 at most. */
  callTimeoutMs?: number
}

export type HeldLock = {
  name: string
  /** Greater than the token of any holder before. */
  fencingToken: number
  /** Aborted when the lock is no longer surely held, at the latest when its lease ran out. Stop the protected work then. */
  lost: AbortSignal
  /** Gives it back; false when it was not held any more. Can be called twice. */
  release(): Promise<boolean>
  [Symbol.asyncDispose](): Promise<void>
}

export type Lock = {
  /**
   * Waits up to `waitMs` (default 0: one attempt) and returns undefined when another held it all the time.
   * Rejects when no majority of the nodes answers.
   */
  acquire(name: string, options?: { waitMs?: number; signal?: AbortSignal }): Promise<HeldLock | undefined>
}

type Node = Redis | Cluster
const namePattern = /^[A-Za-z0-9:_.-]{1,128}$/
/** Clocks of different machines run at different speeds: one percent, and two milliseconds for the resolution of expiry. */
const driftMs = (leaseMs: number) => leaseMs * 0.01 + 2

export function createLock(nodes: Node | readonly Node[], options: LockOptions = {}): Lock {
  const all = Array.isArray(nodes) ? (nodes as readonly Node[]) : [nodes as Node]
  const quorum = Math.floor(all.length / 2) + 1
  const leaseMs = options.leaseMs ?? 10_000
  const renewEveryMs = options.renewEveryMs ?? leaseMs / 3
  const retryDelayMs = options.retryDelayMs ?? 50
  const callTimeoutMs = options.callTimeoutMs ?? Math.min(1_000, leaseMs / 4)
  if (all.length === 0) throw new RangeError('a lock needs at least one Redis')
  if (renewEveryMs >= leaseMs) throw new RangeError('renewEveryMs must be less than leaseMs')

  /** The replies of the nodes that answered in time. Throws when they are no majority. */
  const ask = async (script: scripts.Script, keysAndArguments: (string | number)[]): Promise<number[]> => {
    const replies = await Promise.allSettled(
      all.map((node) => withTimeout(runScript(node, script, [...keysAndArguments]), callTimeoutMs)),
    )
    const answers = replies.flatMap((reply) => (reply.status === 'fulfilled' ? [Number(reply.value)] : []))
    if (answers.length < quorum) {
      const causes = replies.flatMap((reply) => (reply.status === 'rejected' ? [reply.reason as unknown] : []))
      throw new AggregateError(causes, `${answers.length} of ${all.length} Redis answered, ${quorum} are needed`)
    }
    return answers
  }

  const release = async (name: string, holder: string): Promise<boolean> => {
    const answers = await ask(scripts.lockRelease, [lockKey(name), holder])
    return answers.filter((answer) => answer === 1).length >= quorum
  }

  const renew = async (name: string, holder: string, token: number): Promise<boolean> => {
    const answers = await ask(scripts.lockRenew, [lockKey(name), fenceKey(name), holder, leaseMs, token])
    return answers.filter((answer) => answer === 1).length >= quorum
  }

  /** One attempt: the token and how long it is surely held, by the monotonic clock. */
  const attempt = async (name: string, holder: string): Promise<{ token: number; untilMs: number } | undefined> => {
    const untilMs = performance.now() + leaseMs - driftMs(leaseMs)
    try {
      const answers = await ask(scripts.lockAcquire, [lockKey(name), fenceKey(name), holder, leaseMs])
      const tokens = answers.filter((token) => token > 0)
      const token = Math.max(...tokens)
      // Over several nodes the counters differ: a majority must know the token before it is used, so that any later majority gives a greater one.
      const known = tokens.length >= quorum && (all.length === 1 || (await renew(name, holder, token)))
      if (known && performance.now() < untilMs) return { token, untilMs }
    } catch (error) {
      await release(name, holder).catch(() => false)
      throw error
    }
    await release(name, holder).catch(() => false)
    return undefined
  }

  const hold = (name: string, holder: string, token: number, firstUntilMs: number): HeldLock => {
    const lost = new AbortController()
    let untilMs = firstUntilMs
    let ended = false
    let renewal: NodeJS.Timeout | undefined
    let expiry: NodeJS.Timeout | undefined

    const end = () => {
      ended = true
      clearTimeout(renewal)
      clearTimeout(expiry)
    }
    const lose = () => {
      if (ended) return
      end()
      lost.abort(new Error(`the lock ${name} was lost`))
    }
    const armExpiry = () => {
      clearTimeout(expiry)
      expiry = setTimeout(lose, Math.max(0, untilMs - performance.now()))
    }
    const renewOnce = async () => {
      const nextUntilMs = performance.now() + leaseMs - driftMs(leaseMs)
      try {
        const renewed = await renew(name, holder, token)
        if (ended) return
        if (!renewed) return lose()
        untilMs = nextUntilMs
        armExpiry()
      } catch {
        // Redis did not answer: the lease still runs, try again until it ends.
        if (ended) return
      }
      armRenewal()
    }
    const armRenewal = () => {
      renewal = setTimeout(() => void renewOnce(), renewEveryMs)
    }
    armExpiry()
    armRenewal()

    const giveBack = async () => {
      end()
      return await release(name, holder)
    }
    return {
      name,
      fencingToken: token,
      lost: lost.signal,
      release: giveBack,
      [Symbol.asyncDispose]: async () => {
        // The work is done; a Redis that is away lets the lease run out by itself.
        await giveBack().catch(() => false)
      },
    }
  }

  return {
    acquire: async (name, { waitMs = 0, signal } = {}) => {
      if (!namePattern.test(name)) throw new RangeError(`not a lock name: ${name}`)
      const giveUpAtMs = performance.now() + waitMs
      for (;;) {
        signal?.throwIfAborted()
        // A new secret each time: a late reply to an earlier attempt must not pass for this one.
        const holder = randomBytes(16).toString('hex')
        const taken = await attempt(name, holder)
        if (taken) return hold(name, holder, taken.token, taken.untilMs)
        const remainingMs = giveUpAtMs - performance.now()
        if (remainingMs <= 0) return undefined
        await pause(Math.min(remainingMs, retryDelayMs * (1 + Math.random())), signal)
      }
    },
  }
}

const lockKey = (name: string) => `lock:{${name}}`
const fenceKey = (name: string) => `lock:{${name}}:fence`

async function withTimeout<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
  }
}

/** Ends early, without an error, when the signal is aborted: the caller looks at it. */
const pause = (durationMs: number, signal: AbortSignal | undefined): Promise<void> =>
  sleep(durationMs, undefined, signal ? { signal } : {}).catch(() => {})
