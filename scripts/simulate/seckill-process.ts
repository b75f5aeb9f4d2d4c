/** One process of `seckill`: the production operations, with the simulated Redis, Kafka, clock and timers as effects. */
import { createDecider, type DecisionOutcome, type PendingPurchase } from '../../functions/seckill/decide-together.ts'
import { newRelayState, relayOnce, type RelayMessage } from '../../functions/seckill/relay.ts'
import { createSaleMemory, type SaleMemory } from '../../functions/seckill/sale-memory.ts'
import { confirmOrders, releaseOrders, type OrdersOfActivity } from '../../functions/seckill/settle-orders.ts'
import { orderNumbers } from '../../shared/ids/order-number.ts'
import { bucketOf } from '../../shared/sale/bucket.ts'
import { createSaleStore } from '../../shared/sale/redis-sale-store.ts'
import type { BucketRef } from '../../shared/sale/types.ts'
import type { SimulatedEvent } from './broker.ts'
import type { Actor, Respond } from './scheduler.ts'
import type { World } from './world.ts'

const graceMs = 3_000
const pollMs = 1_800
const claimIdleMs = 5_000

export type Press = { userId: string; quantity: number; idempotencyKey: string | undefined }
type Pending = PendingPurchase & { respond: Respond<DecisionOutcome> }

export type SeckillProcess = {
  press(press: Press, respond: Respond<DecisionOutcome>): void
  handle(event: SimulatedEvent): Promise<void>
}

const silent = { info: () => {}, warn: () => {}, error: () => {} }

/** Begins a life of the process; everything in it ends with the actor's life. */
export function startSeckillProcess(world: World, actor: Actor): SeckillProcess {
  const { scheduler, sale, buckets, plant } = world
  const random = world.random.split()
  const pause = (durationMs: number) => scheduler.sleep(actor, 'pause', durationMs)
  // As in production: decisions have a connection of their own.
  const remembered = {
    transferred: (...[donor, transfer, recoveries]: Parameters<SaleMemory['transferred']>) => {
      world.ledger.transferred(`${transfer.from}:${transfer.sequence}`, actor)
      memory.transferred(donor, transfer, recoveries)
    },
  }
  const hotStore = plant.store(createSaleStore(world.sharedRedis.client(actor), remembered), world, actor)
  const store = plant.store(createSaleStore(world.sharedRedis.client(actor), remembered), world, actor)
  const memory = plant.memory(
    createSaleMemory({ store, graceMs: plant.graceMs ?? graceMs, log: silent, now: scheduler.now, sleep: pause }),
  )
  const newOrderNumber = orderNumbers(scheduler.now, (limit) => random.below(limit))

  const decider = createDecider<Pending>(
    {
      store: hotStore,
      record: (bucket, purchases, result) => memory.purchased(bucket, purchases, result),
      mayHaveUnits: () => true,
      acceptedSome: (bucket) => wake(bucket),
      settle: ({ respond }, outcome) => respond.resolve(outcome),
      failed: () => {},
      endOfTurn: (callback) => void scheduler.later('end of turn', 0, callback, actor),
      after: (timeoutMs, callback) => scheduler.later('decision timeout', timeoutMs, callback, actor),
    },
    { batch: 64, callsInFlight: 4, queue: 100, timeoutMs: 2_000 },
  )

  const options = { consumer: `${actor.name}-${actor.life}`, shards: 2, batchPurchases: 1_000, claimIdleMs }
  const relayEffects = {
    store,
    leaving: memory.relayed,
    send: (messages: readonly RelayMessage[]) => plant.send(() => world.sendToKafka(actor, messages)),
  }
  const loops = buckets.map((bucket) => ({
    bucket,
    state: newRelayState(),
    running: false,
    again: false,
    claimAtMs: 0,
  }))
  const relay = async (loop: (typeof loops)[number]): Promise<void> => {
    loop.again = true
    if (loop.running) return
    loop.running = true
    while (loop.again) {
      loop.again = false
      const claim = scheduler.now() >= loop.claimAtMs
      if (claim) loop.claimAtMs = scheduler.now() + claimIdleMs / 2
      try {
        const step = await relayOnce(loop.bucket, loop.state, relayEffects, options, claim)
        if (step.entries > 0) loop.again = true
      } catch {
        await pause(100 + random.below(400))
        loop.again = true
      }
    }
    loop.running = false
  }
  const wake = (bucket: BucketRef) => void relay(loops[bucket.bucket]!)

  const poll = async (): Promise<void> => {
    for (;;) {
      await pause(pollMs + random.below(300))
      for (const bucket of buckets) {
        wake(bucket)
        const snapshot = await store.snapshot(bucket).catch(() => undefined)
        if (snapshot) memory.observed(bucket, snapshot)
      }
    }
  }
  void poll()

  const settleEffects = {
    store,
    bucketsOf: () => Promise.resolve(sale.buckets),
    released: memory.released,
    confirmed: memory.confirmed,
  }

  return {
    press: ({ userId, quantity, idempotencyKey }, respond) => {
      const orderNumber = newOrderNumber()
      world.ledger.pressed({ orderNumber, userId, quantity, idempotencyKey, actor, life: actor.life })
      const pending: Pending = {
        purchase: { userId, quantity, orderNumber, ...(idempotencyKey === undefined ? {} : { idempotencyKey }) },
        ref: buckets[bucketOf(userId, sale.buckets)]!,
        buckets: sale.buckets,
        attempts: 0,
        respond,
      }
      if (!decider.submit(pending)) respond.resolve({ outcome: 'undecided' })
    },
    handle: async (event) => {
      const batch = event.data as OrdersOfActivity
      if (event.type === 'io.stampede.order.created.v1') await confirmOrders(batch, settleEffects)
      else await releaseOrders(batch, settleEffects)
    },
  }
}
