/** Reads the topic of dead letters from its beginning to where it ends now. */
import { randomBytes } from 'node:crypto'
import type { EventMessage } from '@stampede/shared/events/cloud-event.ts'
import { decodeKafka } from '@stampede/shared/kafka/cloud-event.ts'
import { createConsumer } from '@stampede/shared/kafka/connect.ts'
import type { Kafka } from 'kafkajs'

export type DeadLetter = { partition: number; offset: string; atMs: number; key: Buffer | null; message: EventMessage }

const silenceMs = 15_000

/**
 * In the order of their time. Records that are no CloudEvents are left out.
 * @param options.limit the newest of them, at most
 * @throws Error when the topic is not there, or nothing comes for 15 s
 */
export async function readLetters(
  kafka: Kafka,
  options: { topic: string; limit: number },
): Promise<{ letters: DeadLetter[]; omitted: number }> {
  const groupId = `stampede-dead-letters-${randomBytes(6).toString('hex')}`
  const admin = kafka.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets(options.topic)
  const left = new Map(
    ends.filter(({ low, high }) => BigInt(high) > BigInt(low)).map(({ partition, high }) => [partition, BigInt(high)]),
  )
  const letters: DeadLetter[] = []
  let omitted = 0
  const consumer = createConsumer(kafka, { groupId })
  try {
    if (left.size === 0) return { letters, omitted }
    await consumer.connect()
    await consumer.subscribe({ topic: options.topic, fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      let timer = setTimeout(give, silenceMs)
      function give() {
        reject(new Error(`Kafka has sent nothing of ${options.topic} for ${silenceMs / 1_000} s.`))
      }
      consumer
        .run({
          autoCommit: false,
          eachMessage: async ({ partition, message }) => {
            clearTimeout(timer)
            timer = setTimeout(give, silenceMs)
            const end = left.get(partition)
            if (end === undefined || BigInt(message.offset) >= end) return
            const decoded = decodeKafka(message)
            if (decoded) {
              const { offset, key, timestamp } = message
              letters.push({ partition, offset, atMs: Number(timestamp), key, message: decoded })
            }
            if (letters.length > options.limit) {
              letters.shift()
              omitted += 1
            }
            if (BigInt(message.offset) + 1n >= end) left.delete(partition)
            if (left.size === 0) {
              clearTimeout(timer)
              resolve()
            }
          },
        })
        .catch(reject)
    })
    return { letters: letters.toSorted((one, other) => one.atMs - other.atMs), omitted }
  } finally {
    await consumer.disconnect()
    await admin.deleteGroups([groupId]).catch(() => undefined)
    await admin.disconnect()
  }
}
