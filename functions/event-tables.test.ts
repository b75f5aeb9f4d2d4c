/** Outbox and inbox tables of all functions are those that `shared/events` documents: one relay and one inbox work with all. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import type { RowDataPacket } from 'mysql2/promise'
import { connectDatabase, type Database } from '@stampede/shared/database/connect.ts'
import { rawPool } from '@stampede/shared/database/raw.ts'
import { migrate, type Migration } from '@stampede/shared/database/migrate.ts'
import { freshDatabase } from '@stampede/shared/testing/services.ts'
import { functions } from './index.ts'

const root = import.meta.dirname
const eventsFolder = join(root, '..', 'shared', 'events')

/** The statement in the head comment of a module, for the table of another function. */
function documented(module: string, table: string): string {
  const source = readFileSync(join(eventsFolder, module), 'utf8')
  const comment = source.slice(0, source.indexOf('*/')).replaceAll(/^ \* ?/gm, '')
  const statement = /CREATE TABLE IF NOT EXISTS order_(?:out|in)box \(.*?\n *\);/s.exec(comment)
  if (!statement) throw new Error(`${module} documents no table`)
  return statement[0].replaceAll(/order_(?:out|in)box/g, table)
}

/** The shape of a table without what differs by name or by what was inserted. */
async function shapeOf(database: Database, table: string): Promise<string | undefined> {
  const [[known]] = await rawPool(database).query<RowDataPacket[]>('SHOW TABLES LIKE ?', [table])
  if (!known) return undefined
  const [[row]] = await rawPool(database).query<RowDataPacket[]>(`SHOW CREATE TABLE \`${table}\``)
  return String(row?.['Create Table'])
    .replaceAll(table, 'the_table')
    .replace(/ AUTO_INCREMENT=\d+/, '')
}

async function emptyDatabase(t: { teardown(work: () => Promise<void>): void }): Promise<Database> {
  const fresh = await freshDatabase()
  const database = connectDatabase(fresh.url)
  t.teardown(async () => {
    await database.close()
    await fresh.drop()
  })
  return database
}

const withMigrations = functions.map(({ name }) => name).filter((name) => existsSync(join(root, name, 'migrations')))

test('functions – those with a database are known to this test', (t) => {
  t.true(withMigrations.length >= 4)
})

for (const name of withMigrations) {
  test(`${name} – its outbox and inbox have the documented shape`, async (t) => {
    const { migrations } = (await import(`./${name}/generated/migrations.ts`)) as { migrations: readonly Migration[] }
    const [asMigrated, asDocumented] = await Promise.all([emptyDatabase(t), emptyDatabase(t)])
    await migrate(asMigrated, name, migrations)
    for (const kind of ['outbox', 'inbox']) {
      const table = `${name}_${kind}`
      await rawPool(asDocumented).query(documented(`${kind}.ts`, table))
      const wanted = await shapeOf(asDocumented, table)
      const found = await shapeOf(asMigrated, table)
      t.regex(String(wanted), /the_table/)
      // Who handles each event in a way that may be repeated needs no inbox.
      if (kind === 'inbox' && found === undefined) {
        t.true(['audit', 'reconciliation'].includes(name), `${table} is missing`)
        continue
      }
      t.is(found, wanted, table)
    }
  })
}
