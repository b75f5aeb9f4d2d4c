import test from 'ava'
import type { RowDataPacket } from 'mysql2/promise'
import { Problem } from '../http/problem.ts'
import { freePort, freshDatabase } from '../testing/services.ts'
import { connectDatabase } from './connect.ts'
import { openRawConnection, rawPool } from './raw.ts'
import type { Sessions } from './sessions.ts'
import { platformStatement } from './statement.ts'
import { isDuplicateKey } from './errors.ts'

const ofTests = (name: string, sql: string) => platformStatement(`connect.${name}`, sql, 'a table of this test')
const insertCommitted = ofTests('insertCommitted', 'INSERT INTO committed VALUES (1)')
const insertRolledBack = ofTests('insertRolledBack', 'INSERT INTO rolled_back VALUES (1)')
const addCent = platformStatement(
  'connect.addCent',
  'UPDATE accounts SET cents = cents + 1 WHERE id = :id',
  'a table of this test',
)
const changeHeld = ofTests('changeHeld', 'UPDATE held SET n = 2 WHERE id = 1')
const connectionId = ofTests('connectionId', 'SELECT CONNECTION_ID() AS id')

const fresh = await freshDatabase()
const database = connectDatabase(fresh.url)
test.after.always(async () => {
  await database.close()
  await fresh.drop()
})

test('session – speaks UTC, strict mode and READ COMMITTED', async (t) => {
  const [[row]] = await rawPool(database).query<RowDataPacket[]>(
    'SELECT @@session.time_zone AS zone, @@session.sql_mode AS mode, TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW()) AS difference',
  )
  t.is(row?.['zone'], '+00:00')
  t.is(row?.['difference'], 0)
  t.true(String(row?.['mode']).includes('STRICT_ALL_TABLES'))
  const [[level]] = await rawPool(database).query<RowDataPacket[]>(
    `SHOW VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation')`,
  )
  t.is(level?.['Value'], 'READ-COMMITTED')
})

test('numbers – BIGINT above 2^53 and DECIMAL keep every digit', async (t) => {
  const [[row]] = await rawPool(database).query<RowDataPacket[]>(
    'SELECT 9007199254740993 AS large, 42 AS small, CAST(12345678901234567.89 AS DECIMAL(30, 2)) AS amount',
  )
  t.deepEqual({ ...row }, { large: '9007199254740993', small: 42, amount: '12345678901234567.89' })
})

test('times – a Date comes back as the same instant', async (t) => {
  await rawPool(database).query('CREATE TABLE instants (at DATETIME(3) NOT NULL)')
  const instant = new Date('2026-03-29T02:30:00.123Z')
  await rawPool(database).execute('INSERT INTO instants VALUES (?)', [instant])
  const [[row]] = await rawPool(database).query<RowDataPacket[]>('SELECT at FROM instants')
  t.deepEqual(row?.['at'], instant)
})

test('multiple statements – refused unless they were asked for', async (t) => {
  await t.throwsAsync(rawPool(database).query('SELECT 1; SELECT 2'), { message: /syntax/i })
  const several = connectDatabase(fresh.url, { multipleStatements: true })
  const [results] = await rawPool(several).query<RowDataPacket[][]>('SELECT 1 AS n; SELECT 2 AS n')
  t.deepEqual(
    results.map((rows) => rows[0]?.['n']),
    [1, 2],
  )
  await several.close()
})

test('transaction – commits what the work did and returns its result', async (t) => {
  await rawPool(database).query('CREATE TABLE committed (id INT PRIMARY KEY)')
  t.is(
    await database.transaction(async (tx) => {
      await tx.forPlatform().change(insertCommitted, {})
      return 'done'
    }),
    'done',
  )
  const [rows] = await rawPool(database).query<RowDataPacket[]>('SELECT id FROM committed')
  t.is(rows.length, 1)
})

test('transaction – leaves nothing behind when the work throws', async (t) => {
  await rawPool(database).query('CREATE TABLE rolled_back (id INT PRIMARY KEY)')
  await t.throwsAsync(
    database.transaction(async (tx) => {
      await tx.forPlatform().change(insertRolledBack, {})
      throw new Error('no')
    }),
    { message: 'no' },
  )
  const [rows] = await rawPool(database).query<RowDataPacket[]>('SELECT id FROM rolled_back')
  t.is(rows.length, 0)
})

test('transaction – runs again after a deadlock, both succeed', async (t) => {
  await rawPool(database).query('CREATE TABLE accounts (id INT PRIMARY KEY, cents INT NOT NULL)')
  await rawPool(database).query('INSERT INTO accounts VALUES (1, 0), (2, 0)')
  let attempts = 0
  // Both hold one row before either asks for the other's: on the first attempt they must deadlock.
  const meeting = Promise.withResolvers<void>()
  let arrived = 0
  const transfer = async (tx: Sessions, first: number, second: number) => {
    attempts += 1
    await tx.forPlatform().change(addCent, { id: first })
    arrived += 1
    if (arrived === 2) meeting.resolve()
    await meeting.promise
    await tx.forPlatform().change(addCent, { id: second })
  }
  await Promise.all([
    database.transaction((tx) => transfer(tx, 1, 2)),
    database.transaction((tx) => transfer(tx, 2, 1)),
  ])
  t.true(attempts > 2, 'one was the victim of the deadlock')
  const [rows] = await rawPool(database).query<RowDataPacket[]>('SELECT cents FROM accounts ORDER BY id')
  t.deepEqual(
    rows.map((row) => row['cents']),
    [2, 2],
  )
})

test('transaction – gives up after three repeats of a lock wait and says that the database is unavailable', async (t) => {
  const impatient = connectDatabase(fresh.url, { lockWaitSeconds: 1, random: () => 0 })
  await rawPool(impatient).query('CREATE TABLE held (id INT PRIMARY KEY, n INT)')
  await rawPool(impatient).query('INSERT INTO held VALUES (1, 0)')
  const holder = await openRawConnection(impatient)
  await holder.beginTransaction()
  await holder.query('UPDATE held SET n = 1 WHERE id = 1')
  let attempts = 0
  const problem = await t.throwsAsync<Problem>(
    impatient.transaction(async (tx) => {
      attempts += 1
      await tx.forPlatform().change(changeHeld, {})
    }),
    { instanceOf: Problem },
  )
  t.is(problem?.problem, 'dependency-unavailable')
  t.is(attempts, 4)
  await holder.end()
  await impatient.close()
})

test('transaction – an unreachable server is a dependency-unavailable problem', async (t) => {
  const nowhere = connectDatabase(`mysql://u:p@127.0.0.1:${await freePort()}/none`)
  const problem = await t.throwsAsync<Problem>(
    nowhere.transaction(async () => {}),
    { instanceOf: Problem },
  )
  t.is(problem?.problem, 'dependency-unavailable')
  t.true(problem?.retryable)
  await nowhere.close()
})

test('transaction – a connection that was killed does not come back to the next caller', async (t) => {
  const single = connectDatabase(fresh.url, { poolSize: 1 })
  await t.throwsAsync(
    single.transaction(async (tx) => {
      const row = await tx.forPlatform().row(connectionId, {})
      await rawPool(database).query(`KILL ${Number(row?.['id'])}`)
      await tx.forPlatform().row(connectionId, {})
    }),
  )
  t.is(await single.transaction(async () => 'works'), 'works')
  await single.close()
})

test('duplicate key – is recognised, other errors are not', async (t) => {
  await rawPool(database).query('CREATE TABLE uniques (id INT PRIMARY KEY)')
  await rawPool(database).query('INSERT INTO uniques VALUES (1)')
  const duplicate = await t.throwsAsync(rawPool(database).query('INSERT INTO uniques VALUES (1)'))
  const unknown = await t.throwsAsync(rawPool(database).query('INSERT INTO nowhere VALUES (1)'))
  t.true(isDuplicateKey(duplicate))
  t.false(isDuplicateKey(unknown))
})
