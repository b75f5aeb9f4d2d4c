import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

export type ConsumerMetrics = {
  delivered: { inc(): void }
  retried: { inc(): void }
  deadLettered: { inc(): void }
  dropped: { inc(): void }
  replied: { inc(): void }
  filtered: { inc(count?: number): void }
  latency: { observe(seconds: number): void }
}

export type EngineMetrics = {
  consumer(name: string): ConsumerMetrics
  /** By status of the answer. */
  ingress: Counter<'status'>
  lag: Gauge<'consumer'>
}

/** Registers the engine's metrics; `consumer` is a label on each of them. */
export function createMetrics(registry: Registry): EngineMetrics {
  const registers = [registry]
  const counter = (name: string, help: string) =>
    new Counter({ name: `stampede_eventing_${name}_total`, help, labelNames: ['consumer'], registers })
  const delivered = counter('delivered', 'Events that a subscriber accepted')
  const retried = counter('retried', 'Repeated attempts')
  const deadLettered = counter('dead_lettered', 'Events that went to the dead-letter sink')
  const dropped = counter('dropped', 'Events that could not be delivered and had no dead-letter sink')
  const replied = counter('replied', 'Events in answers that went back to the broker')
  const filtered = counter('filtered', 'Events that the filter of a Trigger held back')
  const latency = new Histogram({
    name: 'stampede_eventing_delivery_seconds',
    help: 'Time of a delivery with all its repeats',
    labelNames: ['consumer'],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers,
  })
  return {
    consumer: (name) => ({
      delivered: delivered.labels(name),
      retried: retried.labels(name),
      deadLettered: deadLettered.labels(name),
      dropped: dropped.labels(name),
      replied: replied.labels(name),
      filtered: filtered.labels(name),
      latency: latency.labels(name),
    }),
    ingress: new Counter({
      name: 'stampede_eventing_ingress_total',
      help: 'Events offered, by answer',
      labelNames: ['status'],
      registers,
    }),
    lag: new Gauge({
      name: 'stampede_eventing_lag',
      help: 'Records that a consumer has not settled yet',
      labelNames: ['consumer'],
      registers,
    }),
  }
}
