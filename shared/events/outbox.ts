/**
 * Events of a transaction. They are written to a table in the same transaction as the change they tell of, and a relay
 * publishes them afterwards: at least once, in order for each partition key. The table, in a migration of the function:
 *
 *   CREATE TABLE IF NOT EXISTS order_outbox (
 *     id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
 *     partition_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
 *     type VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
 *     event MEDIUMTEXT CHARACTER SET utf8mb4 NOT NULL,
 *     created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
 *     failed_at DATETIME(3) NULL,
 *     failure VARCHAR(1000) CHARACTER SET utf8mb4 NULL
 *   );
 *
 * A row with `failed_at` was refused by the broker as invalid: it stays for a person and blocks nothing. To send it again, set
 * `failed_at` to NULL.
 */
import { bindForPlatform, type BoundStatement, type Sessions } from '../database/sessions.ts'
import { outboxStatements } from './outbox-statements.ts'
import { toCloudEvent, type OutgoingEvent } from './publish.ts'

export { startOutboxRelay, type OutboxRelay, type OutboxRelayOptions } from './outbox-relay.ts'

// eslint-disable-next-line typescript/no-explicit-any -- events of different definitions in one list; each is checked against its own schema
export type AnyOutgoingEvent = OutgoingEvent<any>

export type Outbox = {
  /** Writes the events in the transaction. Throws when the data of one does not fit its schema. */
  add(tx: Sessions, events: readonly AnyOutgoingEvent[]): Promise<void>
  /** The same as a statement to send together with others. Needs at least one event. */
  bind(events: readonly AnyOutgoingEvent[]): BoundStatement
}

/** Rows of one INSERT: stays below `max_allowed_packet` with events of ordinary size. */
const maximumEvents = 1_000

export function createOutbox(table: string): Outbox {
  const { insert } = outboxStatements(table)
  const rowsOf = (events: readonly AnyOutgoingEvent[]) => {
    if (events.length < 1 || events.length > maximumEvents) {
      throw new RangeError(`an outbox insert takes 1 to ${maximumEvents} events, not ${events.length}`)
    }
    return events.map((outgoing) => {
      const event = toCloudEvent(outgoing)
      // Without a key nothing has to be in order; the id spreads such events.
      return { partitionKey: event.partitionkey ?? event.id, type: event.type, event: JSON.stringify(event) }
    })
  }
  return {
    bind: (events) => bindForPlatform.bindAll(insert, rowsOf(events)),
    add: async (tx, events) => {
      if (events.length > 0) await tx.forPlatform().changeAll(insert, rowsOf(events))
    },
  }
}
