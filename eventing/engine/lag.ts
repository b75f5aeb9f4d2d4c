import type { Admin } from 'kafkajs'
import type { EventConsumer } from './consumer.ts'

export type ConsumerLag = {
  /** `trigger/<namespace>/<name>` or `source/<namespace>/<name>`. */
  consumer: string
  /** Records in the topics that are not settled yet. */
  lag: number
  /** Deliveries that run now. */
  inFlight: number
}

/** Ends of topics are asked for at most this often, whoever asks. */
const cacheMs = 500

/**
 * Lag of the partitions that this engine serves. A partition in which nothing was settled since the consumer joined is measured
 * from the group's committed offset, which is asked for once.
 */
export function createLagReader(
  admin: Admin,
  consumers: readonly EventConsumer[],
  gauge: { set(labels: { consumer: string }, value: number): void },
): () => Promise<ConsumerLag[]> {
  let cached: { atMs: number; value: Promise<ConsumerLag[]> } | undefined

  const read = async (): Promise<ConsumerLag[]> => {
    const topics = new Set(consumers.flatMap((consumer) => consumer.partitions.map(({ topic }) => topic)))
    const ends = new Map<string, { low: bigint; high: bigint }>()
    for (const topic of topics) {
      for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
        ends.set(`${topic}/${partition}`, { low: BigInt(low), high: BigInt(high) })
      }
    }
    return Promise.all(
      consumers.map(async (consumer) => {
        let lag = 0n
        let inFlight = 0
        for (const state of consumer.partitions) {
          inFlight += state.inFlight
          const end = ends.get(`${state.topic}/${state.partition}`)
          if (!end) continue
          const settled =
            consumer.settled(state.topic, state.partition) ??
            (await consumer.firstOffset(admin, state.topic, state.partition))
          const from = settled < end.low ? end.low : settled
          if (end.high > from) lag += end.high - from
        }
        gauge.set({ consumer: consumer.name }, Number(lag))
        return { consumer: consumer.name, lag: Number(lag), inFlight }
      }),
    )
  }

  return () => {
    const nowMs = Date.now()
    if (!cached || nowMs - cached.atMs > cacheMs) {
      const value = read()
      // A failed answer is not kept.
      value.catch(() => (cached = undefined))
      cached = { atMs: nowMs, value }
    }
    return cached.value
  }
}
