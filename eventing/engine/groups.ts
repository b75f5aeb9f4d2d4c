/**
 * The Kafka consumer groups of a set of manifests, for whoever scales the engine by lag: the names are made in `plan.ts` and
 * nowhere else. `node eventing/engine/main.ts --groups` prints them.
 */
import type { RawManifest } from './load-manifests.ts'
import { planEngine } from './plan.ts'

export type ConsumerGroup = {
  /** `trigger/<namespace>/<name>` or `source/<namespace>/<name>`. */
  consumer: string
  groupId: string
  topics: string[]
  /** Partitions of all its topics together, where the manifests say how many: more engines than these have nothing to do. */
  partitions: number | undefined
  /** Annotations of the manifest by their last part: `min-scale`, `max-scale`, `lag-threshold`, … */
  scaling: Record<string, string>
}

/** @throws ManifestError with every problem of the manifests. */
export function consumerGroups(manifests: readonly RawManifest[]): ConsumerGroup[] {
  const plan = planEngine(manifests)
  const partitionsOf = new Map(plan.topics.map(({ topic, partitions }) => [topic, partitions]))
  return plan.consumers.map(({ name, groupId, topics, scaling }) => {
    const counts = topics.map((topic) => partitionsOf.get(topic))
    const partitions = counts.every((count) => count !== undefined)
      ? counts.reduce((sum, count) => sum + count, 0)
      : undefined
    return { consumer: name, groupId, topics, partitions, scaling }
  })
}
