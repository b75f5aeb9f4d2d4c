/**
 * Publishes an outbox table. One relay of a table works at a time, in whichever pod holds its lock: two would publish the
 * events of one key out of order. Inside a pass the keys are published in parallel, the events of one key one after the other.
 */
import type { Connection, RowDataPacket } from 'mysql2/promise'
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { Counter, Gauge, type Registry } from 'prom-client'
import type { Database } from '../database/connect.ts'
import { openRawConnection } from '../database/raw.ts'
import { sessionsOf, type PlatformDatabase } from '../database/sessions.ts'
import { Problem } from '../http/problem.ts'
import { outboxStatements, type OutboxStatements } from './outbox-statements.ts'
import type { StampedeCloudEvent } from './publish.ts'
import { usualRetries, type Retries } from './retries.ts'

export type OutboxRelayOptions = {
  database: Database
  table: string
  /**
   * Sends one event. A Problem with status 400, 413 or 422 says that the event will never be taken: it is set aside. Anything
   * else that is thrown is tried again, with a growing pause, and holds up only the events of the same key.
   */
  publish: (event: StampedeCloudEvent) => Promise<void>
  log: Pick<Logger, 'info' | 'warn' | 'error'>
  metrics: Registry
  /** Aborted when the function drains: the relay then works only for `stop`. */
  draining: AbortSignal
  /** Resolves when the table is there; asked before each look. Default: it is there. */
  schema?: () => Promise<void>
  /** Events read at once; default 200. */
  batchSize?: number
  /** Keys published in parallel; default 16. */
  concurrency?: number
  /** Asked at each failure: pauses may change while the relay runs. */
  retries?: () => Retries['outbox']
  /** Looks for rows that nobody announced; default 1,000. */
  sweepMs?: number
}

export type OutboxRelay = {
  /** Call after a commit that wrote events. Costs nothing when a pass is under way. */
  wake(): void
  /** Resolves when the table holds no event to publish. For tests. */
  drained(): Promise<void>
  /** Publishes what is there, for 5 seconds at most, and ends. False when events wait in the table, or when that cannot be known. */
  stop(): Promise<boolean>
}

type Row = { id: string; partitionKey: string; event: string; ageSeconds: number }
/** Why a key waits, and since how many failures. */
type Backoff = { untilMs: number; failures: number }

const poisonStatuses = new Set([400, 413, 422])
/** When the database does not answer. */
const troubledPauseMs = 1_000
const finalPassMs = 5_000
/** The look at what is left after it. */
const lastLookMs = 1_000
/** A relay in another pod works: wait for its lock this long, then look again. */
const lockWaitSeconds = 1

export function startOutboxRelay(options: OutboxRelayOptions): OutboxRelay {
  const { database, publish, log, draining } = options
  const statements = outboxStatements(options.table)
  const batchSize = options.batchSize ?? 200
  const concurrency = options.concurrency ?? 16
  const sweepMs = options.sweepMs ?? 1_000
  const retries = options.retries ?? (() => usualRetries.outbox)
  const labels = { table: options.table }
  const metrics = outboxMetrics(options.metrics)
  const backoffs = new Map<string, Backoff>()

  let awake = true
  const stopping = new AbortController()
  let troubled = false
  let emptyPasses = 0
  let interruptWait: () => void = () => {}
  let connection: Connection | undefined

  const wake = () => {
    awake = true
    interruptWait()
  }

  const wait = (durationMs: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, durationMs)
      interruptWait = () => {
        clearTimeout(timer)
        resolve()
      }
    })

  /** Publishes the events of one key in order; returns the ids to delete. Stops at the first that has to be tried again. */
  const publishKey = async (rows: readonly Row[], done: string[]) => {
    for (const row of rows) {
      try {
        await publish(JSON.parse(row.event) as StampedeCloudEvent)
        done.push(row.id)
        backoffs.delete(row.partitionKey)
        metrics.published.inc(labels)
      } catch (error) {
        if (error instanceof Problem && poisonStatuses.has(error.status)) {
          await setAside(row, error)
          continue
        }
        const failures = (backoffs.get(row.partitionKey)?.failures ?? 0) + 1
        const { firstPauseMs, longestPauseMs } = retries()
        const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** (failures - 1))
        backoffs.set(row.partitionKey, { untilMs: performance.now() + pauseMs, failures })
        metrics.retried.inc(labels)
        if (failures === 1)
          log.warn(
            { err: error, table: options.table, outboxId: row.id },
            'an event was not published and will be tried again',
          )
        return
      }
    }
  }

  const setAside = async (row: Row, problem: Problem) => {
    metrics.failed.inc(labels)
    log.error(
      { err: problem, table: options.table, outboxId: row.id },
      'the broker refuses an event; it is set aside in the outbox',
    )
    await database.forPlatform().change(statements.setAside, { id: row.id, failure: problem.message.slice(0, 1_000) })
  }

  /** Reads and publishes once. `more` says that another pass at once makes sense. */
  const pass = async (locked: PlatformDatabase): Promise<{ read: number }> => {
    const nowMs = performance.now()
    const waiting = [...backoffs].filter(([, backoff]) => backoff.untilMs > nowMs).map(([key]) => key)
    if (waiting.length > retries().failingKeys) return { read: 0 }
    const rows = await readRows(locked, statements, waiting, batchSize)
    metrics.oldest.set(labels, rows[0]?.ageSeconds ?? 0)
    const byKey = Map.groupBy(rows, (row) => row.partitionKey)
    const done: string[] = []
    try {
      await forEachLimited([...byKey.values()], concurrency, (ofKey) => publishKey(ofKey, done))
    } finally {
      if (done.length > 0) await locked.change(statements.deletePublished, { ids: done })
    }
    return { read: rows.length }
  }

  /** Works until there is nothing to do, as the only relay of the table. */
  const work = async (): Promise<void> => {
    await options.schema?.()
    connection ??= await openRawConnection(database)
    const locked = connection
    if (!(await takeLock(locked, options.table))) return
    try {
      for (;;) {
        awake = false
        const { read } = await pass(sessionsOf(locked).forPlatform())
        if (read > 0) continue
        if (!awake) return
      }
    } finally {
      await releaseLock(locked, options.table)
    }
  }

  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        await work()
        if (troubled) log.info({ table: options.table }, 'the outbox relay works again')
        troubled = false
        emptyPasses += 1
      } catch (error) {
        if (!troubled) log.error({ err: error, table: options.table }, 'the outbox relay cannot work; it tries again')
        troubled = true
        dropConnection()
      }
      if (stopping.signal.aborted) break
      if (!awake || troubled) await wait(nextWaitMs(backoffs, troubled ? troubledPauseMs : sweepMs))
      if (draining.aborted && !awake && !stopping.signal.aborted) await wait(2 ** 30)
    }
  }

  const dropConnection = () => {
    connection?.destroy()
    connection = undefined
  }

  /** False also when the database does not answer soon. */
  const isEmpty = (): Promise<boolean> =>
    Promise.race([
      sleep(lastLookMs, false, { ref: false }),
      database
        .forPlatform()
        .row(statements.isWaiting, {})
        .then((row) => !row)
        .catch(() => false),
    ])

  const running = loop()
  return {
    wake,
    drained: async () => {
      const before = emptyPasses
      for (;;) {
        wake()
        const row = await database.forPlatform().row(statements.isWaiting, {})
        if (!row && emptyPasses > before) return
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    },
    stop: async () => {
      stopping.abort()
      interruptWait()
      // Events of the last requests, as far as the broker answers; the rest waits in the table for the next start.
      let timer: NodeJS.Timeout | undefined
      const limit = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, finalPassMs)
      })
      const finalPass = running.then(work).catch(() => {})
      await Promise.race([finalPass, limit])
      clearTimeout(timer)
      dropConnection()
      return isEmpty()
    },
  }
}

async function readRows(
  platform: PlatformDatabase,
  statements: OutboxStatements,
  waitingKeys: readonly string[],
  limit: number,
): Promise<Row[]> {
  const rows = await (waitingKeys.length > 0
    ? platform.rows(statements.oldestOfOtherKeys, { waitingKeys, limit })
    : platform.rows(statements.oldest, { limit }))
  return rows.map((row) => ({
    id: String(row['id']),
    partitionKey: String(row['partitionKey']),
    event: String(row['event']),
    ageSeconds: Math.max(0, Number(row['ageSeconds'])),
  }))
}

// Lock names are global to the server: the database is part of the name.
const lockName = (table: string) => `stampede-outbox-${createHash('sha256').update(table).digest('hex').slice(0, 16)}-`
const databaseHash = 'LEFT(SHA2(DATABASE(), 256), 24)'

async function takeLock(connection: Connection, table: string): Promise<boolean> {
  const [[row]] = await connection.query<RowDataPacket[]>(
    `SELECT GET_LOCK(CONCAT(?, ${databaseHash}), ${lockWaitSeconds}) AS locked`,
    [lockName(table)],
  )
  return row?.['locked'] === 1
}

async function releaseLock(connection: Connection, table: string): Promise<void> {
  await connection.query(`SELECT RELEASE_LOCK(CONCAT(?, ${databaseHash}))`, [lockName(table)]).catch(() => {})
}

/** Until the first key may be tried again, but not longer than `longestMs`. */
function nextWaitMs(backoffs: ReadonlyMap<string, Backoff>, longestMs: number): number {
  const nowMs = performance.now()
  let waitMs = longestMs
  for (const { untilMs } of backoffs.values()) waitMs = Math.min(waitMs, Math.max(1, untilMs - nowMs))
  return waitMs
}

async function forEachLimited<T>(items: readonly T[], limit: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < items.length) {
      const item = items[next] as T
      next += 1
      await work(item)
    }
  }
  const results = await Promise.allSettled(Array.from({ length: Math.min(limit, items.length) }, worker))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

function outboxMetrics(registry: Registry) {
  const labelNames = ['table'] as const
  const counter = (name: string, help: string) =>
    (registry.getSingleMetric(name) as Counter<'table'> | undefined) ??
    new Counter({ name, help, labelNames, registers: [registry] })
  const gauge = (name: string, help: string) =>
    (registry.getSingleMetric(name) as Gauge<'table'> | undefined) ??
    new Gauge({ name, help, labelNames, registers: [registry] })
  return {
    published: counter('stampede_outbox_published_total', 'Events published from the outbox'),
    retried: counter('stampede_outbox_retries_total', 'Failed attempts to publish an event of the outbox'),
    failed: counter('stampede_outbox_failed_total', 'Events that the broker refused for good: alert on any'),
    oldest: gauge('stampede_outbox_oldest_seconds', 'Age of the oldest event that waits in the outbox'),
  }
}
