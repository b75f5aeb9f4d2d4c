/** Asks a service whether it answers, by its own protocol, and which version it is. */
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import mysql, { type RowDataPacket } from 'mysql2/promise'
import { isAtLeast, parseVersion } from '../setup/versions.mjs'
import type { ServiceName } from './types.ts'

const answerLimitMs = 5_000

/** Resolves with the version, for people; rejects when there is no answer. */
export const checks: Record<ServiceName, (address: string) => Promise<string>> = {
  redis: checkRedis,
  mariadb: checkDatabase,
  kafka: checkKafka,
}

/** Oldest versions that have what is used. */
const leastRedis = [7, 0]
const leastMariadb = [10, 6]
const leastMysql = [8, 0]

async function checkRedis(address: string): Promise<string> {
  // Of a cluster or of sentinels the first node speaks for all.
  const plain = address.replace(/^redis-(cluster|sentinel):\/\/([^,/]+).*$/, 'redis://$2')
  const redis = new Redis(plain, {
    lazyConnect: true,
    retryStrategy: null,
    connectTimeout: answerLimitMs,
    commandTimeout: answerLimitMs,
  })
  let failure: unknown
  redis.on('error', (error) => {
    failure = error
  })
  try {
    await redis.connect()
    const answer = await redis.info('server')
    const version = /redis_version:(\S+)/.exec(answer)?.[1] ?? 'unknown'
    if (!isAtLeast(parseVersion(version), leastRedis))
      throw new Error(`Redis ${version} is too old; ${leastRedis.join('.')} or later is needed`)
    return `Redis ${version}`
  } catch (error) {
    throw failure ?? error
  } finally {
    redis.disconnect()
  }
}

async function checkDatabase(address: string): Promise<string> {
  const url = new URL(address)
  const name = decodeURIComponent(url.pathname.slice(1))
  url.pathname = '/'
  const connection = await mysql.createConnection({ uri: url.href, connectTimeout: answerLimitMs })
  connection.on('error', () => {})
  try {
    const [[row]] = await connection.query<RowDataPacket[]>('SELECT VERSION() AS version')
    const version = String(row?.['version'])
    const isMariadb = /mariadb/i.test(version)
    const least = isMariadb ? leastMariadb : leastMysql
    const product = isMariadb ? 'MariaDB' : 'MySQL'
    // Some MariaDB servers put "5.5.5-" before their version for old clients.
    const parsed = parseVersion(version.replace(/^5\.5\.5-/, ''))
    if (!isAtLeast(parsed, least))
      throw new Error(`${product} ${version} is too old; ${least.join('.')} or later is needed`)
    if (name)
      await connection.query('CREATE DATABASE IF NOT EXISTS ?? CHARACTER SET utf8mb4 COLLATE utf8mb4_bin', [name])
    return `${product} ${parsed?.join('.')}`
  } finally {
    connection.destroy()
  }
}

async function checkKafka(address: string): Promise<string> {
  const kafka = new Kafka({
    clientId: 'stampede-set-up',
    brokers: address.split(',').map((broker) => broker.trim()),
    logLevel: logLevel.NOTHING,
    connectionTimeout: answerLimitMs,
    requestTimeout: answerLimitMs,
    retry: { retries: 0 },
  })
  const admin = kafka.admin()
  try {
    await admin.connect()
    const { brokers } = await admin.describeCluster()
    if (brokers.length === 0) throw new Error('no broker has registered yet')
    await admin.fetchTopicMetadata({ topics: [] })
    return brokers.length === 1 ? 'Kafka' : `Kafka with ${brokers.length} brokers`
  } finally {
    await admin.disconnect().catch(() => {})
  }
}
