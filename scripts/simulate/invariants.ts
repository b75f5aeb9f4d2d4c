/**
 * The guarantees, as checks. `checkBuckets` holds after every write to Redis, `checkOrders` after every commit, `checkRest`
 * when everything has come to rest.
 *
 * SK1  Orders that hold stock never exceed the stock, nor a buyer's the limit. In Redis, a purchase never takes `left` below 0.
 * SK2  At rest every purchase that was answered 202 is an order (pending, paid or ended) or was rejected and released; Redis and the database hold
 *      the same live purchases; left + live = stock in both. Excepted are purchases that two failures at once took: Redis forgot its last second,
 *      and the process that accepted them died before it could restore them, and Kafka did not have them. What was accepted is
 *      only rejected where `mayReject` says why.
 * SK3  At every step: an accepted purchase has its message in the outbox, or Kafka has it, or its order is stored; a message in the outbox has its deduction.
 * SK4  With several buckets, units are neither lost nor made on the way, in a sale that is whole. When nothing failed and nothing was given back, "sold out" is only
 *      ever said when at rest no unit is left.
 * SK6  Stock and right come back exactly once (counters and entries of a bucket agree after each step); an order number is an order or a
 *      rejection, never both; money is taken or sent back, exactly once; a paid order stays paid.
 */
import { holdsStock } from '../../functions/order/order-state.ts'
import { parseBuyerEntries } from '../../shared/sale/buyer-entries.ts'
import { bucketOf } from '../../shared/sale/bucket.ts'
import type { BuyerEntry } from '../../shared/sale/types.ts'
import { Violation } from './ledger.ts'
import type { BucketDump } from './redis/redis.ts'
import type { World } from './world.ts'

const units = (items: readonly { quantity: number }[]) => items.reduce((sum, item) => sum + item.quantity, 0)

export type BucketView = {
  dump: BucketDump
  exists: boolean
  left: number
  sold: number
  balance: number
  live: (BuyerEntry & { userId: string })[]
  known: Set<string>
  released: string[]
  /** The Redis process is the one that the sale knows. */
  whole: boolean
  messages: string[]
}

/** `entries` keeps what was parsed: most buyers do not change from step to step. */
export function viewBucket(dump: BucketDump, entries: Map<string, BuyerEntry[]>, runId: string): BucketView {
  const live: BucketView['live'] = []
  const known = new Set<string>()
  const released: string[] = []
  for (const [userId, text] of Object.entries(dump.buyers)) {
    let parsed = entries.get(text)
    if (!parsed) {
      parsed = parseBuyerEntries(text)
      entries.set(text, parsed)
    }
    for (const entry of parsed) {
      known.add(entry.orderNumber)
      if (entry.status === 'released') released.push(entry.orderNumber)
      else live.push({ ...entry, userId })
    }
  }
  const { sale } = dump
  const messages = dump.messages.flatMap((packed) => packed.split('\n').map((line) => line.split(' ')[2]!))
  return {
    dump,
    exists: sale['left'] !== undefined,
    left: Number(sale['left']),
    sold: Number(sale['sold']),
    balance: Number(sale['total']) + Number(sale['received']) - Number(sale['sent']),
    live,
    known,
    released,
    whole: sale['run'] === runId,
    messages,
  }
}

export function checkBuckets(world: World, views: readonly BucketView[], command: string): void {
  const { ledger, sale } = world
  let total = 0
  for (const [bucket, view] of views.entries()) {
    if (!view.exists) return
    if (view.left + view.sold !== view.balance) {
      throw new Violation(
        'SK6',
        `bucket ${bucket}: left ${view.left} + sold ${view.sold} is not ${view.balance} after ${command}`,
      )
    }
    if (view.sold !== units(view.live)) {
      throw new Violation(
        'SK6',
        `bucket ${bucket}: sold is ${view.sold}, but live purchases have ${units(view.live)} units after ${command}`,
      )
    }
    total += view.left + view.sold
    const messages = new Set(view.messages)
    for (const orderNumber of view.known) ledger.present(orderNumber)
    for (const { orderNumber, status } of view.live) {
      if (status !== 'accepted' || messages.has(orderNumber) || ledger.inKafka.has(orderNumber)) continue
      if (world.database.tables.orders.has(orderNumber) || world.database.tables.rejections.has(orderNumber)) continue
      throw new Violation(
        'SK3',
        `${orderNumber} is deducted, but its message is neither in the outbox nor in Kafka after ${command}`,
      )
    }
    for (const orderNumber of view.released) {
      const order = world.database.tables.orders.get(orderNumber)
      const ended = order ? !holdsStock(order.state) : world.database.tables.rejections.has(orderNumber)
      if (!ended)
        throw new Violation(
          'SK6',
          `${orderNumber} was released, but its order is ${order?.state ?? 'not stored'} after ${command}`,
        )
    }
    for (const orderNumber of messages) {
      if (!view.known.has(orderNumber) && !ledger.deducted.has(orderNumber)) {
        throw new Violation(
          'SK3',
          `the message of ${orderNumber} is in the outbox without a deduction after ${command}`,
        )
      }
    }
  }
  const travelling = views.reduce((sum, view, from) => {
    const open = Object.entries(view.dump.transfers).filter(([sequence, record]) => {
      const to = Number(record.split(':')[0])
      return views[to]?.dump.received[`${from}:${sequence}`] === undefined
    })
    return sum + open.reduce((moved, [, record]) => moved + Number(record.split(':')[1]), 0)
  }, 0)
  // Until a restarted Redis is recovered, one bucket may know of a transfer that the other has forgotten.
  if (views.every((view) => view.whole) && total + travelling !== sale.stock) {
    throw new Violation(
      'SK4',
      `${total} units in the buckets and ${travelling} on their way are not ${sale.stock} after ${command}`,
    )
  }
}

/** A bucket of a restarted Redis was opened: every living process must have restored what it remembers. */
export function checkRecovered({ ledger, settings, sale, database }: World, bucket: number): void {
  if (settings.faults.requests > 0) return
  const { orders, rejections } = database.tables
  for (const transfer of ledger.vanishedTransfers) {
    if (!transfer.startsWith(`${bucket}:`) || !ledger.remembersTransfer(transfer)) continue
    throw new Violation('SK4', `the sale goes on before transfer ${transfer} was taken from its donor again`)
  }
  for (const orderNumber of ledger.vanished) {
    const press = ledger.presses.get(orderNumber)
    if (!press || ledger.holderIsDead(orderNumber) || bucketOf(press.userId, sale.buckets) !== bucket) continue
    // What has ended since holds nothing any more.
    const order = orders.get(orderNumber)
    if (rejections.has(orderNumber) || (order && !holdsStock(order.state))) continue
    throw new Violation('SK2', `the sale goes on before ${press.actor.name} has restored ${orderNumber}`)
  }
}

/**
 * An accepted purchase may be rejected only when less is allocated than the sale in Redis offers, or when Redis forgot and that could not be made good in time: a process died with its journal,
 * or a connection broke.
 */
function mayReject({ settings, ledger }: World): boolean {
  const { redisRestarts, processCrashes } = ledger.state
  if (settings.allocationShort > 0) return true
  return redisRestarts > 0 && (processCrashes > 0 || settings.faults.requests > 0)
}

/** After each commit. */
export function checkOrders(world: World): void {
  const { database, sale, settings } = world
  const { orders, rejections, allocations, payments } = database.tables
  const allocated = sale.stock - settings.allocationShort
  const perUser = new Map<string, number>()
  let live = 0
  for (const order of orders.values()) {
    if (rejections.has(order.orderNumber)) throw new Violation('SK6', `${order.orderNumber} is rejected and an order`)
    if (!holdsStock(order.state)) continue
    live += order.quantity
    perUser.set(order.userId, (perUser.get(order.userId) ?? 0) + order.quantity)
  }
  if (live > allocated) throw new Violation('SK1', `oversold: ${live} units in orders, ${allocated} allocated`)
  for (const [userId, held] of perUser) {
    if (held > sale.perUserLimit)
      throw new Violation('SK1', `${userId} holds ${held} units, the limit is ${sale.perUserLimit}`)
  }
  for (const allocation of allocations.values()) {
    if (allocation.sold !== live)
      throw new Violation('SK2', `the allocation says ${allocation.sold} sold, the orders hold ${live}`)
  }
  for (const { orderNumber, reason } of rejections.values()) {
    if (!mayReject(world)) throw new Violation('SK2', `${orderNumber} was accepted and then rejected: ${reason}`)
  }
  const paidBy = new Map<string, string>()
  for (const payment of payments.values()) {
    if (payment.outcome !== 'paid') continue
    const other = paidBy.get(payment.orderNumber)
    if (other !== undefined)
      throw new Violation('SK6', `${payment.orderNumber} was paid by ${other} and ${payment.paymentId}`)
    paidBy.set(payment.orderNumber, payment.paymentId)
    const state = orders.get(payment.orderNumber)?.state
    if (state !== 'paid') throw new Violation('SK6', `${payment.orderNumber} was paid and is ${state}`)
  }
}

/** Why the world is not at rest yet; undefined when it is. The reconciliation must have found nothing since. */
export function unrest(world: World): string | undefined {
  const { database, broker, buyersActive } = world
  if (buyersActive() > 0) return 'buyers are pressing'
  if (broker.open() > 0) return `${broker.open()} deliveries are open`
  if (database.outbox.length > 0) return 'the outbox of order is not empty'
  for (const order of database.tables.orders.values())
    if (order.state === 'pending-payment') return `${order.orderNumber} waits for payment`
  for (const payment of world.payments) if (!payment.settled) return `payment ${payment.paymentId} is not settled`
  return undefined
}

export function checkRest(world: World, views: readonly BucketView[]): void {
  const { ledger, database, sale, settings } = world
  const { orders, rejections } = database.tables
  for (const orderNumber of ledger.promised) {
    if (orders.has(orderNumber) || rejections.has(orderNumber) || ledger.lostTwice.has(orderNumber)) continue
    throw new Violation('SK2', `${orderNumber} was promised and vanished`)
  }
  const liveOrders = [...orders.values()].filter((order) => holdsStock(order.state))
  const liveInRedis = new Map(views.flatMap((view) => view.live.map((entry) => [entry.orderNumber, entry])))
  for (const order of liveOrders) {
    if (!liveInRedis.has(order.orderNumber))
      throw new Violation('SK2', `order ${order.orderNumber} holds stock, but not in Redis`)
  }
  for (const orderNumber of liveInRedis.keys()) {
    const state = orders.get(orderNumber)?.state
    if (state === undefined || !holdsStock(state))
      throw new Violation('SK2', `${orderNumber} holds stock in Redis, but its order is ${state}`)
  }
  const left = views.reduce((sum, view) => sum + view.left, 0)
  if (left + units(liveOrders) !== sale.stock) {
    throw new Violation('SK2', `${left} left and ${units(liveOrders)} in live orders are not ${sale.stock}`)
  }
  for (const [bucket, view] of views.entries()) {
    if (view.left < 0) throw new Violation('SK1', `bucket ${bucket} has ${view.left} left at rest`)
  }
  // Orders do not carry the key: what is restored from them alone has lost it.
  const keysKept = !ledger.state.rebuilt && (ledger.state.redisLosses === 0 || ledger.state.processCrashes === 0)
  const keys = new Map<string, string>()
  for (const order of liveOrders) {
    const press = ledger.presses.get(order.orderNumber)
    if (!keysKept || press?.idempotencyKey === undefined) continue
    const other = keys.get(press.idempotencyKey)
    if (other !== undefined)
      throw new Violation('SK1', `${other} and ${order.orderNumber} live under one idempotency key`)
    keys.set(press.idempotencyKey, order.orderNumber)
  }
  for (const { paymentId } of world.payments) {
    const refunds = world.refunds.get(paymentId) ?? 0
    const outcome = database.tables.payments.get(paymentId)?.outcome
    if ((outcome === 'paid') === (refunds === 1) || refunds > 1) {
      throw new Violation('SK6', `payment ${paymentId} is ${outcome} and was asked back ${refunds} times`)
    }
  }
  const undisturbed = Object.entries(settings.faults).every(
    ([name, value]) => name === 'delayMs' || name === 'redisLossMs' || value === 0,
  )
  if (undisturbed && ledger.state.releases === 0 && ledger.state.soldOutAnswers > 0 && left > 0) {
    throw new Violation('SK4', `${left} units are left although a buyer was told that it is sold out`)
  }
}
