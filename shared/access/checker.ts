/**
 * Answers from memory what a caller may do. A tenant that is asked for comes into memory and is kept up to date by the change
 * stream; memory is believed for `staleMs` after it was surely up to date. Beyond that Redis is asked directly, and when that does
 * not answer either, nobody knows: `unknown`. The first question connects.
 */
import { Problem } from '../http/problem.ts'
import { connectRedis } from '../redis/connect.ts'
import { enterFact, forgetOldFacts } from './facts.ts'
import { createFollower } from './follower.ts'
import type { Change } from './follower.ts'
import { accessKeys } from './keys.ts'
import { createAccessMemory, remember, stateOf, verdictOf } from './memory.ts'
import type { TenantEntry, TenantReading } from './memory.ts'
import type { AccessChecker } from './types.ts'

export type AccessCheckerOptions = {
  redisUrl: string
  /** How long memory is believed; default 1,000. */
  staleMs?: number
  /** The time Redis has for an answer; default `staleMs`. */
  timeoutMs?: number
  /** Tenants in memory; default 10,000. */
  maximumTenants?: number
  /** Default `performance.now`. */
  monotonicMs?: () => number
  /** Default: ignored; answers report what matters. */
  onError?: (error: unknown) => void
  /** The directory is not complete, or its Redis was restarted: it is to be written again. Called as often as that is seen. */
  onForgotten?: () => void
}

export type DirectoryChecker = AccessChecker & {
  /** How long ago memory was surely up to date, ms; Infinity before the first time. */
  ageMs(): number
}

const factsInAReading = 1_000
const readingsAtOnce = 32

export function createAccessChecker(options: AccessCheckerOptions): DirectoryChecker {
  const { redisUrl, staleMs = 1_000, monotonicMs = () => performance.now(), onError = () => {} } = options
  const { timeoutMs = staleMs } = options
  const memory = createAccessMemory(options.maximumTenants ?? 10_000)
  let complete = false
  const { onForgotten = () => {} } = options
  const completeIs = (is: boolean) => {
    complete = is
    if (!is) onForgotten()
  }
  const reading = new Map<string, Promise<TenantEntry>>()
  const connect = (connectionName: string) =>
    connectRedis(redisUrl, {
      connectionName,
      queueWhileDisconnected: false,
      commandTimeoutMs: timeoutMs,
      connectTimeoutMs: timeoutMs,
    })
  const redis = connect('access')

  const readTenant = async (tenantId: string): Promise<TenantReading> => {
    const [own, marker, first] = (await redis
      .pipeline()
      .hmget(accessKeys.tenant(tenantId), 'tenant', 'roles')
      .exists(accessKeys.complete)
      .hscan(accessKeys.corrections(tenantId), '0', 'COUNT', factsInAReading)
      .exec()
      .then((replies) => replies!.map(([error, reply]) => (error ? Promise.reject(error) : reply)))
      .then(async (replies) => Promise.all(replies))) as [(string | null)[], number, [string, string[]]]
    const facts = first[1]
    let cursor = first[0]
    while (cursor !== '0') {
      const [next, more] = await redis.hscan(accessKeys.corrections(tenantId), cursor, 'COUNT', factsInAReading)
      facts.push(...more)
      cursor = next
    }
    completeIs(marker === 1)
    return { tenant: own[0] ?? null, roles: own[1] ?? null, facts }
  }
  const begin = (tenantId: string): Promise<TenantEntry> => {
    const askedAtMs = monotonicMs()
    const started = readTenant(tenantId)
      .then((own) => remember(memory, tenantId, own, askedAtMs))
      .finally(() => reading.delete(tenantId))
    reading.set(tenantId, started)
    return started
  }
  /** Many who ask at once share a reading. */
  const read = (tenantId: string): Promise<TenantEntry> => reading.get(tenantId) ?? begin(tenantId)
  /** A reading that begins now: one that is under way may have looked before the change. */
  const readAgain = async (tenantId: string): Promise<void> => {
    await reading.get(tenantId)?.catch(() => {})
    await read(tenantId)
  }

  const apply = async (changes: readonly Change[]): Promise<void> => {
    const changed = new Set<string>()
    for (const { kind, tenantId, data } of changes) {
      const busy = reading.get(tenantId)
      if (!busy && !memory.has(tenantId)) continue
      if (kind !== 'correction') {
        changed.add(tenantId)
        continue
      }
      await busy?.catch(() => {})
      const corrections = memory.peek(tenantId)?.corrections
      for (const line of corrections ? data.split('\n') : []) {
        const space = line.indexOf(' ')
        enterFact(corrections!, line.slice(0, space), line.slice(space + 1))
      }
    }
    await inTurns([...changed], readAgain)
  }

  const follower = createFollower({
    redis: connect('access-changes'),
    monotonicMs,
    apply,
    reload: () => inTurns([...new Set([...memory.keys(), ...reading.keys()])], readAgain),
    sweep: (nowMs) => memory.forEach(({ corrections }) => forgetOldFacts(corrections, nowMs)),
    completeIs,
    restarted: onForgotten,
    onError,
  })
  const isFresh = (entry: TenantEntry) => monotonicMs() - Math.max(follower.freshAtMs(), entry.readAtMs) < staleMs
  const freshEntry = (tenantId: string): TenantEntry | undefined => {
    const entry = memory.get(tenantId)
    return entry !== undefined && isFresh(entry) ? entry : undefined
  }

  const checker: DirectoryChecker = {
    checkSync(principal, permission) {
      if (principal.kind === 'service') return permission === undefined ? 'allowed' : 'forbidden'
      const entry = freshEntry(principal.tenantId)
      if (entry === undefined) return undefined
      const verdict = verdictOf(entry, complete, principal, permission)
      return verdict === 'unknown' ? undefined : verdict
    },
    async check(principal, permission) {
      follower.start()
      const known = checker.checkSync(principal, permission)
      if (known !== undefined) return known
      try {
        return verdictOf(await read(principal.tenantId), complete, principal, permission)
      } catch (error) {
        onError(error)
        return 'unknown'
      }
    },
    quotaSync: (tenantId) => memory.get(tenantId)?.tenant?.quota,
    async load(tenantId) {
      follower.start()
      const entry = freshEntry(tenantId) ?? (await read(tenantId).catch(unavailable))
      const state = stateOf(entry, complete)
      if (state === 'unknown') return unavailable(new Error(`tenant ${tenantId} is not in the access directory yet`))
      return entry.tenant ?? { state: state === 'allowed' ? 'active' : 'closed', quota: {}, version: 0 }
    },
    ageMs: () => monotonicMs() - follower.freshAtMs(),
    async close() {
      await follower.close()
      redis.disconnect()
    },
  }
  return checker
}

function unavailable(cause: unknown): never {
  throw new Problem('dependency-unavailable', 'It cannot be known at the moment who may do what.', {
    cause,
    retryAfterSeconds: 1,
  })
}

async function inTurns<T>(values: readonly T[], run: (value: T) => Promise<void>): Promise<void> {
  for (let index = 0; index < values.length; index += readingsAtOnce) {
    await Promise.all(values.slice(index, index + readingsAtOnce).map(run))
  }
}
