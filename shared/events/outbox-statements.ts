/** The statements of an outbox table. They are the platform's: events of all tenants leave through it, and each carries its tenant. */
import { quoteTable } from '../database/identifiers.ts'
import { platformStatement } from '../database/statement.ts'

export type OutboxStatements = ReturnType<typeof outboxStatements>

export function outboxStatements(table: string) {
  const name = quoteTable(table)
  const reason = 'events of all tenants leave through one outbox; each carries its tenant'
  return {
    insert: platformStatement(
      `${table}.insert`,
      `INSERT INTO ${name} (partition_key, type, event) VALUES (:partitionKey, :type, :event)`,
      reason,
    ),
    oldest: platformStatement(
      `${table}.oldest`,
      `SELECT id, partition_key AS partitionKey, event, TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6)) / 1000000 AS ageSeconds
       FROM ${name} WHERE failed_at IS NULL ORDER BY id LIMIT :limit`,
      reason,
    ),
    oldestOfOtherKeys: platformStatement(
      `${table}.oldestOfOtherKeys`,
      `SELECT id, partition_key AS partitionKey, event, TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6)) / 1000000 AS ageSeconds
       FROM ${name} WHERE failed_at IS NULL AND partition_key NOT IN (:waitingKeys) ORDER BY id LIMIT :limit`,
      reason,
    ),
    deletePublished: platformStatement(`${table}.deletePublished`, `DELETE FROM ${name} WHERE id IN (:ids)`, reason),
    setAside: platformStatement(
      `${table}.setAside`,
      `UPDATE ${name} SET failed_at = UTC_TIMESTAMP(3), failure = :failure WHERE id = :id`,
      reason,
    ),
    isWaiting: platformStatement(`${table}.isWaiting`, `SELECT 1 FROM ${name} WHERE failed_at IS NULL LIMIT 1`, reason),
  }
}
