/** What a scrape sees of the documents. A refused one is an alert: what people wrote is not what applies. */
import { Counter, Gauge, type Registry } from 'prom-client'

export type ConfigurationMeasures = {
  applied(version: string, digest: string, nowMs: number): void
  rejected(rejected: boolean): void
  loaded(outcome: 'applied' | 'rejected' | 'rolled-back'): void
  close(): void
}

export function configurationMeasures(registry: Registry, name: string): ConfigurationMeasures {
  const gauge = <L extends string>(metric: string, help: string, labelNames: readonly L[]) =>
    (registry.getSingleMetric(metric) as Gauge<L> | undefined) ??
    new Gauge({ name: metric, help, labelNames, registers: [registry] })
  const rejections = gauge(
    'configuration_rejected',
    '1 while the document as it is now is refused and an older one applies: alert on any',
    ['name'],
  )
  const versions = gauge('configuration_version_info', 'The version of the document that applies', [
    'name',
    'version',
    'digest',
  ])
  const loadedAt = gauge(
    'configuration_loaded_at',
    'When the document that applies was taken over, Unix time in seconds',
    ['name'],
  )
  const loads =
    (registry.getSingleMetric('configuration_loads_total') as Counter<'name' | 'outcome'> | undefined) ??
    new Counter({
      name: 'configuration_loads_total',
      help: 'Documents that were decided about',
      labelNames: ['name', 'outcome'],
      registers: [registry],
    })
  let shown: { name: string; version: string; digest: string } | undefined
  rejections.set({ name }, 0)
  return {
    applied(version, digest, nowMs) {
      if (shown) versions.remove(shown)
      shown = { name, version, digest }
      versions.set(shown, 1)
      loadedAt.set({ name }, nowMs / 1_000)
    },
    rejected: (rejected) => rejections.set({ name }, rejected ? 1 : 0),
    loaded: (outcome) => loads.inc({ name, outcome }),
    close() {
      if (shown) versions.remove(shown)
      rejections.remove({ name })
      loadedAt.remove({ name })
    },
  }
}
