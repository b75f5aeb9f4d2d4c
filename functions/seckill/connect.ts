/** Puts the parts of the function together: connections, the decision, the relay, results. */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { JSONWebKeySet } from 'jose'
import type { HostServices } from '@stampede/shared/function/declaration.ts'
import { createTokenVerifier } from '@stampede/shared/identity/access-token.ts'
import { createPasses, parsePassKeys } from '@stampede/shared/identity/pass.ts'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { createKafka } from '@stampede/shared/kafka/connect.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { occasionally } from '@stampede/shared/telemetry/occasionally.ts'
import type { ChangeStateEffects } from './change-state.ts'
import type { SeckillConfig } from './config.ts'
import { createCounters } from './counters.ts'
import { createDecider, type Decider } from './decide-together.ts'
import { createKafkaGate, type KafkaGate } from './durability.ts'
import { createLive, type Live } from './live.ts'
import { openSettings } from './open-settings.ts'
import { createProtection, type Protection } from './protection.ts'
import { returnUnit, type Press } from './press.ts'
import { createPurchaseRoutes, type PurchaseRoutes } from './purchase-route.ts'
import { ringAlarms } from './ring-alarms.ts'
import { startRelay, type Relay } from './relay-loop.ts'
import { createResultRoute } from './result-route.ts'
import { createResults, type Results } from './results.ts'
import { createSaleCache, type SaleCache } from './sale-cache.ts'
import { createSaleMemory, type SaleMemory } from './sale-memory.ts'
import { createKafkaSender } from './send-to-kafka.ts'
import type { SettleEffects } from './settle-orders.ts'
import { createQuotaStore } from './tenant-quota-redis.ts'
import { createTenantQuotas, quotaAliveMs } from './tenant-quota.ts'

export type Seckill = {
  routes: PurchaseRoutes
  result: ReturnType<typeof createResultRoute>
  protection: Protection
  settleEffects: SettleEffects & ChangeStateEffects
  sales: SaleCache
  live: Live
  results: Results
  relay: Relay
  decider: Decider<Press>
  ready(): Promise<void>
  stop(): Promise<void>
}

export function connectSeckill(config: SeckillConfig, host: HostServices): Seckill {
  const { log } = host
  const counters = createCounters(host.metrics)
  const { configuration: settings, live: pace } = openSettings(config, host)
  // The rush has a connection of its own: results, the relay and events must not stand in its way, nor it in theirs.
  const hotRedis = connectRedis(config.REDIS_URL, {
    commandTimeoutMs: config.DECISION_TIMEOUT_MS,
    queueWhileDisconnected: false,
    connectionName: 'seckill-decisions',
  })
  const redis = connectRedis(config.REDIS_URL, { connectionName: 'seckill' })
  const remembered = {
    transferred: (...parameters: Parameters<SaleMemory['transferred']>) => memory.transferred(...parameters),
  }
  const store = createSaleStore(redis, remembered)
  const hotStore = createSaleStore(hotRedis, remembered)
  const processName = `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`
  const warn = (message: string) => occasionally((error: unknown) => log.warn({ error }, message))

  const tokens = createTokenVerifier({
    jwks: config.AUTH_JWKS === undefined ? undefined : (JSON.parse(config.AUTH_JWKS) as JSONWebKeySet),
    jwksUrl: config.AUTH_JWKS_URL,
    issuer: config.AUTH_ISSUER,
    audience: config.AUTH_AUDIENCE,
    // Functions are told that only people buy, and not that their token is false.
    serviceSecret: config.SERVICE_SECRET,
    cacheSize: 50_000,
  })
  const passKeys = parsePassKeys(config.PASS_KEYS)
  const passes = createPasses({ keys: passKeys, now: Date.now })
  const memory = createSaleMemory({ store, graceMs: config.RECOVERY_GRACE_MS, log })
  const sales = createSaleCache({
    store,
    observed: memory.observed,
    // Failures show when the buyers of this tenant are asked about.
    keepTenant: (tenantId) => void host.access.load(tenantId).catch(() => {}),
    pollMs: config.SALE_POLL_MS,
    winnersLimit: config.WINNERS_LIMIT,
    burst: pace.purchases.burst,
    onError: warn('a sale could not be read'),
  })

  const kafka = createKafka({ brokers: brokersOf(config), clientId: 'seckill', log })
  const sender = createKafkaSender(kafka, {
    topic: config.RELAY_TOPIC,
    partitions: config.RELAY_PARTITIONS,
    replicationFactor: config.RELAY_REPLICATION,
  })
  let gate: KafkaGate<Press> | undefined
  const relay = startRelay({
    store,
    leaving: memory.relayed,
    send: sender.send,
    consumer: processName,
    shards: config.RELAY_SHARDS,
    get batchPurchases() {
      return pace.relay.batchPurchases
    },
    get lingerMs() {
      return pace.relay.lingerMs
    },
    get lingerMaxMs() {
      return pace.relay.lingerMaxMs
    },
    claimIdleMs: config.RELAY_CLAIM_IDLE_MS,
    sweepMs: config.RELAY_SWEEP_MS,
    delivered: (_bucket, purchases) => gate?.delivered(purchases),
    counters,
    log,
  })

  const quotas = createTenantQuotas({
    ...createQuotaStore(hotRedis, processName, quotaAliveMs),
    quotaOf: (tenantId) => host.access.quotaSync(tenantId),
    now: Date.now,
    monotonicMs: () => performance.now(),
    failed: warn('the quotas of tenants could not be asked for'),
  })
  quotas.start()
  const ringer = ringAlarms(config, host)

  const decider = createDecider<Press>(
    {
      store: hotStore,
      record: memory.purchased,
      acceptedSome: relay.wake,
      mayHaveUnits: (press) => Date.now() >= press.sale!.soldOutUntilMs,
      settle: (press, outcome) => {
        if (gate && outcome.outcome === 'accepted') gate.hold(press)
        else routes.settle(press, outcome)
      },
      succeeded: () => counters.calls.add('ok'),
      late: returnUnit,
      failed: ((report) => (error: unknown) => {
        counters.calls.add('failed')
        report(error)
      })(warn('a decision failed')),
      endOfTurn: setImmediate,
      after: (timeoutMs, callback) => {
        const timer = setTimeout(callback, timeoutMs)
        return () => clearTimeout(timer)
      },
    },
    pace.decisions,
  )
  const routes = createPurchaseRoutes({
    passes,
    tokens,
    access: host.access,
    quotas,
    sales,
    decider,
    counters,
    orderNumbers: orderNumbers(),
    pace: pace.purchases,
    now: Date.now,
  })
  if (config.DURABILITY === 'kafka') {
    gate = createKafkaGate<Press>({
      store,
      timeoutMs: config.DURABILITY_TIMEOUT_MS,
      safe: (press) => routes.settle(press, { outcome: 'accepted', orderNumber: press.purchase.orderNumber }),
      timedOut: (press) => routes.settle(press, { outcome: 'not-durable' }),
    })
  }

  const results = createResults({
    store,
    intervalMs: config.RESULT_INTERVAL_MS,
    maximumWaiters: config.RESULT_WAITERS,
    maximumOfBuyer: config.RESULT_WAITERS_PER_BUYER,
  })
  const live = createLive({ sales, store, counters, maximumClients: config.LIVE_CLIENTS })
  counters.gauges.queued = decider.pending
  counters.gauges.waiters = results.waiters
  counters.gauges.liveClients = live.clients
  counters.gauges.relayLagMs = relay.lagMs

  return {
    routes,
    sales,
    live,
    results,
    relay,
    decider,
    result: createResultRoute({ passes, tokens, access: host.access, sales, results, draining: host.draining }),
    protection: createProtection({
      redis,
      passes,
      passKeys,
      sales,
      settings: () => settings.current(),
      captchaSecret: config.CAPTCHA_SECRET,
      trustedProxies: config.TRUSTED_PROXIES,
      metrics: host.metrics,
      warn: (message) => warn(message),
    }),
    settleEffects: {
      store,
      released: memory.released,
      confirmed: memory.confirmed,
      bucketsOf: async (tenantId, activityId) => (await sales.load(tenantId, activityId))?.buckets.length,
    },
    ready: async () => {
      await redis.ping()
      await quotas.joined()
    },
    async stop() {
      settings.close()
      await ringer?.stop()
      await decider.idle()
      await quotas.stop()
      sales.stop()
      live.stop()
      results.stop()
      const whole = await relay.drain(config.DRAIN_RELAY_MS)
      if (!whole) log.warn('the relay left purchases in the outbox; another process sends them')
      gate?.stop()
      memory.stop()
      await sender.stop()
      hotRedis.disconnect()
      redis.disconnect()
    },
  }
}

function brokersOf(config: SeckillConfig): string[] {
  return config.KAFKA_BROKERS.split(',').map((broker) => broker.trim())
}
