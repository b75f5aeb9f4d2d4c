import test from 'ava'
import type { RowDataPacket } from 'mysql2/promise'
import { freshDatabase } from '../testing/services.ts'
import { connectDatabase, type Database } from './connect.ts'
import { rawPool } from './raw.ts'
import { checksumOf, migrate } from './migrate.ts'

const withDatabase = async (work: (database: Database) => Promise<void>) => {
  const fresh = await freshDatabase()
  const database = connectDatabase(fresh.url)
  try {
    await work(database)
  } finally {
    await database.close()
    await fresh.drop()
  }
}
const first = {
  name: '0001-things',
  sql: 'CREATE TABLE IF NOT EXISTS things (id INT PRIMARY KEY);\nCREATE TABLE IF NOT EXISTS others (id INT PRIMARY KEY);\n',
}
const second = { name: '0002-more', sql: 'ALTER TABLE things ADD COLUMN name VARCHAR(10)' }

test('migrate – applies several statements of a file, in order of the names, once', async (t) => {
  await withDatabase(async (database) => {
    t.deepEqual(await migrate(database, 'thing', [second, first]), ['0001-things', '0002-more'])
    t.deepEqual(await migrate(database, 'thing', [first, second]), [])
    await rawPool(database).query("INSERT INTO things (id, name) VALUES (1, 'x')")
    await rawPool(database).query('INSERT INTO others VALUES (1)')
    const [rows] = await rawPool(database).query<RowDataPacket[]>(
      'SELECT function_name, name, checksum FROM schema_migrations ORDER BY name',
    )
    t.deepEqual(
      rows.map((row) => ({ ...row })),
      [first, second].map((migration) => ({
        function_name: 'thing',
        name: migration.name,
        checksum: checksumOf(migration),
      })),
    )
  })
})

test('migrate – works once when many pods start together', async (t) => {
  await withDatabase(async (database) => {
    // Not repeatable on purpose: a second run would fail.
    const once = { name: '0001-once', sql: 'CREATE TABLE once_only (id INT PRIMARY KEY)' }
    const applied = await Promise.all(Array.from({ length: 6 }, () => migrate(database, 'thing', [once])))
    t.deepEqual(applied.flat(), ['0001-once'])
  })
})

test('migrate – a migration that was changed after it ran is refused with the next step', async (t) => {
  await withDatabase(async (database) => {
    await migrate(database, 'thing', [first])
    await t.throwsAsync(migrate(database, 'thing', [{ ...first, sql: first.sql.replace('others', 'changed') }]), {
      message: /thing\/0001-things was changed after it was applied.*new migration/,
    })
  })
})

test('migrate – other line ends are not a change', async (t) => {
  await withDatabase(async (database) => {
    await migrate(database, 'thing', [first])
    t.deepEqual(await migrate(database, 'thing', [{ ...first, sql: first.sql.replaceAll('\n', '\r\n') }]), [])
  })
})

test('migrate – a new migration before an applied one is refused', async (t) => {
  await withDatabase(async (database) => {
    await migrate(
      database,
      'thing',
      [second].map((migration) => ({ ...migration, sql: 'SELECT 1' })),
    )
    await t.throwsAsync(migrate(database, 'thing', [first, { ...second, sql: 'SELECT 1' }]), {
      message: /0001-things comes before 0002-more/,
    })
  })
})

test('migrate – a failing statement names the migration and is tried again the next time', async (t) => {
  await withDatabase(async (database) => {
    const broken = {
      name: '0003-broken',
      sql: 'CREATE TABLE IF NOT EXISTS halfway (id INT PRIMARY KEY); ALTER TABLE missing ADD COLUMN x INT',
    }
    await t.throwsAsync(migrate(database, 'thing', [first, broken]), {
      message: /thing\/0003-broken failed: .*missing/,
    })
    await rawPool(database).query('CREATE TABLE missing (id INT PRIMARY KEY)')
    t.deepEqual(await migrate(database, 'thing', [first, broken]), ['0003-broken'])
  })
})

test('migrate – the same name in two functions are two migrations', async (t) => {
  await withDatabase(async (database) => {
    await migrate(database, 'thing', [first])
    t.deepEqual(await migrate(database, 'other', [{ ...first, sql: 'SELECT 1' }]), ['0001-things'])
  })
})

test('migrate – older code ignores migrations of a newer version', async (t) => {
  await withDatabase(async (database) => {
    await migrate(database, 'thing', [first, second])
    t.deepEqual(await migrate(database, 'thing', [first]), [])
  })
})
