/**
 * What this process knows of the sales it serves: a second level of cache over Redis. Each sale is read at its first use and
 * then polled; what memory answers is never older than the poll, and only what is certain is answered from it.
 */
import { LRUCache } from 'lru-cache'
import type { BucketRef, BucketSnapshot, SaleState, SaleStore } from '@stampede/shared/sale/types.ts'
import { notStarted, type Answer } from './answers.ts'
import { isSoldOut, loadWinners, versionOf, type Winners } from './winners.ts'

/** One sale as this process sees it. Written by the cache alone, read on every press. */
export type Sale = {
  readonly tenantId: string
  readonly activityId: string
  /** One for each bucket; the object is the same for the life of the sale. */
  readonly buckets: readonly BucketRef[]
  perUserLimit: number
  state: SaleState
  startsAtMs: number
  endsAtMs: number
  /** Redis' clock minus ours, and how far off that can be. */
  clockOffsetMs: number
  clockErrorMs: number
  total: number
  left: number
  sold: number
  confirmed: number
  outboxLength: number
  /** When the snapshot was asked for, by our clock. */
  readAtMs: number
  version: string
  /** Until then nothing is left, as far as Redis said within the last second; 0: not sold out. */
  soldOutUntilMs: number
  /** The buyers of a sold-out sale; undefined: ask Redis. */
  winners: Winners | undefined
  usedAtMs: number
  /** Tokens of the rate limit, and when they were counted. */
  tokens: number
  tokensAtMs: number
  early: { second: number; answer: Answer } | undefined
}

export type SaleCacheOptions = {
  store: Pick<SaleStore, 'snapshot' | 'scanBuyers'>
  pollMs: number
  winnersLimit: number
  burst: number
  /** Milliseconds since the epoch. */
  now?: () => number
  onError?: (error: unknown) => void
  /** Sees each snapshot that is read. */
  observed?: (bucket: BucketRef, snapshot: BucketSnapshot) => void
  /** Called when a sale of the tenant is read and at each poll: what the process knows of the tenant must stay in memory. */
  keepTenant?: (tenantId: string) => void
}

export type SaleCache = {
  /** What is known now: a sale, `undefined` when it must be loaded, `null` when Redis does not know it. No I/O. */
  get(tenantId: string, activityId: string): Sale | null | undefined
  /** Reads the sale at its first use; calls at the same time share one read. Rejects when Redis does not answer. */
  load(tenantId: string, activityId: string): Promise<Sale | null>
  /** Reads the sale again, because something changed. */
  refresh(sale: Sale): Promise<void>
  /** The sale may have units again. */
  clearSoldOut(tenantId: string, activityId: string): void
  all(): Iterable<Sale>
  stop(): void
}

/** How long memory may be believed when Redis does not answer the poll. */
export const staleAfterMs = 5_000
/** Unknown activities are asked for again after this time. */
const negativeMs = 1_000
const identifier = /^[A-Za-z0-9_-]{1,64}$/
const maximumSales = 1_000
const maximumUnknown = 10_000
const idleMs = 600_000
/** A sold-out mark is believed for one second at most. */
const soldOutMs = 1_000

export function createSaleCache(options: SaleCacheOptions): SaleCache {
  const { store, pollMs, winnersLimit, burst, now = Date.now, onError = () => {}, observed = () => {} } = options
  const { keepTenant = () => {} } = options
  const sales = new Map<string, Map<string, Sale>>()
  const known = new Set<Sale>()
  const unknown = new LRUCache<string, true>({ max: maximumUnknown, ttl: negativeMs })
  const loading = new Map<string, Promise<Sale | null>>()
  const refreshing = new Map<Sale, Promise<void>>()
  const loadingWinners = new Set<Sale>()
  /** The version whose buyers were too many: not tried again. */
  const tooMany = new WeakMap<Sale, string>()
  let stopped = false

  const keep = (sale: Sale): void => {
    let ofTenant = sales.get(sale.tenantId)
    if (!ofTenant) sales.set(sale.tenantId, (ofTenant = new Map()))
    ofTenant.set(sale.activityId, sale)
    known.add(sale)
    if (known.size > maximumSales) {
      let oldest = sale
      for (const other of known) if (other.usedAtMs < oldest.usedAtMs) oldest = other
      forget(oldest)
    }
  }

  const forget = (sale: Sale): void => {
    known.delete(sale)
    const ofTenant = sales.get(sale.tenantId)
    ofTenant?.delete(sale.activityId)
    if (ofTenant?.size === 0) sales.delete(sale.tenantId)
  }

  const readAll = async (buckets: readonly BucketRef[]) => {
    const snapshots = await Promise.all(buckets.map((bucket) => store.snapshot(bucket)))
    return snapshots.includes(undefined) ? undefined : (snapshots as BucketSnapshot[])
  }

  const update = (sale: Sale, snapshots: readonly BucketSnapshot[], askedAtMs: number): void => {
    for (const [index, snapshot] of snapshots.entries()) observed(sale.buckets[index]!, snapshot)
    const first = snapshots[0]!
    const answeredAtMs = now()
    sale.perUserLimit = first.perUserLimit
    sale.state = first.state
    if (sale.startsAtMs !== first.startsAtMs) sale.early = undefined
    sale.startsAtMs = first.startsAtMs
    sale.endsAtMs = first.endsAtMs
    sale.clockErrorMs = answeredAtMs - askedAtMs + 1
    sale.clockOffsetMs = first.nowMs - (askedAtMs + answeredAtMs) / 2
    sale.total = sum(snapshots, 'total')
    sale.left = sum(snapshots, 'left')
    sale.sold = sum(snapshots, 'sold')
    sale.confirmed = sum(snapshots, 'confirmed')
    sale.outboxLength = sum(snapshots, 'outboxLength')
    sale.readAtMs = askedAtMs
    const version = versionOf(snapshots)
    if (version !== sale.version || !isSoldOut(snapshots)) sale.winners = undefined
    sale.version = version
    sale.soldOutUntilMs = isSoldOut(snapshots) ? askedAtMs + soldOutMs : 0
    if (sale.soldOutUntilMs > 0 && !sale.winners) void findWinners(sale)
  }

  const findWinners = async (sale: Sale): Promise<void> => {
    const { version } = sale
    if (loadingWinners.has(sale) || tooMany.get(sale) === version || sale.sold > winnersLimit * sale.perUserLimit)
      return
    loadingWinners.add(sale)
    try {
      const winners = await loadWinners(store, sale.buckets, winnersLimit)
      if (!winners) {
        tooMany.set(sale, version)
        return
      }
      const after = await readAll(sale.buckets)
      // Units came back and were sold again while the pages were read: then the list has holes.
      if (after && isSoldOut(after) && versionOf(after) === version && sale.version === version) sale.winners = winners
    } catch (error) {
      onError(error)
    } finally {
      loadingWinners.delete(sale)
    }
  }

  const refresh = (sale: Sale): Promise<void> => {
    const under = refreshing.get(sale)
    if (under) return under
    const work = (async () => {
      const askedAtMs = now()
      const snapshots = await readAll(sale.buckets)
      if (snapshots) update(sale, snapshots, askedAtMs)
      else forget(sale)
    })().finally(() => refreshing.delete(sale))
    refreshing.set(sale, work)
    return work
  }

  const read = async (tenantId: string, activityId: string, key: string): Promise<Sale | null> => {
    keepTenant(tenantId)
    const askedAtMs = now()
    const first = await store.snapshot({ tenantId, activityId, bucket: 0 })
    if (!first) {
      unknown.set(key, true)
      return null
    }
    const buckets = Array.from({ length: first.buckets }, (_, bucket) => ({ tenantId, activityId, bucket }))
    const snapshots = buckets.length === 1 ? [first] : await readAll(buckets)
    // Half warmed up: not there yet.
    if (!snapshots) return null
    const sale = newSale(tenantId, activityId, buckets, burst, now())
    update(sale, snapshots, askedAtMs)
    keep(sale)
    return sale
  }

  const timer = setInterval(() => {
    const idleSince = now() - idleMs
    for (const sale of known) {
      if (sale.usedAtMs < idleSince) forget(sale)
      else {
        keepTenant(sale.tenantId)
        refresh(sale).catch(onError)
      }
    }
  }, pollMs)
  timer.unref()

  const get = (tenantId: string, activityId: string): Sale | null | undefined => {
    const sale = sales.get(tenantId)?.get(activityId)
    if (sale) return sale
    return unknown.has(`${tenantId}:${activityId}`) ? null : undefined
  }

  const load = (tenantId: string, activityId: string): Promise<Sale | null> => {
    const sale = get(tenantId, activityId)
    if (sale !== undefined) return Promise.resolve(sale)
    // Keys in Redis are made from it.
    if (!identifier.test(activityId)) return Promise.resolve(null)
    const key = `${tenantId}:${activityId}`
    let work = loading.get(key)
    if (!work) {
      work = read(tenantId, activityId, key).finally(() => loading.delete(key))
      loading.set(key, work)
    }
    return work
  }

  return {
    get,
    load,
    refresh: async (sale) => {
      if (stopped) return
      // A read under way may have begun before the change.
      await refreshing.get(sale)
      await refresh(sale)
    },
    clearSoldOut(tenantId, activityId) {
      const sale = sales.get(tenantId)?.get(activityId)
      if (!sale) return
      sale.soldOutUntilMs = 0
      sale.winners = undefined
    },
    all: () => known,
    stop() {
      stopped = true
      clearInterval(timer)
    },
  }
}

function newSale(
  tenantId: string,
  activityId: string,
  buckets: readonly BucketRef[],
  burst: number,
  nowMs: number,
): Sale {
  return {
    tenantId,
    activityId,
    buckets,
    perUserLimit: 0,
    state: 'closed',
    startsAtMs: 0,
    endsAtMs: 0,
    clockOffsetMs: 0,
    clockErrorMs: 0,
    total: 0,
    left: 0,
    sold: 0,
    confirmed: 0,
    outboxLength: 0,
    readAtMs: 0,
    version: '',
    soldOutUntilMs: 0,
    winners: undefined,
    usedAtMs: nowMs,
    tokens: burst,
    tokensAtMs: nowMs,
    early: undefined,
  }
}

function sum(snapshots: readonly BucketSnapshot[], field: 'total' | 'left' | 'sold' | 'confirmed' | 'outboxLength') {
  let total = 0
  for (const snapshot of snapshots) total += snapshot[field]
  return total
}

/** The refusal that is certain from memory (early, ended, paused, closed by the last poll), or undefined: Redis decides. */
export function refusalFromMemory(
  sale: Sale,
  nowMs: number,
): 'not-started' | 'ended' | 'paused' | 'closed' | undefined {
  if (nowMs - sale.readAtMs > staleAfterMs) return undefined
  if (sale.state === 'paused') return 'paused'
  if (sale.state === 'closed') return 'closed'
  if (sale.state !== 'open') return undefined
  const redisNowMs = nowMs + sale.clockOffsetMs
  if (redisNowMs + sale.clockErrorMs < sale.startsAtMs) return 'not-started'
  if (redisNowMs - sale.clockErrorMs >= sale.endsAtMs) return 'ended'
  return undefined
}

/** The answer to an early press; made once for each second, because `Retry-After` counts down. */
export function earlyAnswer(sale: Sale, nowMs: number): Answer {
  const redisNowMs = nowMs + sale.clockOffsetMs
  const second = Math.ceil((sale.startsAtMs - redisNowMs) / 1_000)
  if (sale.early?.second !== second) {
    sale.early = { second, answer: notStarted(sale.startsAtMs, redisNowMs) }
  }
  return sale.early.answer
}

/** Token bucket of the activity in this process. */
export function takeToken(sale: Sale, rate: number, burst: number, nowMs: number): boolean {
  if (nowMs > sale.tokensAtMs) {
    sale.tokens = Math.min(burst, sale.tokens + ((nowMs - sale.tokensAtMs) * rate) / 1_000)
    sale.tokensAtMs = nowMs
  }
  if (sale.tokens < 1) return false
  sale.tokens -= 1
  return true
}
