import type { Admin, Kafka } from 'kafkajs'

export type TopicOptions = {
  topic: string
  partitions: number
  /** Wanted copies; never more than there are brokers. Default 1. */
  replicationFactor?: number
  /** Topic configuration, for example `{ 'retention.ms': '604800000' }`. */
  config?: Record<string, string>
}

export class TopicMismatchError extends Error {
  override readonly name = 'TopicMismatchError'
}

const readyAttempts = 50
const readyPauseMs = 100
/** What a broker answers about a partition that it does not serve yet, although the cluster says that it leads it. */
const notServedYet = new Set([
  'NOT_LEADER_FOR_PARTITION',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'REPLICA_NOT_AVAILABLE',
])

/**
 * Creates topics that are missing and checks them all: a source reports itself ready although its topic does not exist,
 * so that a typo would lose events in silence. A topic with fewer partitions than wanted is refused, because adding some would
 * move keys; more than wanted are accepted. Returns when the leader of every partition serves it: a request to several partitions of
 * which one is not served yet succeeds for the others, and kafkajs then sends all of it again, so that the others have it twice.
 *
 * @throws TopicMismatchError with every problem at once.
 */
export async function ensureTopics(kafka: Kafka, topics: readonly TopicOptions[]): Promise<void> {
  const admin = kafka.admin()
  await admin.connect()
  try {
    const existing = new Set(await admin.listTopics())
    const missing = topics.filter(({ topic }) => !existing.has(topic))
    if (missing.length > 0) {
      const { brokers } = await admin.describeCluster()
      await createMissing(admin, missing, brokers.length)
    }
    await waitUntilLed(admin, topics)
  } finally {
    await admin.disconnect()
  }
}

async function createMissing(admin: Admin, topics: readonly TopicOptions[], brokers: number): Promise<void> {
  // Two processes may do this at once: createTopics answers false for topics that exist by then.
  await admin.createTopics({
    waitForLeaders: false,
    topics: topics.map(({ topic, partitions, replicationFactor = 1, config = {} }) => ({
      topic,
      numPartitions: partitions,
      replicationFactor: Math.min(replicationFactor, brokers),
      configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
    })),
  })
}

async function waitUntilLed(admin: Admin, topics: readonly TopicOptions[]): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const problems = await findProblems(admin, topics)
    if (problems.length === 0) return
    const final = problems.some(({ permanent }) => permanent)
    if (final || attempt >= readyAttempts) {
      throw new TopicMismatchError(`Kafka topics are not as wanted: ${problems.map(({ text }) => text).join('; ')}`)
    }
    await new Promise((resolve) => setTimeout(resolve, readyPauseMs))
  }
}

async function findProblems(
  admin: Admin,
  topics: readonly TopicOptions[],
): Promise<{ text: string; permanent: boolean }[]> {
  const names = new Set(await admin.listTopics())
  const absent = topics
    .filter(({ topic }) => !names.has(topic))
    .map(({ topic }) => ({ text: `${topic} does not exist`, permanent: false }))
  const present = topics.filter(({ topic }) => names.has(topic))
  if (present.length === 0) return absent
  const metadata = await admin.fetchTopicMetadata({ topics: present.map(({ topic }) => topic) })
  const byName = new Map(metadata.topics.map((topic) => [topic.name, topic.partitions]))
  return [
    ...absent,
    ...present.flatMap(({ topic, partitions }) => {
      const found = byName.get(topic) ?? []
      if (found.some(({ leader }) => leader < 0))
        return [{ text: `${topic} has partitions without a leader`, permanent: false }]
      if (found.length < partitions) {
        const text = `${topic} has ${found.length} partitions, ${partitions} are wanted (adding some would move keys)`
        return [{ text, permanent: found.length > 0 }]
      }
      return []
    }),
    ...(await findUnserved(
      admin,
      present.map(({ topic }) => topic),
    )),
  ]
}

/** A broker announces a new partition a moment before it serves it: only an answer of the leader itself proves more. */
async function findUnserved(admin: Admin, topics: readonly string[]): Promise<{ text: string; permanent: boolean }[]> {
  const unserved = []
  for (const topic of topics) {
    try {
      await admin.fetchTopicOffsets(topic)
    } catch (error) {
      const { type, cause } = error as { type?: string; cause?: { type?: string } }
      if (!notServedYet.has(type ?? cause?.type ?? '')) throw error
      unserved.push({ text: `${topic} has partitions that are not served yet`, permanent: false })
    }
  }
  return unserved
}
