/**
 * Gathers records that are offered within a few milliseconds into one request to Kafka: a request for each event would make
 * the broker's acknowledgement the price of every event. A promise resolves when all in-sync replicas have its record.
 */
import type { Message, Producer } from 'kafkajs'

export type BatchProducerOptions = {
  /** Longest wait for company; default 2. */
  lingerMs?: number
  /** Records of one request; default 500. */
  maximumRecords?: number
  /** Bytes of one request, below Kafka's limit of 1 MiB for a batch; default 900,000. */
  maximumBytes?: number
  /** Requests at once; default 4. */
  maximumInFlight?: number
}

type Waiting = { topic: string; record: Message; bytes: number; resolve: () => void; reject: (error: Error) => void }

export type BatchProducer = {
  send(topic: string, record: Message): Promise<void>
  /** Bytes that are not acknowledged yet. */
  readonly pendingBytes: number
  /** Resolves when all that was offered is acknowledged or failed. */
  flush(): Promise<void>
}

export function createBatchProducer(
  producer: Pick<Producer, 'sendBatch'>,
  options: BatchProducerOptions = {},
): BatchProducer {
  const { lingerMs = 2, maximumRecords = 500, maximumBytes = 900_000, maximumInFlight = 4 } = options
  let queue: Waiting[] = []
  let queuedBytes = 0
  let pendingBytes = 0
  let timer: NodeJS.Timeout | undefined
  const inFlight = new Set<Promise<void>>()

  const take = (): Waiting[] => {
    let bytes = 0
    let count = 0
    for (const waiting of queue) {
      if (count > 0 && (count >= maximumRecords || bytes + waiting.bytes > maximumBytes)) break
      bytes += waiting.bytes
      count += 1
    }
    queuedBytes -= bytes
    return queue.splice(0, count)
  }

  const sendBatch = async (batch: Waiting[]): Promise<void> => {
    const topics = Map.groupBy(batch, ({ topic }) => topic)
    const topicMessages = [...topics].map(([topic, records]) => ({
      topic,
      messages: records.map(({ record }) => record),
    }))
    try {
      await producer.sendBatch({ acks: -1, topicMessages })
      for (const { resolve } of batch) resolve()
    } catch (error) {
      for (const { reject } of batch) reject(error as Error)
    } finally {
      for (const { bytes } of batch) pendingBytes -= bytes
    }
  }

  const pump = (): void => {
    clearTimeout(timer)
    timer = undefined
    while (queue.length > 0 && inFlight.size < maximumInFlight) {
      const sending: Promise<void> = sendBatch(take()).finally(() => {
        inFlight.delete(sending)
        // What came while all requests were busy has waited long enough.
        if (queue.length > 0) pump()
      })
      inFlight.add(sending)
    }
  }

  return {
    send(topic, record) {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const bytes = bytesOf(record)
      queue.push({ topic, record, bytes, resolve, reject })
      queuedBytes += bytes
      pendingBytes += bytes
      if (queue.length >= maximumRecords || queuedBytes >= maximumBytes) pump()
      else if (inFlight.size < maximumInFlight) timer ??= setTimeout(pump, lingerMs)
      return promise
    },
    get pendingBytes() {
      return pendingBytes
    },
    async flush() {
      while (queue.length > 0 || inFlight.size > 0) {
        pump()
        await Promise.allSettled(inFlight)
      }
    },
  }
}

function bytesOf(record: Message): number {
  let bytes = 64 + (record.value?.length ?? 0) + (record.key?.length ?? 0)
  for (const [name, value] of Object.entries(record.headers ?? {})) bytes += name.length + String(value).length + 4
  return bytes
}
