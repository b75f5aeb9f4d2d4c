/** Topics get as many copies as there are brokers when they are made, and keep that number: who begins before all brokers are up waits. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin } from 'kafkajs'
import type { TopicOptions } from '@stampede/shared/kafka/topics.ts'
import type { EngineLog } from './log.ts'

export type BrokerWait = { timeoutMs: number; pauseMs?: number; log: EngineLog }

/**
 * Waits until Kafka has as many brokers as a topic that is to be made wants copies, as far as so many addresses are configured: one
 * address may stand for one broker or for many, several stand for at least so many. After the time it goes on with those there are.
 */
export async function waitForBrokers(
  admin: Pick<Admin, 'describeCluster' | 'listTopics'>,
  topics: readonly TopicOptions[],
  addresses: number,
  { timeoutMs, pauseMs = 500, log }: BrokerWait,
): Promise<void> {
  const existing = new Set(await admin.listTopics())
  const copies = topics
    .filter(({ topic }) => !existing.has(topic))
    .map(({ replicationFactor }) => replicationFactor ?? 1)
  const wanted = Math.min(Math.max(1, ...copies), addresses)
  const deadlineMs = performance.now() + timeoutMs
  for (;;) {
    const { brokers } = await admin.describeCluster()
    if (brokers.length >= wanted) return
    if (performance.now() >= deadlineMs) {
      log.warn({ brokers: brokers.length, wanted }, 'fewer brokers than configured; topics get fewer copies')
      return
    }
    await sleep(pauseMs)
  }
}
