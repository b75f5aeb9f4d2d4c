/** The document `seckill` while the function runs, in the shape its parts use. */
import type { Configuration } from '@stampede/shared/configuration/types.ts'
import { documentFile } from '@stampede/shared/configuration/document-file.ts'
import { openConfiguration } from '@stampede/shared/configuration/open-configuration.ts'
import type { HostServices } from '@stampede/shared/function/declaration.ts'
import type { SeckillConfig } from './config.ts'
import { passRequired, seckillSettings, type SeckillSettings } from './settings.ts'

/**
 * The same objects for the life of the function, with other values after a change: a press reads a field and asks nobody. Nothing of
 * a press is read twice, so no press sees half of a change.
 */
export type LiveSettings = {
  purchases: { rate: number; burst: number; passRequired: boolean }
  decisions: { batch: number; callsInFlight: number; queue: number; timeoutMs: number }
  relay: { batchPurchases: number; lingerMs: number; lingerMaxMs: number }
}

/** Throws when the environment gives settings that cannot be. */
export function openSettings(
  config: SeckillConfig,
  host: HostServices,
): { configuration: Configuration<SeckillSettings>; live: LiveSettings } {
  const schema = seckillSettings(config)
  // A captcha needs what only a document says: then there is nothing built in, and a start without the document fails.
  const defaults = schema.safeParse({})
  const configuration = openConfiguration<SeckillSettings>({
    name: 'seckill',
    schema,
    file: documentFile(config.CONFIGURATION_FOLDER, 'seckill'),
    ...(defaults.success ? { initial: defaults.data } : {}),
    log: host.log,
    metrics: host.metrics,
  })
  const live = liveOf(configuration.current(), config)
  configuration.onChange((next) => {
    const { purchases, decisions, relay } = liveOf(next, config)
    Object.assign(live.purchases, purchases)
    Object.assign(live.decisions, decisions)
    Object.assign(live.relay, relay)
  })
  return { configuration, live }
}

function liveOf(settings: SeckillSettings, { DECISION_TIMEOUT_MS, DURABILITY }: SeckillConfig): LiveSettings {
  const { rates, decisions, relay } = settings
  return {
    purchases: { rate: rates.purchasesPerSecond, burst: rates.burst, passRequired: passRequired(settings) },
    decisions: { ...decisions, timeoutMs: DECISION_TIMEOUT_MS },
    relay: {
      batchPurchases: relay.batch,
      // Buyers wait for Kafka then.
      lingerMs: DURABILITY === 'kafka' ? Math.min(2, relay.lingerMs) : relay.lingerMs,
      lingerMaxMs: DURABILITY === 'kafka' ? 2 : relay.lingerMaxMs,
    },
  }
}
