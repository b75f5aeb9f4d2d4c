/**
 * What one schedule plays. Everything is drawn from the seed, and whole kinds of faults are switched off in many schedules:
 * a fault that is always there hides what happens without it ("swarm testing").
 */
import type { Random } from './random.ts'

export type Settings = {
  stock: number
  perUserLimit: number
  /** Units that the allocation in the database has less than the sale in Redis: then some accepted purchases must be rejected. */
  allocationShort: number
  buckets: number
  buyers: number
  seckillProcesses: number
  orderProcesses: number
  paymentTimeoutSeconds: number
  /** Presses of a buyer at most. */
  presses: number
  /** Probability that a buyer sends an idempotency key. */
  keys: number
  /** Probability that a buyer pays an order, in time or late. */
  pays: number
  paysLate: number
  /** Probability that a payment is told twice, comes twice, or has a wrong amount. */
  oddPayments: number
  /** Probability that a buyer cancels the own order. */
  cancels: number
  faults: {
    /** Probability that a request fails before or after it was applied. */
    requests: number
    duplicates: number
    delayMs: number
    deadLetters: number
    redisCrashes: number
    /** Milliseconds of the tail that a crash of Redis may lose. */
    redisLossMs: number
    seckillCrashes: number
    orderCrashes: number
    databaseCrashes: number
    brokerOutages: number
    reconciliationCrashes: number
  }
}

export function randomSettings(random: Random): Settings {
  const sometimes = (probability: number, value: () => number) => (random.chance(probability) ? value() : 0)
  const stock = random.between(1, 4)
  return {
    stock,
    allocationShort: random.chance(0.15) ? 1 : 0,
    perUserLimit: random.chance(0.6) ? 1 : 2,
    buckets: stock > 1 && random.chance(0.4) ? 2 : 1,
    buyers: random.between(2, 8),
    seckillProcesses: random.chance(0.5) ? 1 : 2,
    orderProcesses: random.chance(0.6) ? 1 : 2,
    paymentTimeoutSeconds: random.between(2, 5),
    presses: random.between(1, 3),
    keys: random.pick([0, 0.5, 1]),
    pays: random.pick([0, 0.5, 0.9]),
    paysLate: sometimes(0.5, () => 0.5),
    oddPayments: sometimes(0.3, () => 0.5),
    cancels: sometimes(0.2, () => 0.4),
    faults: {
      requests: sometimes(0.3, () => 0.03),
      duplicates: sometimes(0.5, () => 0.4),
      delayMs: random.pick([5, 50, 500, 3_000]),
      deadLetters: sometimes(0.1, () => 0.5),
      redisCrashes: sometimes(0.35, () => random.between(1, 2)),
      redisLossMs: random.pick([0, 1_000, 1_000]),
      seckillCrashes: sometimes(0.35, () => random.between(1, 2)),
      orderCrashes: sometimes(0.35, () => random.between(1, 2)),
      databaseCrashes: sometimes(0.15, () => 1),
      brokerOutages: sometimes(0.15, () => 1),
      reconciliationCrashes: sometimes(0.15, () => 1),
    },
  }
}
