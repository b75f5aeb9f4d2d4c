/** What errors of the database mean for the caller. Numbers are those of MySQL and MariaDB. */
import { Problem } from '../http/problem.ts'

const deadlock = 1213
const lockWaitTimeout = 1205
/** MariaDB with snapshot isolation: another transaction changed the row first. */
const recordChanged = 1020
const duplicateEntry = 1062
const subqueryOfSeveralRows = 1242

const unavailableNumbers = new Set([
  1040, // too many connections
  1053, // server shutdown in progress
  1203, // too many connections of this user
  1290, // read-only during a failover
  1836, // read-only
  1927, // connection was killed
  1792, // read-only transaction
])
const unavailableCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'PROTOCOL_CONNECTION_LOST',
  'PROTOCOL_SEQUENCE_TIMEOUT',
  'ER_SERVER_SHUTDOWN',
])

type DatabaseError = Error & { errno?: number; code?: string; sqlState?: string; fatal?: boolean }

const numberOf = (error: unknown): number | undefined =>
  error instanceof Error && 'sqlState' in error ? (error as DatabaseError).errno : undefined

/** True when the same transaction can succeed when it is run again from the start. */
export function mayRetryTransaction(error: unknown): boolean {
  const number = numberOf(error)
  return number === deadlock || number === lockWaitTimeout || number === recordChanged
}

/** True for a violated primary or unique key. */
export function isDuplicateKey(error: unknown): boolean {
  return numberOf(error) === duplicateEntry
}

/** True when a condition of `assertions.ts` did not hold. */
export function didNotHold(error: unknown): boolean {
  return numberOf(error) === subqueryOfSeveralRows
}

/** True when the database cannot be reached or does not take work at the moment. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, errno, message } = error as DatabaseError
  if (code !== undefined && unavailableCodes.has(code)) return true
  if (errno !== undefined && 'sqlState' in error && unavailableNumbers.has(errno)) return true
  // mysql2 has no codes for these.
  return message === 'Queue limit reached.' || message === 'Pool is closed.' || message.endsWith('closed state')
}

/** Turns trouble that passes (unreachable, busy, still deadlocked after the retries) into a Problem; other errors stay as they are. */
export function databaseProblem(error: unknown): unknown {
  if (error instanceof Problem) return error
  if (!isUnavailable(error) && !mayRetryTransaction(error)) return error
  return new Problem('dependency-unavailable', 'The database does not answer at the moment.', {
    cause: error,
    retryAfterSeconds: 1,
  })
}
