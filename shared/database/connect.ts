/**
 * MySQL 8 or MariaDB 10.6 and later, by mysql2. Connections are opened when first used.
 *
 * Every session speaks UTC and runs in strict mode at READ COMMITTED: without gap locks parallel inserts do not deadlock.
 * BIGINT above 2^53 and DECIMAL come as strings, so nothing is rounded. `affectedRows` of an UPDATE counts the rows that
 * matched, also those that already had the value.
 */
import mysql from 'mysql2/promise'
import type { ConnectionOptions, PoolConnection } from 'mysql2/promise'
import { databaseProblem, mayRetryTransaction } from './errors.ts'
import { keepRawAccess, type RawAccess } from './raw.ts'
import { sessionsOf, type BoundStatement, type Sessions } from './sessions.ts'

export type DatabaseOptions = {
  /** Most connections at once; default 10. */
  poolSize?: number
  /** Several statements in one `query`, which saves round trips. Off by default, because it makes an injection worse. */
  multipleStatements?: boolean
  /** Callers that wait for a connection; more are refused with `dependency-unavailable`. Default 1,000. */
  queueLimit?: number
  /** Time for a row lock, in whole seconds; default 5. */
  lockWaitSeconds?: number
  /** For tests: 0 ≤ n < 1. */
  random?: () => number
}

/** What `work` of a transaction may do: run declared statements. */
export type Transaction = Sessions

export type Database = Sessions & {
  /**
   * Runs `work` in a transaction and commits. A deadlock or a lock wait that ran out rolls back and runs `work` again, at
   * most 3 times with a growing, random pause: `work` must have no effects outside the transaction. A database that cannot
   * be reached becomes the Problem `dependency-unavailable`.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>
  /**
   * The same for statements that are known beforehand: one round trip, so that locks are held no longer than the database needs.
   * Committed unless one of them fails (see `assertions.ts`). `sent` is called when the database has them. Needs
   * `multipleStatements`.
   */
  transactionAtOnce(statements: readonly BoundStatement[], sent?: () => void): Promise<void>
  /** Rejects while the database does not answer. */
  ping(): Promise<void>
  close(): Promise<void>
}

const transactionRetries = 3
const retryPauseMs = 20
const connectTimeoutMs = 5_000

export function connectDatabase(url: string, options: DatabaseOptions = {}): Database {
  const common: ConnectionOptions = {
    uri: url,
    charset: 'utf8mb4',
    timezone: 'Z',
    supportBigNumbers: true,
    connectTimeout: connectTimeoutMs,
    enableKeepAlive: true,
  }
  const sessionStatements = [
    `SET SESSION time_zone = '+00:00', innodb_lock_wait_timeout = ${options.lockWaitSeconds ?? 5}, sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'`,
    'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  ]
  const pool = mysql.createPool({
    ...common,
    multipleStatements: options.multipleStatements ?? false,
    connectionLimit: options.poolSize ?? 10,
    queueLimit: options.queueLimit ?? 1_000,
    idleTimeout: 60_000,
  })
  // mysql2 runs the statements of a connection in order, so these come before those of whoever waits for the connection.
  // A failure here means the connection broke: the first real statement reports it.
  pool.pool.on('connection', (connection) => {
    for (const statement of sessionStatements) connection.query(statement, () => {})
  })
  const random = options.random ?? Math.random

  const attempt = async <T>(work: (tx: PoolConnection) => Promise<T>): Promise<T> => {
    const connection = await pool.getConnection()
    let usable = false
    try {
      const result = await work(connection)
      usable = true
      return result
    } catch (error) {
      // A connection that cannot roll back is in an unknown state and must not go back to the pool.
      usable = await connection.rollback().then(
        () => true,
        () => false,
      )
      throw error
    } finally {
      if (usable) connection.release()
      else connection.destroy()
    }
  }

  const repeatedly = async <T>(work: (tx: PoolConnection) => Promise<T>): Promise<T> => {
    for (let retry = 0; ; retry += 1) {
      try {
        return await attempt(work)
      } catch (error) {
        if (!mayRetryTransaction(error)) throw databaseProblem(error)
        if (retry >= transactionRetries) throw databaseProblem(error)
        await pause(retryPauseMs * 2 ** retry * (0.5 + random()))
      }
    }
  }

  const openConnection: RawAccess['openConnection'] = async (connectionOptions = {}) => {
    const connection = await mysql.createConnection({ ...common, ...connectionOptions })
    // Without a listener a connection that breaks while idle would end the process; the next statement reports it.
    connection.on('error', () => {})
    for (const statement of sessionStatements) await connection.query(statement)
    return connection
  }

  const database: Database = {
    ...sessionsOf(pool),
    transaction: (work) =>
      repeatedly(async (connection) => {
        await connection.beginTransaction()
        const result = await work(sessionsOf(connection))
        await connection.commit()
        return result
      }),
    transactionAtOnce: (statements, sent) =>
      repeatedly(async (connection) => {
        // Without values (null, not undefined) the driver does not search the text for placeholders.
        const done = connection.query(`START TRANSACTION;${statements.join(';')};COMMIT`, null)
        sent?.()
        await done
      }),
    ping: async () => {
      await pool.query('SELECT 1')
    },
    close: () => pool.end(),
  }
  return keepRawAccess(database, { pool, openConnection })
}

const pause = (durationMs: number) => new Promise<void>((resolve) => setTimeout(resolve, durationMs))
