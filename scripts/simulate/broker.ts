/**
 * Kafka, the KafkaSource and the Broker with its Triggers, as the protocol sees them: what is published is delivered to each
 * subscriber at least once, some of it twice or late, in any order (what production promises about order is stronger), again
 * after a failure, and to the dead letter when the attempts are used up.
 */
import type { Random } from './random.ts'
import type { Actor, Scheduler } from './scheduler.ts'

export type SimulatedEvent = { type: string; id: string; data: unknown }

/** A function that receives; `receiver` picks one of its living processes, undefined while none lives. */
export type Subscriber = {
  name: string
  types: readonly string[]
  receiver(): { actor: Actor; handle(event: SimulatedEvent): Promise<void> } | undefined
}

export type BrokerFaults = {
  duplicates: number
  /** Longest delay of a delivery. */
  delayMs: number
  /** Probability that the attempts of a delivery are counted; else it is tried for ever. */
  deadLetters: number
}

const maximumAttempts = 3

export type Broker = ReturnType<typeof createBroker>

export function createBroker({
  scheduler,
  random,
  faults,
  deadLetter,
}: {
  scheduler: Scheduler
  random: Random
  faults: () => BrokerFaults
  /** The attempts are used up: the event is kept for people, and nobody gets it again. */
  deadLetter: (event: SimulatedEvent) => void
}) {
  const subscribers: Subscriber[] = []
  const inFlight = new Map<object, { actor: Actor; again: () => void }>()
  let open = 0

  const deliver = (subscriber: Subscriber, event: SimulatedEvent, attempt: number, limited: boolean) => {
    const again = () => {
      if (limited && attempt >= maximumAttempts) {
        open--
        deadLetter(event)
        return
      }
      scheduler.later(`redeliver ${event.type} to ${subscriber.name}`, 20 + random.below(400), () =>
        deliver(subscriber, event, attempt + 1, limited),
      )
    }
    const receiver = subscriber.receiver()
    if (!receiver) {
      // Nobody answers: this does not count as an attempt, because the outage here is longer than the pauses between attempts.
      scheduler.later(`wait for ${subscriber.name}`, 300, () => deliver(subscriber, event, attempt, limited))
      return
    }
    const ticket = {}
    inFlight.set(ticket, { actor: receiver.actor, again })
    const settle = (next: () => void) => {
      if (inFlight.delete(ticket)) next()
    }
    receiver.handle(event).then(
      () =>
        settle(() => {
          if (random.chance(faults().duplicates)) {
            scheduler.later(`duplicate ${event.type} to ${subscriber.name}`, random.below(faults().delayMs + 1), () =>
              deliver(subscriber, event, attempt, false),
            )
          } else open--
        }),
      () => settle(again),
    )
  }

  return {
    subscribe: (subscriber: Subscriber) => subscribers.push(subscriber),
    /** The broker has the event when this returns. */
    publish(event: SimulatedEvent, atOnce = false) {
      for (const subscriber of subscribers) {
        if (!subscriber.types.includes(event.type)) continue
        open++
        // A payment in the dead letter is work for people; everything else must heal by itself.
        const limited = !event.type.includes('payment') && random.chance(faults().deadLetters)
        scheduler.later(
          `deliver ${event.type} to ${subscriber.name}`,
          atOnce ? 0 : random.below(faults().delayMs + 1),
          () => deliver(subscriber, event, 1, limited),
        )
      }
    },
    /** The process died with deliveries unanswered: they come again. */
    lost(actor: Actor) {
      for (const [ticket, delivery] of inFlight) {
        if (delivery.actor === actor && inFlight.delete(ticket)) delivery.again()
      }
    },
    /** Deliveries not settled yet. */
    open: () => open,
  }
}
