/** Counters of the hot path: plain numbers, handed to prom-client when it is asked. */
import { Gauge, type Registry } from 'prom-client'
import { createHotCounter, type HotCounter } from '@stampede/shared/telemetry/metrics.ts'
import { reasons, type Reason } from './answers.ts'

export type Counters = {
  presses: HotCounter<Reason>
  calls: HotCounter<'ok' | 'failed'>
  decided: HotCounter<'redis' | 'memory'>
  relayed: HotCounter<'purchases' | 'events' | 'batches' | 'failures'>
  /** Set by the parts that know them, read on scrape. */
  gauges: {
    queued: () => number
    waiters: () => number
    liveClients: () => number
    relayLagMs: () => number
  }
}

export function createCounters(registry: Registry): Counters {
  const zero = () => 0
  const gauges: Counters['gauges'] = { queued: zero, waiters: zero, liveClients: zero, relayLagMs: zero }
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  gauge('stampede_seckill_queued_purchases', 'Purchases that wait for a decision.', () => gauges.queued())
  gauge('stampede_seckill_result_waiters', 'Clients that wait for a result.', () => gauges.waiters())
  gauge('stampede_seckill_live_clients', 'Clients of the live stream.', () => gauges.liveClients())
  gauge(
    'stampede_seckill_relay_lag_seconds',
    'Age of the oldest purchase in the newest batch when Kafka had it.',
    () => gauges.relayLagMs() / 1_000,
  )
  return {
    gauges,
    presses: createHotCounter(registry, {
      name: 'stampede_seckill_purchases_total',
      help: 'Presses of "buy" by what became of them.',
      label: 'reason',
      values: reasons,
    }),
    calls: createHotCounter(registry, {
      name: 'stampede_seckill_decision_calls_total',
      help: 'Script calls that decide purchases.',
      label: 'result',
      values: ['ok', 'failed'],
    }),
    decided: createHotCounter(registry, {
      name: 'stampede_seckill_decisions_total',
      help: 'Where purchases were decided.',
      label: 'by',
      values: ['redis', 'memory'],
    }),
    relayed: createHotCounter(registry, {
      name: 'stampede_seckill_relayed_total',
      help: 'What the relay moved from Redis to Kafka.',
      label: 'what',
      values: ['purchases', 'events', 'batches', 'failures'],
    }),
  }
}
