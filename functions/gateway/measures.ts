/** What a scrape sees. Counts are plain fields that are handed over when metrics are read: labels cost more than the rest of a request. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Breaker, BreakerState } from './breaker.ts'
import type { Upstream } from './upstream.ts'

export type Measures = {
  /** Ended: status 499 when the client went away first, 502 when the upstream broke off within its answer. */
  request(route: string, upstream: string, status: number): void
  duration(upstream: string, milliseconds: number): void
  refused(reason: RefusalReason): void
  limited(limit: string, where: string): void
  retried(upstream: string, why: 'status' | 'failure' | 'not-sent'): void
  retryRefused(upstream: string): void
  /** It went elsewhere than to the first upstream. */
  diverted(functionName: string, reason: string): void
  breakerChanged(upstream: string, state: BreakerState): void
  limiterCall(requests: number): void
  limiterFailed(): void
}

export type RefusalReason =
  | 'malformed'
  | 'headers-too-large'
  | 'address'
  | 'no-route'
  | 'body-too-large'
  | 'slow-body'
  | 'token'
  | 'forbidden'
  | 'unavailable'

type Sample = { labels: Record<string, string>; value: number }

const states: Record<BreakerState, number> = { closed: 0, 'half-open': 1, open: 2 }
const separator = '\n'

export function createMeasures(
  registry: Registry,
  sources: { upstreams: () => Iterable<Upstream>; limiterPending: () => number; limiterOut: () => boolean },
): Measures {
  const counter = (name: string, help: string, labelNames: readonly string[]) => {
    const counts = new Map<string, number>()
    registry.registerMetric(
      new Counter({
        name,
        help,
        labelNames,
        registers: [],
        collect() {
          this.reset()
          for (const [key, count] of counts) {
            const values = key.split(separator)
            const labels = Object.fromEntries(labelNames.map((label, index) => [label, values[index] ?? '']))
            this.inc(labels, count)
          }
        },
      }),
    )
    return (...values: string[]) => {
      const key = values.length === 1 ? values[0]! : values.join(separator)
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
  }
  const gauge = (name: string, help: string, labelNames: readonly string[], read: () => Sample[]) => {
    registry.registerMetric(
      new Gauge({
        name,
        help,
        labelNames,
        registers: [],
        collect() {
          this.reset()
          for (const { labels, value } of read()) this.set(labels, value)
        },
      }),
    )
  }
  const perUpstream = (value: (upstream: Upstream) => number) => () =>
    [...sources.upstreams()].map((upstream) => ({ labels: { upstream: upstream.name }, value: value(upstream) }))

  gauge(
    'gateway_in_flight',
    'Ordinary requests that an upstream has not answered to the end.',
    ['upstream'],
    perUpstream(({ inFlight }) => inFlight),
  )
  gauge(
    'gateway_streams',
    'Event streams and long polls.',
    ['upstream'],
    perUpstream(({ streaming }) => streaming),
  )
  gauge(
    'gateway_upstream_latency_ms',
    'Moving average of the time until an answer begins.',
    ['upstream'],
    perUpstream(({ latencyMs }) => latencyMs),
  )
  gauge(
    'gateway_breaker_state',
    '0 closed, 1 half open, 2 open.',
    ['upstream'],
    perUpstream(({ breaker }: { breaker: Breaker }) => states[breaker.state()]),
  )
  gauge('gateway_limits_waiting', 'Requests that wait for the decision about their rate limits.', [], () => [
    { labels: {}, value: sources.limiterPending() },
  ])
  gauge('gateway_limits_out', '1 while Redis does not answer and the policies of the limits decide.', [], () => [
    { labels: {}, value: sources.limiterOut() ? 1 : 0 },
  ])
  const requests = counter(
    'gateway_requests_total',
    'Requests by route, upstream and status; 499: the client went away.',
    ['route', 'upstream', 'status'],
  )
  const refusals = counter('gateway_refused_total', 'Requests that were answered without an upstream.', ['reason'])
  const limited = counter(
    'gateway_limited_total',
    'Requests over a rate limit, and who knew it: memory, redis, outage.',
    ['limit', 'where'],
  )
  const retries = counter('gateway_retries_total', 'Requests that were sent once more.', ['upstream', 'why'])
  const refusedRetries = counter('gateway_retries_refused_total', 'Retries that the budget did not allow.', [
    'upstream',
  ])
  const diverted = counter(
    'gateway_diverted_total',
    'Requests that did not go to the first upstream: canary, saturated, slow, breaker.',
    ['function', 'reason'],
  )
  const transitions = counter('gateway_breaker_transitions_total', 'Changes of a breaker by the state it went to.', [
    'upstream',
    'state',
  ])
  const durations = new Histogram({
    name: 'gateway_request_duration_seconds',
    help: 'From the first byte of the headers to the end of the answer; streams are not in it.',
    labelNames: ['upstream'],
    buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [registry],
  })
  const children = new Map<string, ReturnType<typeof durations.labels>>()
  const calls = new Counter({
    name: 'gateway_limits_calls_total',
    help: 'Script calls about rate limits.',
    registers: [registry],
  })
  const decisions = new Counter({
    name: 'gateway_limits_decisions_total',
    help: 'Requests in these calls.',
    registers: [registry],
  })
  const failures = new Counter({
    name: 'gateway_limits_failures_total',
    help: 'Script calls that failed.',
    registers: [registry],
  })

  return {
    request: (route, upstream, status) => requests(route, upstream, String(status)),
    duration(upstream, milliseconds) {
      let child = children.get(upstream)
      if (!child) {
        child = durations.labels(upstream)
        children.set(upstream, child)
      }
      child.observe(milliseconds / 1_000)
    },
    refused: refusals,
    limited,
    retried: retries,
    retryRefused: refusedRetries,
    diverted,
    breakerChanged: transitions,
    limiterCall(count) {
      calls.inc()
      decisions.inc(count)
    },
    limiterFailed: () => failures.inc(),
  }
}
