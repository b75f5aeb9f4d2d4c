/** Puts one schedule together: the processes, the services they share, and what may happen to them. */
import {
  orderCancelled,
  orderCreated,
  orderRefundRequested,
  orderRejected,
  paymentSucceeded,
  purchaseAccepted,
} from '../../eventing/catalogue/events.ts'
import type { PurchaseBatch } from '../../functions/order/effects.ts'
import type { DecisionOutcome } from '../../functions/seckill/decide-together.ts'
import type { RelayMessage } from '../../functions/seckill/relay.ts'
import type { SaleResult } from '../../functions/reconciliation/reconcile-sale.ts'
import * as scripts from '../../lua/generated/scripts.ts'
import { bucketKeys, registryKey } from '../../shared/sale/keys.ts'
import type { BucketRef, BuyerEntry, SaleDefinition } from '../../shared/sale/types.ts'
import { createBroker } from './broker.ts'
import { buy, payAtOnce, settleOrders } from './buyers.ts'
import { checkBuckets, checkOrders, checkRecovered, viewBucket, type BucketView } from './invariants.ts'
import { createLedger, Violation } from './ledger.ts'
import { createSimulatedDatabase, type OutboxRow } from './database/database.ts'
import { startOrderProcess, type OrderProcess } from './order-process.ts'
import type { Plant } from './plants.ts'
import type { Random } from './random.ts'
import { startReconciler } from './reconciler.ts'
import { createRedisClient } from './redis/client.ts'
import type { SimulatedRedis } from './redis/redis.ts'
import { createScheduler, Unreachable, type Actor, type Fault, type Respond } from './scheduler.ts'
import { startSeckillProcess, type Press, type SeckillProcess } from './seckill-process.ts'
import type { Settings } from './settings.ts'

export const startMs = 1_700_000_000_000
const tenantId = 't'
const activityId = 'a'

/** Scripts by the name that the generated module gives them. */
export const scriptsByName = new Map(Object.entries(scripts).map(([name, script]) => [name, script]))
const nameOfSha = new Map([...scriptsByName].map(([name, script]) => [script.sha1, name]))
/** Scripts that read only. */
const readOnly = new Set(['snapshot', 'confirm'])

type Running<P> = { actor: Actor; process: P | undefined }
type Reconciliation = SaleResult & { full: boolean; sinceMs: number }
export type World = ReturnType<typeof createWorld>

export function createWorld(options: {
  settings: Settings
  random: Random
  redis: SimulatedRedis
  plant: Plant
  trace?: (line: string) => void
}) {
  const { settings, random, redis, plant, trace } = options
  const scheduler = createScheduler({ random: random.split(), startMs, trace })
  const faultRandom = random.split()
  const ledger = createLedger()
  const sale: SaleDefinition = {
    tenantId,
    activityId,
    stock: settings.stock,
    perUserLimit: settings.perUserLimit,
    buckets: settings.buckets,
    startsAtMs: startMs,
    endsAtMs: startMs + 3_600_000,
  }
  const buckets: BucketRef[] = Array.from({ length: sale.buckets }, (_, bucket) => ({ tenantId, activityId, bucket }))
  const prefixes = buckets.map((bucket) => bucketKeys(bucket).sale.slice(0, -'sale'.length))

  let calm = false
  const down = { redis: false, database: false, broker: false }
  const faultOf = (service: keyof typeof down) => (): Fault => {
    if (down[service]) return 'fails-before'
    if (calm || !faultRandom.chance(settings.faults.requests)) return 'none'
    return faultRandom.chance(0.5) ? 'fails-before' : 'fails-after'
  }
  const databaseFault = faultOf('database')
  const brokerFault = faultOf('broker')
  const redisFault = faultOf('redis')
  const clientFault = (): Fault => (calm || !faultRandom.chance(settings.faults.requests) ? 'none' : 'fails-after')

  const broker = createBroker({
    scheduler,
    random: random.split(),
    faults: () => ({
      duplicates: calm ? 0 : settings.faults.duplicates,
      delayMs: calm ? 50 : settings.faults.delayMs,
      deadLetters: calm ? 0 : settings.faults.deadLetters,
    }),
    deadLetter: ({ type, data }) => {
      if (type !== purchaseAccepted.type) return
      ledger.deadLettered((data as PurchaseBatch).purchases.map(({ orderNumber }) => orderNumber))
    },
  })

  const refunds = new Map<string, number>()
  const guard = (check: () => void) => {
    try {
      check()
    } catch (error) {
      scheduler.fail(error)
    }
  }

  // Redis ---------------------------------------------------------------------------------------------------------------
  let runId = ''
  const parsed = new Map<string, BuyerEntry[]>()
  const views = (): BucketView[] => prefixes.map((prefix) => viewBucket(redis.bucket(prefix), parsed, runId))
  const soldBefore: boolean[] = buckets.map(() => true)
  const leftBefore: number[] = buckets.map(() => Infinity)
  const look = (command: string) =>
    guard(() => {
      const seen = views()
      for (const transfer of transfersOf(seen)) ledger.vanishedTransfers.delete(transfer)
      checkBuckets(world, seen, command)
      for (const [bucket, view] of seen.entries()) {
        if (command === 'purchase' && view.left < 0 && view.left < leftBefore[bucket]!) {
          throw new Violation('SK1', `a purchase took the stock of bucket ${bucket} to ${view.left}`)
        }
        const sells = view.whole && view.dump.sale['state'] === 'open'
        if (sells && !soldBefore[bucket]) checkRecovered(world, bucket)
        soldBefore[bucket] = sells
        leftBefore[bucket] = view.left
      }
    })
  const redisClient = (actor: Actor) =>
    createRedisClient({
      actor,
      scheduler,
      redis,
      fault: redisFault,
      scriptName: trace && ((sha) => nameOfSha.get(sha) ?? 'script'),
      applied: (name, parameters) => {
        if (name === 'evalsha') {
          const script = nameOfSha.get(String(parameters[0])) ?? 'script'
          if (script === 'release') ledger.state.releases++
          if (!readOnly.has(script)) look(script)
        } else if (name === 'eval' || name === 'xdel' || name === 'xadd') look(name)
      },
    })
  const newRunId = () => {
    runId = randomRunId()
    return runId
  }
  const randomRunId = () =>
    Array.from({ length: 4 }, () =>
      faultRandom
        .below(2 ** 32)
        .toString(16)
        .padStart(8, '0'),
    ).join('')

  /** What the donors have written down, `donor:number`. */
  const transfersOf = (seen: readonly BucketView[]): string[] =>
    seen.flatMap((view, donor) => Object.keys(view.dump.transfers).map((sequence) => `${donor}:${sequence}`))

  const restartRedis = () => {
    const seen = views()
    const before = seen.map((view) => view.live)
    const lossMs = settings.faults.redisLossMs
    const lost = redis.restart(newRunId(), lossMs === 0 ? 0 : faultRandom.below(40), scheduler.now() - lossMs)
    const after = views()
    const forgotten = before.flatMap((entries, bucket) =>
      entries
        .filter((entry) => !after[bucket]!.live.some((other) => other.orderNumber === entry.orderNumber))
        .map((entry) => entry.orderNumber),
    )
    trace?.(
      `${scheduler.now() - startMs} redis restarts, has lost ${lost} commands and the purchases [${forgotten.join(' ')}]`,
    )
    ledger.state.redisRestarts++
    if (lost > 0) ledger.state.redisLosses++
    ledger.forgotten(forgotten)
    const known = new Set(transfersOf(after))
    for (const transfer of transfersOf(seen)) if (!known.has(transfer)) ledger.vanishedTransfers.add(transfer)
    look('restart')
  }

  // The database -----------------------------------------------------------------------------------------------------------
  const database = createSimulatedDatabase({
    scheduler,
    fault: databaseFault,
    committed: (events) =>
      guard(() => {
        for (const event of events) {
          if (event.definition.type !== orderRefundRequested.type) continue
          const { paymentId } = event.data as { paymentId: string }
          refunds.set(paymentId, (refunds.get(paymentId) ?? 0) + 1)
        }
        checkOrders(world)
      }),
  })
  database.addAllocation({
    tenantId,
    activityId,
    variantId: 'v',
    allocated: sale.stock - settings.allocationShort,
    perUserLimit: sale.perUserLimit,
    priceCents: 100,
    currency: 'EUR',
    paymentTimeoutSeconds: settings.paymentTimeoutSeconds,
    startsAtMs: sale.startsAtMs,
    endsAtMs: sale.endsAtMs,
    sold: 0,
    state: 'open',
    closedAtMs: undefined,
    hasRejections: false,
    termsVersion: 1,
  })

  // Processes --------------------------------------------------------------------------------------------------------------
  const newActor = (name: string): Actor => ({ name, life: 1, alive: true })
  const running = <P>(kind: string, count: number): Running<P>[] =>
    Array.from({ length: count }, (_, index) => ({ actor: newActor(`${kind}-${index + 1}`), process: undefined }))
  const seckill = running<SeckillProcess>('seckill', settings.seckillProcesses)
  const order = running<OrderProcess>('order', settings.orderProcesses)
  const reconciliation = newActor('reconciliation')
  const openPresses = new Map<Respond<DecisionOutcome>, Actor>()
  const pickRandom = random.split()
  const worstMoments = random.split()
  const pick = <P>(processes: readonly Running<P>[]) => {
    const alive = processes.filter((entry) => entry.actor.alive)
    const chosen = alive.length > 0 ? pickRandom.pick(alive) : undefined
    return chosen && { actor: chosen.actor, process: chosen.process! }
  }

  let lastReconciliation: Reconciliation | undefined
  const clean = { quietSinceMs: 0, fullSinceMs: 0 }
  let buyersActive = 0

  const world = {
    scheduler,
    random,
    settings,
    plant,
    sale,
    buckets,
    ledger,
    broker,
    database,
    databaseFault,
    redisClient,
    views,
    refunds,
    resends: new Map<string, number>(),
    seenOrders: new Set<string>(),
    payments: [] as { paymentId: string; orderNumber: string; readonly settled: boolean }[],
    outboxLock: { holder: undefined as { actor: Actor; life: number } | undefined },
    buyersActive: () => buyersActive,
    reconciled: (result: Reconciliation) => {
      lastReconciliation = result
      if (result.outcome === 'quiet') clean.quietSinceMs = result.sinceMs
      if (result.full && result.outcome === 'compared' && result.findings.length === 0)
        clean.fullSinceMs = result.sinceMs
      if (result.outcome === 'rebuilt' || result.outcome === 'rebuilding') ledger.state.rebuilt = true
      trace?.(`${scheduler.now() - startMs} reconciliation: ${result.outcome} ${JSON.stringify(result.findings)}`)
    },
    lastReconciliation: () => lastReconciliation,
    /** When the last comparison of the counters, and the last one of everything, began that found nothing to do. */
    clean: () => clean,

    /** A buyer presses; resolves with the answer, rejects when none comes. */
    press: (buyer: Actor, press: Press): Promise<DecisionOutcome> =>
      scheduler.request<DecisionOutcome>(
        buyer,
        `POST purchase ${press.userId} ${press.quantity}`,
        (respond) => {
          const target = pick(seckill)
          if (!target) {
            respond.reject(new Unreachable('no process of seckill'))
            return
          }
          const answer: Respond<DecisionOutcome> = {
            resolve: (outcome) => {
              openPresses.delete(answer)
              trace?.(
                `${scheduler.now() - startMs} ${target.actor.name} answers ${press.userId}: ${JSON.stringify(outcome)}`,
              )
              if (outcome.outcome === 'accepted' || outcome.outcome === 'replayed')
                ledger.promised.add(outcome.orderNumber)
              respond.resolve(outcome)
            },
            reject: (error) => {
              openPresses.delete(answer)
              respond.reject(error)
            },
          }
          openPresses.set(answer, target.actor)
          target.process.press(press, answer)
        },
        clientFault,
      ),

    /** The clock is about to cancel these: the worst moment for a payment. */
    aboutToCancel: (orderNumbers: readonly string[]) => {
      if (calm || !worstMoments.chance(settings.paysLate)) return
      for (const orderNumber of orderNumbers) payAtOnce(world, orderNumber)
    },

    cancel: (request: { userId: string; orderNumber: string }) => {
      void pick(order)
        ?.process.cancel(request)
        .catch(() => {})
    },

    sendToKafka: (actor: Actor, messages: readonly RelayMessage[]): Promise<void> =>
      scheduler.call(
        actor,
        `kafka send ${messages.map((message) => message.data.purchases.map((purchase) => purchase.orderNumber).join(' ')).join(' | ')}`,
        () => {
          for (const { id, data } of messages) {
            for (const { orderNumber } of data.purchases) ledger.inKafka.add(orderNumber)
            broker.publish({ type: purchaseAccepted.type, id, data })
          }
        },
        brokerFault,
      ),

    /** The outbox of order to the broker's ingress. */
    publish: (actor: Actor, { id, event }: OutboxRow): Promise<void> =>
      scheduler.call(
        actor,
        `publish ${event.definition.type}`,
        () => broker.publish({ type: event.definition.type, id: String(id), data: event.data }),
        brokerFault,
      ),

    /** The process dies; a new life begins after a while. */
    crash: (name: 'seckill' | 'order' | 'reconciliation') => {
      const actor =
        name === 'reconciliation' ? reconciliation : pick<unknown>(name === 'seckill' ? seckill : order)?.actor
      if (!actor?.alive) return
      scheduler.kill(actor)
      database.abandon(actor)
      if (name === 'seckill') ledger.processDied()
      broker.lost(actor)
      for (const [answer, of] of openPresses) if (of === actor) answer.reject(new Unreachable('the process died'))
      const downMs = faultRandom.chance(0.5) ? faultRandom.below(300) : faultRandom.below(10_000)
      scheduler.later(`${actor.name} starts again`, downMs, () => start(actor))
    },
    crashRedis: () => {
      if (down.redis) return
      down.redis = true
      restartRedis()
      const downMs = faultRandom.chance(0.4) ? 0 : faultRandom.below(2_500)
      scheduler.later('redis is up', downMs, () => {
        down.redis = false
      })
    },
    crashDatabase: () => {
      down.database = true
      trace?.(`${scheduler.now() - startMs} the database restarts`)
      database.crash()
      scheduler.later('the database is up', faultRandom.below(3_000), () => {
        down.database = false
      })
    },
    stopBroker: () => {
      down.broker = true
      scheduler.later('the broker is up', faultRandom.below(9_000), () => {
        down.broker = false
      })
    },
    /** No more faults. */
    calmDown: () => {
      calm = true
    },

    begin: () => {
      redis.reset(newRunId())
      for (const script of scriptsByName.values()) redis.load(script.code, script.name)
      warmUp()
      for (const { actor } of [...seckill, ...order]) start(actor)
      start(reconciliation)
      broker.subscribe({
        name: 'order',
        types: [purchaseAccepted.type, paymentSucceeded.type],
        receiver: () => receiverOf(pick(order)),
      })
      broker.subscribe({
        name: 'seckill',
        types: [orderCreated.type, orderRejected.type, orderCancelled.type],
        receiver: () => receiverOf(pick(seckill)),
      })
      const provider = newActor('payments')
      broker.subscribe({
        name: 'payments',
        types: [orderCreated.type],
        receiver: () => ({ actor: provider, handle: (event) => Promise.resolve(settleOrders(world, event.data)) }),
      })
      for (let index = 1; index <= settings.buyers; index++) {
        buyersActive++
        void buy(world, newActor(`u${index}`)).finally(() => buyersActive--)
      }
    },
  }

  const receiverOf = (target: { actor: Actor; process: SeckillProcess | OrderProcess } | undefined) =>
    target && {
      actor: target.actor,
      handle: (event: Parameters<OrderProcess['handle']>[0]) => target.process.handle(event),
    }

  /** As `inventory` does before the sale; nothing can be bought before it is done. */
  const warmUp = () => {
    redis.command(startMs, 'SADD', [registryKey, `${tenantId}:${activityId}:${sale.buckets}`])
    for (const [bucket, ref] of buckets.entries()) {
      const total = Math.floor(sale.stock / sale.buckets) + (bucket < sale.stock % sale.buckets ? 1 : 0)
      redis.command(startMs, 'EVALSHA', [
        scripts.warmUp.sha1,
        1,
        bucketKeys(ref).sale,
        total,
        total,
        sale.perUserLimit,
        sale.startsAtMs,
        sale.endsAtMs,
        sale.buckets,
        'open',
      ])
    }
  }

  const start = (actor: Actor) => {
    actor.alive = true
    const inSeckill = seckill.find((entry) => entry.actor === actor)
    const inOrder = order.find((entry) => entry.actor === actor)
    if (inSeckill) inSeckill.process = startSeckillProcess(world, actor)
    else if (inOrder) inOrder.process = startOrderProcess(world, actor)
    else startReconciler(world, actor)
  }

  return world
}
