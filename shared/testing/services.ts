/**
 * What tests need of the real services. `npm test` starts Redis, MariaDB and Kafka for the run and passes their addresses in
 * the environment; a test that breaks or restarts a service starts its own instance.
 */
import { randomBytes } from 'node:crypto'
import mysql from 'mysql2/promise'

export { freePort } from './free-port.ts'
export { startRedis, type OwnRedis, type StartRedisOptions } from './own-redis.ts'

export type ServiceAddresses = { redisUrl: string; databaseUrl: string; kafkaBrokers: string[] }

/** Addresses of the services that tests share. Throws with the next step when they are not known. */
export function serviceAddresses(environment: Record<string, string | undefined> = process.env): ServiceAddresses {
  const needed = (name: string): string => {
    const value = environment[name]
    if (!value) {
      throw new Error(
        `${name} is not set. Run the tests with "npm test -- <files>", or keep services up with "npm run services -- up" and export what it prints.`,
      )
    }
    return value
  }
  const kafkaBrokers = needed('KAFKA_BROKERS')
    .split(',')
    .map((broker) => broker.trim())
    .filter((broker) => broker !== '')
  return { redisUrl: needed('REDIS_URL'), databaseUrl: needed('DATABASE_URL'), kafkaBrokers }
}

/** An empty database with a name of its own on the shared server. `drop` removes it with all it holds. */
export async function freshDatabase(): Promise<{ url: string; name: string; drop(): Promise<void> }> {
  const server = new URL(serviceAddresses().databaseUrl)
  // The database in the address need not exist.
  server.pathname = '/'
  const name = `stampede_test_${randomBytes(6).toString('hex')}`
  const run = async (statement: string) => {
    const connection = await mysql.createConnection({ uri: server.href, connectTimeout: 10_000 })
    try {
      await connection.query(statement)
    } finally {
      await connection.end()
    }
  }
  await run(`CREATE DATABASE \`${name}\` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`)
  const url = new URL(server)
  url.pathname = `/${name}`
  return { url: url.href, name, drop: () => run(`DROP DATABASE IF EXISTS \`${name}\``) }
}
