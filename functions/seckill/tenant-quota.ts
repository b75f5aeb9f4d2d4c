/**
 * Quotas of tenants on the hot path, without I/O for a press: `requestsPerSecond` by this process' share, `ordersPerDay` by units that
 * are leased ahead. A tenant without quotas costs one look into memory.
 */
import { LRUCache } from 'lru-cache'
import type { TenantQuota } from '@stampede/shared/access/types.ts'
import { dayOf, OrderLease, type LeaseCall } from './tenant-quota-lease.ts'
import { RateShare } from './tenant-quota-rate.ts'

/** What Redis does (`tenant-quota-redis.ts`). Both reject when it does not answer in time. */
export type QuotaEffects = {
  /** Counts this process in; resolves to how many there are, to Redis' clock, and to which Redis process it is. */
  join(): Promise<{ processes: number; redisNowMs: number; run: string }>
  leave(): Promise<void>
  lease(
    tenantId: string,
    day: string,
    call: LeaseCall,
    limit: number,
    processes: number,
  ): Promise<{ leased: number; total: number; redisNowMs: number }>
  quotaOf(tenantId: string): TenantQuota | undefined
  /** Milliseconds since the epoch, and those of a clock that only goes forward. */
  now(): number
  monotonicMs(): number
  failed(error: unknown): void
}

/** A process that was not heard for so long is not counted by the others, and does not trust its own share either. */
export const quotaAliveMs = 3_000
/** Between two heartbeats, and between two calls for a lease that nobody is in a hurry for. */
export const heartbeatMs = 500
/** Presses that wait for units. */
const maximumWaiting = 10_000

/** `exceeded`: nothing left today; `wait`: units are on their way; `recovering`: Redis restarted; `unknown`: it does not answer. */
export type TakeOutcome = 'exceeded' | 'wait' | 'recovering' | 'unknown'

export type TenantQuotas = {
  /** May this press go on, by the tenant's purchases a second? */
  mayPass(tenantId: string): 'ok' | 'limited' | 'unknown'
  /** One unit of the day: the lease that it is from, undefined when the tenant has no quota of orders. */
  take(tenantId: string): OrderLease | TakeOutcome | undefined
  /** Calls back when more is known; false: too many wait. */
  whenLeased(tenantId: string, resume: () => void): boolean
  /** Seconds until the next day. */
  secondsLeft(): number
  start(): void
  /** One heartbeat; resolves when all of its calls came back. `start` does it again and again. */
  beat(): Promise<void>
  /** Resolves when this process is counted in, or could not be for now. */
  joined(): Promise<void>
  /** Gives everything back that is not used. */
  stop(): Promise<void>
}

const maximumTenants = 10_000
type Entry = { lease: OrderLease; overLimit: boolean; waiting: (() => void)[]; failedAtMs: number; takenAtMs: number }
/** Of a tenant that nobody buys from nothing changes: Redis is told again only after it restarted. */
const idleMs = 60_000

export function createTenantQuotas(effects: QuotaEffects): TenantQuotas {
  const shares = new LRUCache<string, RateShare>({ max: maximumTenants })
  const entries = new Map<string, Entry>()
  let processes = 1
  let joinedAtMs = Number.NEGATIVE_INFINITY
  let clockOffsetMs = 0
  let run = ''
  let day = ''
  let sequence = 0
  let waiting = 0
  let joining: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let stopped = false

  const isJoined = () => effects.monotonicMs() - joinedAtMs < quotaAliveMs
  const nextSequence = () => ++sequence
  /** Only goes forward, because a day that began again would have forgotten what it used. */
  const today = () => {
    const now = dayOf(effects.now() + clockOffsetMs)
    if (now > day) day = now
    return day
  }

  const join = async () => {
    const askedAtMs = effects.monotonicMs()
    const before = effects.now()
    try {
      const { processes: counted, redisNowMs, run: found } = await effects.join()
      if (found !== run) for (const entry of entries.values()) entry.takenAtMs = askedAtMs
      run = found
      processes = Math.max(1, counted)
      joinedAtMs = Math.max(joinedAtMs, askedAtMs)
      clockOffsetMs = redisNowMs - (before + effects.now()) / 2
    } catch (error) {
      effects.failed(error)
    }
  }

  const call = async (entry: Entry): Promise<void> => {
    const { lease } = entry
    const limit = effects.quotaOf(lease.tenantId)?.ordersPerDay ?? 0
    const asked = lease.begin(entry.overLimit)
    if (!asked) return
    try {
      const { leased, total } = await effects.lease(lease.tenantId, lease.day, asked, limit, processes)
      if (leased === -1) throw new Error('Redis knows a newer call of this process')
      lease.succeeded(asked, leased)
      entry.overLimit = total > limit
      entry.failedAtMs = Number.NEGATIVE_INFINITY
    } catch (error) {
      lease.failed(asked)
      entry.failedAtMs = effects.monotonicMs()
      effects.failed(error)
    }
    const resumed = entry.waiting.splice(0)
    waiting -= resumed.length
    for (const resume of resumed) resume()
  }

  const newEntry = (tenantId: string): Entry => ({
    lease: new OrderLease(tenantId, day, nextSequence),
    overLimit: false,
    waiting: [],
    failedAtMs: Number.NEGATIVE_INFINITY,
    takenAtMs: effects.monotonicMs(),
  })
  /** The lease of today; that of yesterday goes, with what is free of it. */
  const entryOf = (tenantId: string): Entry => {
    const known = entries.get(tenantId)
    if (known?.lease.day === today()) return known
    const entry = newEntry(tenantId)
    // Who waits for units of yesterday waits for those of today.
    if (known) entry.waiting = known.waiting.splice(0)
    entries.set(tenantId, entry)
    return entry
  }

  const beat = async () => {
    joining = join()
    await joining
    const calls: Promise<void>[] = []
    for (const [tenantId, entry] of entries) {
      const { lease } = entry
      const idle = effects.monotonicMs() - entry.takenAtMs > idleMs && lease.free === 0
      if (lease.day !== today() && entry.waiting.length === 0) entries.delete(tenantId)
      else if (!idle && !lease.calling) calls.push(call(entry))
    }
    await Promise.all(calls)
  }

  return {
    mayPass(tenantId) {
      const limit = effects.quotaOf(tenantId)?.requestsPerSecond
      if (limit === undefined) return 'ok'
      if (!isJoined()) return 'unknown'
      const nowMs = effects.monotonicMs()
      let share = shares.get(tenantId)
      if (!share) shares.set(tenantId, (share = new RateShare(nowMs, limit, processes)))
      return share.take(nowMs, limit, processes) ? 'ok' : 'limited'
    },
    take(tenantId) {
      if (effects.quotaOf(tenantId)?.ordersPerDay === undefined) return undefined
      // Without the count of the processes the clock of Redis is not known either, and so not the day.
      if (!isJoined() || stopped) return 'unknown'
      const entry = entryOf(tenantId)
      const { lease } = entry
      entry.takenAtMs = effects.monotonicMs()
      const taken = lease.take()
      if (lease.isLow()) void call(entry)
      if (taken) return lease
      if (lease.recovering) return 'recovering'
      if (lease.exhausted) {
        lease.wake()
        return 'exceeded'
      }
      if (effects.monotonicMs() - entry.failedAtMs < heartbeatMs) return 'unknown'
      return 'wait'
    },
    whenLeased(tenantId, resume) {
      if (waiting >= maximumWaiting) return false
      const entry = entryOf(tenantId)
      entry.waiting.push(resume)
      waiting += 1
      entry.lease.wake()
      if (!entry.lease.calling) void call(entry)
      return true
    },
    secondsLeft: () => 86_400 - Math.floor(((effects.now() + clockOffsetMs) / 1_000) % 86_400),
    start() {
      if (timer) return
      void beat()
      timer = setInterval(() => void beat(), heartbeatMs)
      timer.unref()
    },
    beat,
    joined: async () => {
      if (!isJoined()) await joining
    },
    async stop() {
      stopped = true
      clearInterval(timer)
      const left = [...entries.values()].map(async ({ lease }) => {
        const limit = effects.quotaOf(lease.tenantId)?.ordersPerDay ?? 0
        await effects.lease(lease.tenantId, lease.day, lease.giveUp(), limit, processes)
      })
      await Promise.allSettled([...left, effects.leave()])
    },
  }
}
