/** Kafka clients with the settings that were measured to work well with a KRaft cluster, and with limits on every wait. */
import { Kafka, logLevel, Partitioners, type Consumer, type PartitionAssigner, type Producer } from 'kafkajs'
import { calmRequestQueues } from './calm-queue.ts'

/** The part of pino's logger that is needed here. */
export type KafkaLog = {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export type KafkaOptions = {
  /** `host:port` of one or more brokers. */
  brokers: readonly string[]
  /** Name of this client in the broker's logs and quotas. */
  clientId: string
  log?: KafkaLog
  /** Time for a TCP connection; default 3,000. */
  connectionTimeoutMs?: number
  /** Time for one request; default 15,000. */
  requestTimeoutMs?: number
  /** Repeats of a failed request before the error is given to the caller; default 15, about 13 seconds in all. */
  retries?: number
}

const methods = {
  [logLevel.NOTHING]: 'debug',
  [logLevel.DEBUG]: 'debug',
  // Joining and leaving groups is the business of whoever does it: it says so in its own words.
  [logLevel.INFO]: 'debug',
  [logLevel.WARN]: 'warn',
  [logLevel.ERROR]: 'error',
} as const

/** Makes a client; nothing is connected yet. */
export function createKafka(options: KafkaOptions): Kafka {
  calmRequestQueues()
  const { log } = options
  return new Kafka({
    brokers: [...options.brokers],
    clientId: options.clientId,
    connectionTimeout: options.connectionTimeoutMs ?? 3_000,
    requestTimeout: options.requestTimeoutMs ?? 15_000,
    // Never more than a second between attempts: a Kafka that is back is used at once.
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: options.retries ?? 15 },
    logLevel: log ? logLevel.INFO : logLevel.NOTHING,
    logCreator: () => (entry) => {
      const { message, timestamp: _timestamp, logger: _logger, stack: _stack, ...fields } = entry.log
      log?.[methods[entry.level]]({ kafka: entry.namespace, ...fields }, message)
    },
  })
}

/** A producer whose partitioner is the Java client's (murmur2 of the key), so that keys land where other clients put them. */
export function createProducer(kafka: Kafka, options: { maxInFlightRequests?: number } = {}): Producer {
  return kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    allowAutoTopicCreation: false,
    maxInFlightRequests: options.maxInFlightRequests ?? 5,
  })
}

export type ConsumerOptions = {
  groupId: string
  /** After this time without a heartbeat the group goes on without the consumer; default 6,000, the least Kafka allows as it comes. */
  sessionTimeoutMs?: number
  /**
   * How long a fetch waits at Kafka when there is nothing; default 250. Records come at once all the same. Longer costs less while idle,
   * and the group forms later by as much, because kafkajs joins and beats only between fetches.
   */
  fetchWaitMs?: number
  /** Bytes of one partition in one fetch; default 1 MiB. */
  maximumBytesPerPartition?: number
  /** Who gets which partition; default kafkajs' own (one after the other). */
  partitionAssigner?: PartitionAssigner
}

/** How long a group waits for its members when it forms anew; what a member has to finish before has less time. */
export const rebalanceTimeoutMs = 10_000

/** A consumer of a group. With kafkajs' own long poll of 5 s a group needs seconds to form. */
export function createConsumer(kafka: Kafka, options: ConsumerOptions): Consumer {
  const fetchWaitMs = options.fetchWaitMs ?? 250
  return kafka.consumer({
    groupId: options.groupId,
    sessionTimeout: options.sessionTimeoutMs ?? 6_000,
    rebalanceTimeout: rebalanceTimeoutMs,
    ...(options.partitionAssigner ? { partitionAssigners: [options.partitionAssigner] } : {}),
    heartbeatInterval: Math.max(500, fetchWaitMs),
    maxWaitTimeInMs: fetchWaitMs,
    maxBytesPerPartition: options.maximumBytesPerPartition ?? 1_048_576,
    allowAutoTopicCreation: false,
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 8 },
  })
}

export { ensureTopics, TopicMismatchError, type TopicOptions } from './topics.ts'
