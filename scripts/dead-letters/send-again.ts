/** Puts events back to where they came from. */
import { encodeKafka } from '@stampede/shared/kafka/cloud-event.ts'
import { createProducer } from '@stampede/shared/kafka/connect.ts'
import type { Kafka } from 'kafkajs'
import type { DeadLetter } from './read-letters.ts'

export type Origins = {
  /** Topic of the Broker: every other event. */
  broker: string
  /** Topics of sources, by the type of their events. */
  sources: Readonly<Record<string, string>>
}

/** Where an event was before it was dead. */
export const originOf = ({ message }: DeadLetter, { broker, sources }: Origins): string =>
  sources[message.attributes['type'] ?? ''] ?? broker

/** The event as it was: what delivery has written onto it is gone, its id stays, so that who had it recognises it. */
export function revived({ message, key }: DeadLetter): ReturnType<typeof encodeKafka> {
  const attributes = Object.fromEntries(
    Object.entries(message.attributes).filter(([name]) => !name.startsWith('knativeerror')),
  )
  const record = encodeKafka({ attributes, data: message.data })
  return { ...record, key: record.key ?? key }
}

/** One after the other, so that their order stays. Returns how many were sent. @throws with the first that could not be */
export async function sendAgain(kafka: Kafka, letters: readonly DeadLetter[], origins: Origins): Promise<number> {
  const producer = createProducer(kafka, { maxInFlightRequests: 1 })
  await producer.connect()
  try {
    let sent = 0
    for (const letter of letters) {
      await producer.send({ topic: originOf(letter, origins), messages: [revived(letter)], acks: -1 })
      sent += 1
    }
    return sent
  } finally {
    await producer.disconnect()
  }
}
