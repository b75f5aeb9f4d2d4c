/**
 * What became of a press. Everybody who asks about the same bucket is looked up together: at the end of the turn for those
 * who want to know now, every 100 ms for those who wait.
 */
/* eslint-disable promise/always-return -- both outcomes end in an answer; a chain would cost the hot path promises */
import { z } from 'zod'
import type { BucketRef, BuyerEntry, SaleStore } from '@stampede/shared/sale/types.ts'

export const resultStates = ['none', 'accepted', 'confirmed', 'released'] as const

export const purchaseResult = z.object({
  /** none: no purchase is known · accepted: an order is promised · confirmed: the order is stored · released: given back. */
  state: z.enum(resultStates),
  /** Of the newest purchase. */
  orderNumber: z.string().optional(),
  quantity: z.int().optional(),
  /** All purchases of the buyer that are known, oldest first; of released ones only the newest. */
  orders: z.array(z.object({ orderNumber: z.string(), quantity: z.int(), state: z.enum(resultStates) })),
})
export type PurchaseResult = z.output<typeof purchaseResult>

/** A live purchase tells more than a released one; among equals the newest counts. */
export function resultOf(entries: readonly BuyerEntry[]): PurchaseResult {
  const orders = entries.map(({ orderNumber, quantity, status }) => ({ orderNumber, quantity, state: status }))
  const live = orders.filter(({ state }) => state !== 'released')
  const newest = (live.length > 0 ? live : orders).reduce<(typeof orders)[number] | undefined>(
    (best, order) => (best === undefined || order.orderNumber > best.orderNumber ? order : best),
    undefined,
  )
  if (!newest) return { state: 'none', orders: [] }
  return { state: newest.state, orderNumber: newest.orderNumber, quantity: newest.quantity, orders }
}

/** Nothing more is to be expected soon. */
export const isFinal = (result: PurchaseResult): boolean => result.state === 'confirmed' || result.state === 'released'

export type Waiter = {
  userId: string
  /** Gets each result; true ends the wait. `undefined`: Redis did not answer this time. */
  look(result: PurchaseResult | undefined): boolean
}

export type Results = {
  /** The result as it is now. Rejects when Redis does not answer. */
  now: (bucket: BucketRef, userId: string) => Promise<PurchaseResult>
  /** False when too many wait, or this buyer waits too often already. The returned function ends the wait. */
  wait: (bucket: BucketRef, waiter: Waiter) => (() => void) | 'too-many' | 'too-many-of-buyer'
  waiters: () => number
  stop: () => void
}

const maximumLookup = 500

type Room = { ref: BucketRef; waiters: Set<Waiter>; looking: boolean }
type Asker = { userId: string; resolve: (result: PurchaseResult) => void; reject: (error: unknown) => void }

const keyOf = (bucket: BucketRef): string => `${bucket.tenantId}:${bucket.activityId}:${bucket.bucket}`

export function createResults(options: {
  store: Pick<SaleStore, 'buyers'>
  intervalMs: number
  maximumWaiters: number
  maximumOfBuyer: number
}): Results {
  const { store, intervalMs, maximumWaiters, maximumOfBuyer } = options
  const rooms = new Map<string, Room>()
  const ofBuyer = new Map<string, number>()
  const asking = new Map<string, { ref: BucketRef; askers: Asker[] }>()
  let count = 0

  const lookUp = async (ref: BucketRef, userIds: readonly string[]): Promise<Map<string, PurchaseResult>> => {
    const found = new Map<string, PurchaseResult>()
    for (let from = 0; from < userIds.length; from += maximumLookup) {
      const some = userIds.slice(from, from + maximumLookup)
      const entries = await store.buyers(ref, some)
      for (const [index, userId] of some.entries()) found.set(userId, resultOf(entries[index] ?? []))
    }
    return found
  }

  const visit = async (room: Room): Promise<void> => {
    room.looking = true
    const waiters = [...room.waiters]
    try {
      const found = await lookUp(room.ref, [...new Set(waiters.map(({ userId }) => userId))])
      for (const waiter of waiters)
        if (room.waiters.has(waiter) && waiter.look(found.get(waiter.userId))) leave(room, waiter)
    } catch {
      for (const waiter of waiters) if (room.waiters.has(waiter) && waiter.look(undefined)) leave(room, waiter)
    } finally {
      room.looking = false
    }
  }

  const leave = (room: Room, waiter: Waiter): void => {
    if (!room.waiters.delete(waiter)) return
    count -= 1
    const buyer = `${room.ref.tenantId}:${waiter.userId}`
    const left = (ofBuyer.get(buyer) ?? 1) - 1
    if (left === 0) ofBuyer.delete(buyer)
    else ofBuyer.set(buyer, left)
    if (room.waiters.size === 0) rooms.delete(keyOf(room.ref))
  }

  const timer = setInterval(() => {
    for (const room of rooms.values()) if (!room.looking) void visit(room)
  }, intervalMs)
  timer.unref()

  const answerAsking = (): void => {
    const groups = [...asking.values()]
    asking.clear()
    for (const { ref, askers } of groups) {
      lookUp(ref, [...new Set(askers.map(({ userId }) => userId))]).then(
        (found) => {
          for (const { userId, resolve } of askers) resolve(found.get(userId)!)
        },
        (error: unknown) => {
          for (const { reject } of askers) reject(error)
        },
      )
    }
  }

  return {
    now(ref, userId) {
      const { promise, resolve, reject } = Promise.withResolvers<PurchaseResult>()
      if (asking.size === 0) setImmediate(answerAsking)
      const group = asking.get(keyOf(ref))
      if (group) group.askers.push({ userId, resolve, reject })
      else asking.set(keyOf(ref), { ref, askers: [{ userId, resolve, reject }] })
      return promise
    },
    wait(ref, waiter) {
      if (count >= maximumWaiters) return 'too-many'
      const buyer = `${ref.tenantId}:${waiter.userId}`
      const waiting = ofBuyer.get(buyer) ?? 0
      if (waiting >= maximumOfBuyer) return 'too-many-of-buyer'
      ofBuyer.set(buyer, waiting + 1)
      count += 1
      let room = rooms.get(keyOf(ref))
      if (!room) rooms.set(keyOf(ref), (room = { ref, waiters: new Set(), looking: false }))
      room.waiters.add(waiter)
      const own = room
      return () => leave(own, waiter)
    },
    waiters: () => count,
    stop: () => clearInterval(timer),
  }
}
