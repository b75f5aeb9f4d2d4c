/**
 * Forward-only migrations. A function's migrations are files `functions/<name>/migrations/0001-<what>.sql`, which
 * `npm run generate` turns into a module, so that they are inside a bundle. They must be safe while the previous version of
 * the code still runs, and, because MySQL commits each DDL statement at once, safe to run again after a failure half-way
 * (`CREATE TABLE IF NOT EXISTS`).
 */
import { createHash } from 'node:crypto'
import type { Connection, ResultSetHeader, RowDataPacket } from 'mysql2/promise'
import type { Database } from './connect.ts'
import { databaseProblem } from './errors.ts'
import { openRawConnection } from './raw.ts'

export type Migration = { name: string; sql: string }

const lockWaitSeconds = 60

/** Applies what is missing, in order of the names. Several pods may call it at once: one works, the others wait. Returns the names applied now. */
export async function migrate(
  database: Database,
  functionName: string,
  migrations: readonly Migration[],
): Promise<string[]> {
  const connection = await openRawConnection(database, { multipleStatements: true }).catch((error: unknown) => {
    throw databaseProblem(error)
  })
  try {
    return await withLock(connection, () => applyMissing(connection, functionName, migrations))
  } finally {
    await connection.end().catch(() => {})
  }
}

async function withLock<T>(connection: Connection, work: () => Promise<T>): Promise<T> {
  const [[current]] = await connection.query<RowDataPacket[]>('SELECT DATABASE() AS name')
  // Lock names are global to the server and at most 64 characters.
  const lock = `stampede-migrate-${createHash('sha256').update(String(current?.['name'])).digest('hex').slice(0, 32)}`
  const [[answer]] = await connection.query<RowDataPacket[]>('SELECT GET_LOCK(?, ?) AS locked', [lock, lockWaitSeconds])
  if (answer?.['locked'] !== 1) {
    throw new Error(`another process has been migrating the database ${current?.['name']} for ${lockWaitSeconds} s`)
  }
  try {
    return await work()
  } finally {
    await connection.query('SELECT RELEASE_LOCK(?)', [lock]).catch(() => {})
  }
}

async function applyMissing(
  connection: Connection,
  functionName: string,
  migrations: readonly Migration[],
): Promise<string[]> {
  await connection.query(`CREATE TABLE IF NOT EXISTS schema_migrations (
    function_name VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    checksum CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    applied_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    PRIMARY KEY (function_name, name)
  )`)
  const [rows] = await connection.query<RowDataPacket[]>(
    'SELECT name, checksum FROM schema_migrations WHERE function_name = ?',
    [functionName],
  )
  const known = new Map(rows.map((row) => [String(row['name']), String(row['checksum'])]))
  const ordered = [...migrations].sort((one, other) => (one.name < other.name ? -1 : 1))
  const missing = missingMigrations(functionName, ordered, known)

  for (const migration of missing) {
    try {
      await connection.query(migration.sql)
      await connection.query<ResultSetHeader>(
        'INSERT INTO schema_migrations (function_name, name, checksum) VALUES (?, ?, ?)',
        [functionName, migration.name, checksumOf(migration)],
      )
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      throw new Error(`migration ${functionName}/${migration.name} failed: ${reason}`, { cause: error })
    }
  }
  return missing.map((migration) => migration.name)
}

/** Decides what is to be applied. Migrations that the database knows and the code does not are of a newer version: left alone. */
export function missingMigrations(
  functionName: string,
  ordered: readonly Migration[],
  known: ReadonlyMap<string, string>,
): Migration[] {
  const missing: Migration[] = []
  for (const migration of ordered) {
    const applied = known.get(migration.name)
    if (applied === undefined) {
      missing.push(migration)
      continue
    }
    if (applied !== checksumOf(migration)) {
      throw new Error(
        `migration ${functionName}/${migration.name} was changed after it was applied. Restore the file and put the change into a new migration.`,
      )
    }
    const skipped = missing[0]
    if (skipped) {
      throw new Error(
        `migration ${functionName}/${skipped.name} comes before ${migration.name}, which is already applied. Give it a later number: migrations only go forward.`,
      )
    }
  }
  return missing
}

/** SHA-256 of the text; line ends do not count. */
export function checksumOf(migration: Migration): string {
  return createHash('sha256').update(migration.sql.replaceAll('\r\n', '\n').trim()).digest('hex')
}
