import test from 'ava'
import { connectDatabase } from '../database/connect.ts'
import { rawPool } from '../database/raw.ts'
import { Problem } from '../http/problem.ts'
import { freshDatabase } from '../testing/services.ts'
import { createInbox } from './inbox.ts'

const fresh = await freshDatabase()
const database = connectDatabase(fresh.url)
test.before(async () => {
  await rawPool(database).query(`CREATE TABLE test_inbox (
    source VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    received_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    PRIMARY KEY (source, id), KEY test_inbox_received (received_at))`)
})
test.after.always(async () => {
  await database.close()
  await fresh.drop()
})
const inbox = createInbox('test_inbox')
const enter = (source: string, id: string) => database.transaction((tx) => inbox.firstTime(tx, { source, id }))

test('inbox – an event is new once for its source and id', async (t) => {
  t.true(await enter('/a', 'once-1'))
  t.false(await enter('/a', 'once-1'))
  t.true(await enter('/b', 'once-1'))
  t.true(await enter('/a', 'ONCE-1'))
})

test('inbox – the transaction goes on after a repeat', async (t) => {
  await enter('/a', 'repeat-1')
  const seen = await database.transaction(async (tx) => [
    await inbox.firstTime(tx, { source: '/a', id: 'repeat-1' }),
    await inbox.firstTime(tx, { source: '/a', id: 'repeat-2' }),
  ])
  t.deepEqual(seen, [false, true])
  t.false(await enter('/a', 'repeat-2'))
})

test('inbox – a rollback forgets the event', async (t) => {
  await t.throwsAsync(
    database.transaction(async (tx) => {
      await inbox.firstTime(tx, { source: '/a', id: 'rolled-1' })
      throw new Error('no')
    }),
  )
  t.true(await enter('/a', 'rolled-1'))
})

test('inbox – of many deliveries at once exactly one is the first', async (t) => {
  const answers = await Promise.all(Array.from({ length: 20 }, () => enter('/a', 'parallel-1')))
  t.is(answers.filter(Boolean).length, 1)
})

test('inbox – an id that does not fit is the fault of the event', async (t) => {
  const problem = await t.throwsAsync<Problem>(enter('/a', 'x'.repeat(256)), { instanceOf: Problem })
  t.is(problem?.status, 400)
})

test('inbox – prune deletes what is older and keeps the rest', async (t) => {
  await enter('/prune', 'young')
  await rawPool(database)
    .query(`INSERT INTO test_inbox SELECT '/prune', CONCAT('old-', seq), UTC_TIMESTAMP(3) - INTERVAL 2 DAY FROM (
    SELECT (a.n + b.n * 10 + c.n * 100 + d.n * 1000) AS seq FROM ${['a', 'b', 'c']
      .map(
        (alias) =>
          `(SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) ${alias}`,
      )
      .join(', ')}, (SELECT 0 n UNION SELECT 1 UNION SELECT 2) d) numbers`)
  t.is(await inbox.prune(database, 86_400_000), 3_000)
  t.false(await enter('/prune', 'young'))
  t.true(await enter('/prune', 'old-7'))
})

test('inbox – a table name that is not one is refused', (t) => {
  t.throws(() => createInbox('x; DROP TABLE y'), { message: /not a table name/ })
})
