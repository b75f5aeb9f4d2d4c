/** All upstreams of the configuration. Those that a change leaves as they are keep their connections, counts and breakers. */
import type { BreakerState } from './breaker.ts'
import type { UpstreamPlan } from './rules.ts'
import { createUpstream, type Upstream } from './upstream.ts'

export type Upstreams = {
  current(): ReadonlyMap<string, Upstream>
  /** Replaces what changed; requests in flight finish on what they began with. */
  apply(plans: readonly UpstreamPlan[]): ReadonlyMap<string, Upstream>
  close(): Promise<void>
}

export function createUpstreams(breakerChanged: (name: string, state: BreakerState) => void): Upstreams {
  let current = new Map<string, Upstream>()
  const keys = new WeakMap<Upstream, string>()
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
      }
      const before = current
      current = next
      for (const [name, upstream] of before) if (next.get(name) !== upstream) retire(upstream)
      return next
    },
    async close() {
      for (const upstream of current.values()) retire(upstream)
      await Promise.all(leaving)
    },
  }
}
