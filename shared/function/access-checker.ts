/** The one access checker of a process, as its environment says. */
import type { Logger } from 'pino'
import { Counter, Gauge, type Registry } from 'prom-client'
import { createBuiltInChecker } from '../access/built-in-checker.ts'
import { createAccessChecker } from '../access/checker.ts'
import type { AccessChecker } from '../access/types.ts'
import { accessWriters } from '../access/writers.ts'
import type { Alarms } from '../alarms/alarms.ts'
import { occasionally } from '../telemetry/occasionally.ts'
import type { HostConfig } from './host-config.ts'

/** Failures come with each request while Redis is away; the log gets one in this time. */
const logEveryMs = 5_000
/** Who writes the directory is woken up, and not again before it could have done so; later and later when it cannot. */
const firstPauseMs = 5_000
const longestPauseMs = 60_000

export function accessCheckerOf(config: HostConfig, log: Logger, registry: Registry, alarms: Alarms): AccessChecker {
  if (config.ACCESS_CONTROL === 'built-in') return createBuiltInChecker()
  const failures = new Counter({
    name: 'access_directory_failures_total',
    help: 'Readings of the access directory that failed.',
    registers: [registry],
  })
  const report = occasionally((error: unknown) => log.warn({ error }, 'the access directory cannot be read'), {
    everyMs: logEveryMs,
  })
  let wakeAgainAtMs = Number.NEGATIVE_INFINITY
  let pauseMs = firstPauseMs
  const checker = createAccessChecker({
    // Without it the host did not start.
    redisUrl: config.REDIS_URL!,
    staleMs: config.ACCESS_STALE_MS,
    onForgotten: () => {
      const nowMs = performance.now()
      if (nowMs < wakeAgainAtMs) return
      pauseMs = nowMs - wakeAgainAtMs > longestPauseMs ? firstPauseMs : Math.min(longestPauseMs, pauseMs * 2)
      wakeAgainAtMs = nowMs + pauseMs
      log.info('the access directory may have forgotten something: it is written again')
      for (const task of accessWriters) void alarms.set(task, Date.now(), { again: true })
    },
    onError: (error) => {
      failures.inc()
      report(error)
    },
  })
  const age = new Gauge({
    name: 'access_directory_age_seconds',
    help: 'How long ago what is remembered of the access directory was surely up to date; absent before the first request.',
    registers: [],
    collect() {
      this.reset()
      const ageMs = checker.ageMs()
      if (Number.isFinite(ageMs)) this.set(ageMs / 1_000)
    },
  })
  registry.registerMetric(age)
  return checker
}
