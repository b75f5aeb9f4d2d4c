/**
 * Conditions inside of `transactionAtOnce`: a statement that fails rolls back all of them. SQL has no assertion outside of stored
 * programs; a scalar subquery of two rows is an error in MySQL and MariaDB alike.
 */
import { didNotHold } from './errors.ts'
import type { BoundStatement } from './sessions.ts'

export { didNotHold }

const mustHold = (condition: string) =>
  `SELECT (SELECT 1 UNION ALL SELECT 1 FROM DUAL WHERE NOT(${condition}))` as BoundStatement

/** The statement right before it affected one row. */
export const changedOneRow: BoundStatement = mustHold('ROW_COUNT()=1')

/** The SELECT finds nothing. */
export const findsNothing = (select: BoundStatement): BoundStatement => mustHold(`NOT EXISTS(${select})`)
