/**
 * The connections behind a `Database`, for what is not a statement of a function: migrations, locks of the server, commands, and the
 * look of a test at the tables. Functions run declared statements only; `functions/tenant-statements.test.ts` holds that.
 */
import type { Connection, Pool } from 'mysql2/promise'
import type { Database } from './connect.ts'

export type RawAccess = {
  pool: Pool
  openConnection: (options?: { multipleStatements?: boolean }) => Promise<Connection>
}

const access = new WeakMap<Database, RawAccess>()

/** For `connectDatabase`. */
export function keepRawAccess(database: Database, raw: RawAccess): Database {
  access.set(database, raw)
  return database
}

export function rawPool(database: Database): Pool {
  return rawAccess(database).pool
}

/** A connection outside the pool, for locks that are held for long and for migrations. The caller ends it. */
export function openRawConnection(database: Database, options?: { multipleStatements?: boolean }): Promise<Connection> {
  return rawAccess(database).openConnection(options)
}

function rawAccess(database: Database): RawAccess {
  const raw = access.get(database)
  if (!raw) throw new TypeError('this database was not made by connectDatabase')
  return raw
}
