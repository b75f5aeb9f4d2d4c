/** Sends the relay's events to Kafka: CloudEvents in binary mode, acknowledged by all in-sync replicas. */
import type { Kafka, Producer } from 'kafkajs'
import { purchaseAccepted } from '@stampede/eventing/catalogue/events.ts'
import { eventToKafka } from '@stampede/shared/kafka/cloud-event.ts'
import { createProducer, ensureTopics } from '@stampede/shared/kafka/connect.ts'
import type { RelayMessage } from './relay.ts'
import { traceRelay } from './trace-relay.ts'

export type KafkaSender = {
  send: (messages: readonly RelayMessage[]) => Promise<void>
  stop: () => Promise<void>
}

const allReplicas = -1
const timeoutMs = 10_000

export function createKafkaSender(
  kafka: Kafka,
  options: { topic: string; partitions: number; replicationFactor: number },
): KafkaSender {
  const { topic, partitions, replicationFactor } = options
  let connected: Promise<Producer> | undefined

  /** Connects at first use; a failure is forgotten, so that the next call tries again. */
  const connect = (): Promise<Producer> => {
    connected ??= (async () => {
      await ensureTopics(kafka, [{ topic, partitions, replicationFactor }])
      const producer = createProducer(kafka)
      await producer.connect()
      return producer
    })().catch((error: unknown) => {
      connected = undefined
      throw error
    })
    return connected
  }

  return {
    async send(messages) {
      await traceRelay(topic, messages, async () => {
        const producer = await connect()
        await producer.send({ topic, acks: allReplicas, timeout: timeoutMs, messages: messages.map(toRecord) })
      })
    },
    async stop() {
      const producer = await connected?.catch(() => undefined)
      await producer?.disconnect()
    },
  }
}

/** The data comes from Redis in the shape of the catalogue; checking it again for each purchase would cost more than sending it. */
function toRecord(message: RelayMessage) {
  const traceparent = message.data.purchases.length === 1 ? message.data.purchases[0]!.traceparent : undefined
  return eventToKafka({
    specversion: '1.0',
    id: message.id,
    source: purchaseAccepted.source,
    type: purchaseAccepted.type,
    subject: message.data.activityId,
    time: new Date(message.acceptedAtMs).toISOString(),
    datacontenttype: 'application/json',
    partitionkey: message.partitionKey,
    ...(traceparent === undefined ? {} : { traceparent }),
    data: message.data,
  })
}
