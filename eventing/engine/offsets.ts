import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin } from 'kafkajs'
import type { StartOffset } from './first-offsets.ts'
import { ManifestError } from './load-manifests.ts'
import type { ConsumerPlan } from './plan.ts'

/** Partitions for which the group has no offset yet, with their present end. Empty for a group that has been here before. */
export async function findStartOffsets(
  admin: Admin,
  { groupId, topics }: Pick<ConsumerPlan, 'groupId' | 'topics'>,
): Promise<StartOffset[]> {
  const missing = (await fetchCommitted(admin, { groupId, topics })).filter(({ offset }) => offset === '-1')
  if (missing.length === 0) return []
  const ends = new Map<string, string>()
  for (const topic of new Set(missing.map(({ topic: name }) => name))) {
    for (const { partition, offset } of await whileKafkaPrepares(() => admin.fetchTopicOffsets(topic)))
      ends.set(`${topic}/${partition}`, offset)
  }
  return missing.map(({ topic, partition }) => ({ topic, partition, offset: ends.get(`${topic}/${partition}`) ?? '0' }))
}

/** What the group has committed, one after the other for all partitions of its topics; offset `-1` where there is nothing yet. */
export async function fetchCommitted(
  admin: Admin,
  { groupId, topics }: Pick<ConsumerPlan, 'groupId' | 'topics'>,
): Promise<StartOffset[]> {
  const found = await whileKafkaPrepares(() => admin.fetchOffsets({ groupId, topics }))
  return found.flatMap(({ topic, partitions }) =>
    partitions.map(({ partition, offset }) => ({ topic, partition, offset })),
  )
}

/** @throws ManifestError for topics that a manifest reads and nothing creates: a source would say it is ready and get nothing, for ever. */
export async function requireTopics(admin: Admin, topics: readonly string[]): Promise<void> {
  const existing = new Set(await admin.listTopics())
  const missing = topics.filter((topic) => !existing.has(topic))
  if (missing.length === 0) return
  throw new ManifestError(
    missing.map(
      (topic) => `Kafka topic ${topic} does not exist; create it, or give a KafkaSink of this topic numPartitions`,
    ),
  )
}

const preparationAttempts = 100
const preparationPauseMs = 200

/** A Kafka that has just started makes its offsets topic at the first question, and a new topic has no leader yet: both refuse answers until that is done. */
async function whileKafkaPrepares<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      if (attempt >= preparationAttempts || (error as { retriable?: boolean }).retriable !== true) throw error
      await sleep(preparationPauseMs)
    }
  }
}
