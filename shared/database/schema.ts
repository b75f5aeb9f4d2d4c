import { databaseProblem } from './errors.ts'
import { migrate, type Migration } from './migrate.ts'
import type { Database } from './connect.ts'

/**
 * Begins to migrate at once without holding up the start. The returned function resolves when the schema is there, and rejects with
 * `dependency-unavailable` while the database cannot be reached; each call after a failure tries again. Call it in `ready` and
 * before the first statement of a handler: once done it costs nothing.
 */
export function prepareSchema(
  database: Database,
  functionName: string,
  migrations: readonly Migration[],
): () => Promise<void> {
  let running: Promise<void> | undefined
  const prepared = () => {
    running ??= migrate(database, functionName, migrations).then(
      () => undefined,
      (error: unknown) => {
        running = undefined
        throw databaseProblem(error)
      },
    )
    return running
  }
  prepared().catch(() => {})
  return prepared
}
