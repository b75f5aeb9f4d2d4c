/**
 * Remembers which events a function has handled. A broker delivers at least once; a handler that asks `firstTime` inside the
 * transaction of its effects has each effect once. The table, in a migration of the function:
 *
 *   CREATE TABLE IF NOT EXISTS order_inbox (
 *     source VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
 *     id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
 *     received_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
 *     PRIMARY KEY (source, id),
 *     KEY order_inbox_received (received_at)
 *   );
 */
import type { Database } from '../database/connect.ts'
import { isDuplicateKey } from '../database/errors.ts'
import { quoteTable } from '../database/identifiers.ts'
import type { Sessions } from '../database/sessions.ts'
import { platformStatement } from '../database/statement.ts'
import { Problem } from '../http/problem.ts'

export type EventIdentity = { source: string; id: string }

export type Inbox = {
  /** Enters the event; false when it was entered before. Part of `tx`: a rollback forgets it again. */
  firstTime(tx: Sessions, event: EventIdentity): Promise<boolean>
  /** Deletes what is older, in small steps. Keep more than the broker's longest retry (default use: 7 days). Returns the rows deleted. */
  prune(database: Database, olderThanMs: number): Promise<number>
}

const maximumLength = 255
const pruneStep = 1_000

export function createInbox(table: string): Inbox {
  const name = quoteTable(table)
  const enter = platformStatement(
    `${table}.enter`,
    `INSERT INTO ${name} (source, id) VALUES (:source, :id)`,
    'an event is known by its source and id, before its tenant is',
  )
  const deleteOld = platformStatement(
    `${table}.deleteOld`,
    `DELETE FROM ${name} WHERE received_at < UTC_TIMESTAMP(3) - INTERVAL :age MICROSECOND ORDER BY received_at LIMIT :step`,
    'what no broker delivers again is forgotten, whoever it was for',
  )
  return {
    firstTime: async (tx, event) => {
      // Without the check a long id would be an error of the database, which would be delivered again and again.
      if (event.source.length > maximumLength || event.id.length > maximumLength) {
        throw new Problem('invalid-request', `source and id of an event have at most ${maximumLength} characters`)
      }
      try {
        await tx.forPlatform().change(enter, { source: event.source, id: event.id })
        return true
      } catch (error) {
        if (isDuplicateKey(error)) return false
        throw error
      }
    },
    prune: async (database, olderThanMs) => {
      let deleted = 0
      for (;;) {
        const rows = await database.forPlatform().change(deleteOld, { age: olderThanMs * 1_000, step: pruneStep })
        deleted += rows
        if (rows < pruneStep) return deleted
      }
    },
  }
}
