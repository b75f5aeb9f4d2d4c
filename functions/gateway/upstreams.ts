/**
 * All upstreams of the configuration. Those that a change leaves as they are keep their connections, counts and breakers. One that is
 * replaced ends when nobody holds it any more: a request may still be on its way to it when the configuration changes.
 */
import type { BreakerState } from './breaker.ts'
import type { UpstreamPlan } from './rules.ts'
import { createUpstream, type Upstream } from './upstream.ts'

export type Upstreams = {
  current(): ReadonlyMap<string, Upstream>
  /** Replaces what changed. Whoever gets the result holds it until `release`. */
  apply(plans: readonly UpstreamPlan[]): ReadonlyMap<string, Upstream>
  /** Nobody begins anything on these any more, as far as this holder is concerned. */
  release(held: ReadonlyMap<string, Upstream>): void
  close(): Promise<void>
}

export function createUpstreams(breakerChanged: (name: string, state: BreakerState) => void): Upstreams {
  let current = new Map<string, Upstream>()
  const keys = new WeakMap<Upstream, string>()
  const holders = new Map<Upstream, number>()
  /** Ended when their last request has. */
  const leaving = new Set<Promise<void>>()

  const retire = (upstream: Upstream): void => {
    const closed = upstream.close().catch(() => {})
    leaving.add(closed)
    void closed.finally(() => leaving.delete(closed))
  }

  return {
    current: () => current,
    apply(plans) {
      const next = new Map<string, Upstream>()
      for (const plan of plans) {
        const key = JSON.stringify(plan)
        const before = current.get(plan.name)
        const same = before !== undefined && keys.get(before) === key
        const upstream = same ? before : createUpstream({ ...plan, breakerChanged })
        keys.set(upstream, key)
        next.set(plan.name, upstream)
        holders.set(upstream, (holders.get(upstream) ?? 0) + 1)
      }
      current = next
      return next
    },
    release(held) {
      for (const upstream of held.values()) {
        const left = (holders.get(upstream) ?? 0) - 1
        if (left > 0) holders.set(upstream, left)
        else {
          holders.delete(upstream)
          retire(upstream)
        }
      }
    },
    async close() {
      for (const upstream of holders.keys()) retire(upstream)
      holders.clear()
      await Promise.all(leaving)
    },
  }
}
