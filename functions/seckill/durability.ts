/**
 * When a buyer is told "accepted". `redis`: as soon as the script has decided (the journal of this process survives the last
 * second of a Redis that crashes). `kafka`: only when Kafka has the purchase on all replicas; the relay's batches make that
 * one acknowledgement for many buyers.
 */
import type { BucketRef, SaleStore } from '@stampede/shared/sale/types.ts'

export type WaitingPurchase = { readonly ref: BucketRef; readonly purchase: { userId: string; orderNumber: string } }

export type KafkaGate<P extends WaitingPurchase> = {
  /** Holds the answer back until Kafka has the purchase. */
  hold: (press: P) => void
  /** Kafka has these. */
  delivered: (purchases: readonly { orderNumber: string }[]) => void
  pending: () => number
  stop: () => void
}

type Held<P> = { press: P; sinceMs: number }

/** After this time the purchase may have been taken by another process's relay, which cannot tell us. */
const lookAfterMs = 500
const tickMs = 100
const maximumLookups = 1_000

export function createKafkaGate<P extends WaitingPurchase>(options: {
  store: Pick<SaleStore, 'buyers' | 'snapshot'>
  timeoutMs: number
  safe: (press: P) => void
  timedOut: (press: P) => void
  now?: () => number
}): KafkaGate<P> {
  const { store, timeoutMs, safe, timedOut, now = Date.now } = options
  const held = new Map<string, Held<P>>()
  let looking = false

  const release = (orderNumber: string, then: (press: P) => void): void => {
    const entry = held.get(orderNumber)
    if (!entry) return
    held.delete(orderNumber)
    then(entry.press)
  }

  /** An order that is confirmed, or an outbox that is empty, proves that another relay has delivered. */
  const look = async (): Promise<void> => {
    const byBucket = new Map<BucketRef, P[]>()
    const oldest = now() - lookAfterMs
    let count = 0
    for (const { press, sinceMs } of held.values()) {
      if (sinceMs > oldest || count === maximumLookups) break
      count += 1
      const group = byBucket.get(press.ref)
      if (group) group.push(press)
      else byBucket.set(press.ref, [press])
    }
    for (const [ref, presses] of byBucket) {
      const [snapshot, entries] = await Promise.all([
        store.snapshot(ref),
        store.buyers(
          ref,
          presses.map(({ purchase }) => purchase.userId),
        ),
      ])
      for (const [index, { purchase }] of presses.entries()) {
        const entry = entries[index]?.find(({ orderNumber }) => orderNumber === purchase.orderNumber)
        const empty = snapshot?.whole === true && snapshot.outboxLength === 0 && entry !== undefined
        if (entry?.status === 'confirmed' || empty) release(purchase.orderNumber, safe)
      }
    }
  }

  const timer = setInterval(() => {
    const expired = now() - timeoutMs
    for (const [orderNumber, { sinceMs }] of held) {
      // Oldest first: the map keeps the order of insertion.
      if (sinceMs > expired) break
      release(orderNumber, timedOut)
    }
    if (looking || held.size === 0) return
    looking = true
    look()
      // Redis does not answer: the time limit ends the wait.
      .catch(() => {})
      .finally(() => (looking = false))
  }, tickMs)
  timer.unref()

  return {
    hold: (press) => {
      held.set(press.purchase.orderNumber, { press, sinceMs: now() })
    },
    delivered: (purchases) => {
      if (held.size === 0) return
      for (const { orderNumber } of purchases) release(orderNumber, safe)
    },
    pending: () => held.size,
    stop: () => {
      clearInterval(timer)
      for (const orderNumber of held.keys()) release(orderNumber, timedOut)
    },
  }
}
