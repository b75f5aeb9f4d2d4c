/** What the simulation knows and no process does: what was promised, sent and lost. The invariants are judged against it. */
import type { Actor } from './scheduler.ts'

/** A guarantee that did not hold, with the id of the guarantee. */
export class Violation extends Error {
  override readonly name = 'Violation'
  readonly guarantee: string
  constructor(guarantee: string, detail: string) {
    super(`${guarantee}: ${detail}`)
    this.guarantee = guarantee
  }
}

export type PressRecord = {
  orderNumber: string
  userId: string
  quantity: number
  idempotencyKey: string | undefined
  actor: Actor
  life: number
}

export type Ledger = ReturnType<typeof createLedger>

export function createLedger() {
  /** Every press that reached a process. */
  const presses = new Map<string, PressRecord>()
  /** Order numbers that were answered with 202. */
  const promised = new Set<string>()
  const inKafka = new Set<string>()
  /** In Kafka and given up: only Redis, or the journal, brings them to `order` again without people. */
  const inDeadLetter = new Set<string>()
  /** Ever deducted in Redis. */
  const deducted = new Set<string>()
  /** Deducted, then forgotten by Redis, and not back yet. */
  const vanished = new Set<string>()
  /** Lost by two failures: Redis forgot them, and the process that accepted them died before it could restore them. */
  const lostTwice = new Set<string>()
  /** Transfers between buckets, `donor:number`, that Redis forgot and that are not back yet. */
  const vanishedTransfers = new Set<string>()
  /** Who was told of a transfer and remembers it. */
  const transferHolders = new Map<string, { actor: Actor; life: number }[]>()
  const state = { soldOutAnswers: 0, releases: 0, redisLosses: 0, redisRestarts: 0, processCrashes: 0, rebuilt: false }

  const holderIsDead = (orderNumber: string): boolean => {
    const press = presses.get(orderNumber)
    return !press || !press.actor.alive || press.actor.life !== press.life
  }
  const judge = (orderNumber: string) => {
    const onItsWay = inKafka.has(orderNumber) && !inDeadLetter.has(orderNumber)
    if (!onItsWay && holderIsDead(orderNumber)) lostTwice.add(orderNumber)
  }

  return {
    presses,
    promised,
    inKafka,
    deducted,
    vanished,
    vanishedTransfers,
    lostTwice,
    holderIsDead,
    state,
    pressed: (press: PressRecord) => void presses.set(press.orderNumber, press),
    /** Redis restarted and has forgotten these. */
    forgotten: (orderNumbers: readonly string[]) => {
      for (const orderNumber of orderNumbers) {
        vanished.add(orderNumber)
        judge(orderNumber)
      }
    },
    transferred: (transfer: string, actor: Actor) => {
      const holders = transferHolders.get(transfer) ?? []
      transferHolders.set(transfer, [...holders, { actor, life: actor.life }])
    },
    /** A living process remembers this transfer. */
    remembersTransfer: (transfer: string): boolean =>
      (transferHolders.get(transfer) ?? []).some(({ actor, life }) => actor.alive && actor.life === life),
    deadLettered: (orderNumbers: readonly string[]) => {
      for (const orderNumber of orderNumbers) {
        inDeadLetter.add(orderNumber)
        if (vanished.has(orderNumber)) judge(orderNumber)
      }
    },
    /** A process died, with its journal. */
    processDied: () => {
      state.processCrashes++
      for (const orderNumber of vanished) judge(orderNumber)
    },
    /** Seen in Redis. */
    present: (orderNumber: string) => {
      deducted.add(orderNumber)
      vanished.delete(orderNumber)
    },
  }
}
