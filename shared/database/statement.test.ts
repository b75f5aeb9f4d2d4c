import test from 'ava'
import { Problem } from '../http/problem.ts'
import { freshDatabase } from '../testing/services.ts'
import { changedOneRow, didNotHold, findsNothing } from './assertions.ts'
import { connectDatabase } from './connect.ts'
import { rawPool } from './raw.ts'
import { bindForTenant } from './sessions.ts'
import { declaredStatements, platformStatement, tenantStatement } from './statement.ts'

const columns = 'variant_id AS variantId, on_hand AS onHand'
const find = tenantStatement(
  'test.find',
  `SELECT ${columns} FROM stocks
   WHERE tenant_id = :tenantId AND variant_id = :variantId AND (:least IS NULL OR on_hand >= :least)`,
)
const findMany = tenantStatement(
  'test.findMany',
  'SELECT variant_id FROM stocks WHERE tenant_id = :tenantId AND variant_id IN (:variantIds) ORDER BY variant_id FOR UPDATE',
)
const put = tenantStatement(
  'test.put',
  `INSERT INTO stocks (tenant_id, variant_id, on_hand, at) VALUES (:tenantId, :variantId, :onHand, NOW(3))
   ON DUPLICATE KEY UPDATE on_hand = VALUES(on_hand)`,
)
const add = tenantStatement(
  'test.add',
  'UPDATE stocks SET on_hand = on_hand + :units WHERE tenant_id = :tenantId AND variant_id = :variantId',
)
const joined = tenantStatement(
  'test.joined',
  `SELECT a.variant_id FROM stocks a JOIN stocks b ON b.tenant_id = a.tenant_id AND b.variant_id = a.variant_id
   WHERE a.tenant_id = :tenantId UNION ALL SELECT '12:30' FROM stocks WHERE tenant_id = :tenantId`,
)
const sold = tenantStatement('test.sold', 'SELECT 1 FROM stocks WHERE tenant_id = :tenantId AND on_hand < 0')
const count = platformStatement('test.count', 'SELECT COUNT(*) AS n FROM stocks', 'counts what all tenants have')

const fresh = await freshDatabase()
const database = connectDatabase(fresh.url, { multipleStatements: true })
let tenants = 0
const newTenant = () => database.forTenant(`tenant-${++tenants}`)
test.before(async () => {
  await rawPool(database).query(`CREATE TABLE stocks (tenant_id VARCHAR(64) NOT NULL, variant_id VARCHAR(64) NOT NULL,
    on_hand INT NOT NULL, at DATETIME(3) NOT NULL, PRIMARY KEY (tenant_id, variant_id))`)
})
test.after.always(async () => {
  await database.close()
  await fresh.drop()
})

test('tenant statement – reads and writes rows of the tenant it is run for', async (t) => {
  const [one, other] = [newTenant(), newTenant()]
  await one.change(put, { variantId: 'p', onHand: 1 })
  await other.change(put, { variantId: 'p', onHand: 2 })
  t.is(await one.change(add, { variantId: 'p', units: 10 }), 1)
  t.like(await one.row(find, { variantId: 'p', least: null }), { variantId: 'p', onHand: 11 })
  t.like(await other.row(find, { variantId: 'p', least: null }), { variantId: 'p', onHand: 2 })
  t.is(await other.row(find, { variantId: 'p', least: 3 }), undefined)
  t.is((await one.rows(joined, {})).length, 2)
})

test('tenant statement – the tenant cannot come with the values', async (t) => {
  const [one, other] = [newTenant(), newTenant()]
  await one.change(put, { variantId: 'p', onHand: 1 })
  const values = { variantId: 'p', least: null, tenantId: one.tenantId }
  t.is(await other.row(find, values), undefined)
})

test('tenant statement – belongs to its tenant in a transaction, too', async (t) => {
  const [one, other] = [newTenant(), newTenant()]
  await database.transaction(async (tx) => {
    await tx.forTenant(one.tenantId).change(put, { variantId: 'p', onHand: 1 })
    await tx.forTenant(other.tenantId).change(put, { variantId: 'p', onHand: 2 })
    t.is(await tx.forTenant(one.tenantId).change(add, { variantId: 'p', units: 1 }), 1)
  })
  t.like(await one.row(find, { variantId: 'p', least: null }), { onHand: 2 })
})

test('tenant statement – an INSERT takes many rows, an IN many values', async (t) => {
  const tenant = newTenant()
  const variantIds = ["a'b", 'c\\', '; DROP TABLE stocks', ':least', '12:30']
  t.is(
    await tenant.changeAll(
      put,
      variantIds.map((variantId, onHand) => ({ variantId, onHand })),
    ),
    5,
  )
  t.is((await tenant.rows(findMany, { variantIds })).length, 5)
  t.like(await tenant.row(find, { variantId: 'c\\', least: null }), { variantId: 'c\\', onHand: 1 })
  t.is(await tenant.changeAll(put, []), 0)
})

test('tenant statement – values that would be something else by accident are refused', async (t) => {
  const tenant = newTenant()
  const values = (variantId: unknown) => ({ variantId: variantId as string, least: null })
  await t.throwsAsync(tenant.row(find, values(undefined)), { message: /test.find: variantId is not a value/ })
  await t.throwsAsync(tenant.row(find, values({ variant_id: 1 })), { message: /not a value/ })
  await t.throwsAsync(tenant.row(find, values(['a', 'b'])), { message: /not a value/ })
  await t.throwsAsync(tenant.row(find, values(Number.NaN)), { message: /not a number/ })
  await t.throwsAsync(tenant.rows(findMany, { variantIds: [] }), { message: /empty list/ })
  for (const tenantId of ['', 'a b', "a' OR '1' = '1", 'x'.repeat(65)])
    t.throws(() => database.forTenant(tenantId), { message: /a tenant id has/ })
})

test('platform statement – is run by the platform only, and says why it crosses tenants', async (t) => {
  t.true(Number((await database.forPlatform().row(count, {}))?.['n']) >= 0)
  t.throws(() => platformStatement('test.silent', 'SELECT 1', ''), { message: /does not say why/ })
  await t.throwsAsync(newTenant().rows(count as never, {}), { message: /is a statement of the platform/ })
  await t.throwsAsync(database.forPlatform().rows(joined as never, {}), { message: /is a statement of the tenant/ })
})

test('statements – a database that is not there is a Problem, outside of transactions, too', async (t) => {
  const nowhere = connectDatabase('mysql://nobody:nothing@127.0.0.1:9/nothing')
  t.teardown(() => nowhere.close())
  const asked = nowhere.forTenant('acme').row(find, { variantId: 'p', least: null })
  await t.throwsAsync(asked, { instanceOf: Problem, message: /does not answer/ })
})

test('statements – are declared once by a name', (t) => {
  t.true(declaredStatements().includes(find))
  t.throws(() => tenantStatement('test.find', 'SELECT 1 FROM stocks WHERE tenant_id = :tenantId'), {
    message: /two statements/,
  })
  t.throws(() => platformStatement('test.two', 'SELECT 1; SELECT 2', 'tries two at once'), { message: /one statement/ })
})

test('transaction at once – holds or leaves nothing behind', async (t) => {
  const tenant = newTenant()
  const { bind, bindAll } = bindForTenant(tenant.tenantId)
  await database.transactionAtOnce([
    bindAll(put, [
      { variantId: 'p', onHand: 1 },
      { variantId: 'q', onHand: 1 },
    ]),
    bind(add, { variantId: 'p', units: 1 }),
    changedOneRow,
    findsNothing(bind(sold, {})),
  ])
  const notHeld = [
    [bind(add, { variantId: 'p', units: 1 }), bind(add, { variantId: 'unknown', units: 1 }), changedOneRow],
    [bind(add, { variantId: 'p', units: -5 }), findsNothing(bind(sold, {}))],
  ]
  for (const statements of notHeld)
    t.true(didNotHold(await t.throwsAsync(database.transactionAtOnce(statements))), statements[0])
  t.like(await tenant.row(find, { variantId: 'p', least: null }), { onHand: 2 })
})

test('types – a statement without its tenant does not compile', (t) => {
  const refused = () => {
    // @ts-expect-error -- a SELECT of all tenants
    tenantStatement('x', 'SELECT 1 FROM stocks WHERE variant_id = :variantId')
    // @ts-expect-error -- everything
    tenantStatement('x', 'DELETE FROM stocks')
    // @ts-expect-error -- the tenant of somebody
    tenantStatement('x', 'DELETE FROM stocks WHERE tenant_id = :tenantIdOfSomebody')
    // @ts-expect-error -- open to everybody
    tenantStatement('x', 'DELETE FROM stocks WHERE tenant_id = :tenantId OR on_hand = 0')
    // @ts-expect-error -- the tenant is not the first condition
    tenantStatement('x', 'DELETE FROM stocks WHERE on_hand = 0 OR tenant_id = :tenantId')
    // @ts-expect-error -- the second SELECT
    tenantStatement('x', 'SELECT 1 FROM a WHERE tenant_id = :tenantId UNION SELECT 1 FROM b')
    // @ts-expect-error -- the inner SELECT
    tenantStatement('x', 'SELECT 1 FROM a WHERE tenant_id = :tenantId AND id IN (SELECT id FROM b)')
    // @ts-expect-error -- the joined table
    tenantStatement('x', 'SELECT 1 FROM a JOIN b ON b.id = a.id WHERE a.tenant_id = :tenantId')
    // @ts-expect-error -- a table that is joined by a comma
    tenantStatement('x', 'SELECT 1 FROM a, b WHERE a.tenant_id = :tenantId')
    // @ts-expect-error -- an INSERT without a tenant
    tenantStatement('x', 'INSERT INTO a (id) VALUES (:id)')
    // @ts-expect-error -- an INSERT for another tenant
    tenantStatement('x', 'INSERT INTO a (tenant_id, id) VALUES (:other, :id)')
    // @ts-expect-error -- an UPDATE of all tenants
    tenantStatement('x', 'UPDATE a SET on_hand = 1 WHERE id = :id')
    // @ts-expect-error -- no statement of rows
    tenantStatement('x', 'TRUNCATE a')
    // @ts-expect-error -- not a literal
    tenantStatement('x', 'SELECT 1 FROM a WHERE tenant_id = :tenantId' as string)
  }
  t.is(typeof refused, 'function')
})

test('types – values have to be those of the statement', (t) => {
  const refused = () => {
    const tenant = newTenant()
    // @ts-expect-error -- a value is missing
    void tenant.row(find, { variantId: 'p' })
    // @ts-expect-error -- undefined is no value
    void tenant.row(find, { variantId: 'p', least: undefined })
    // @ts-expect-error -- nobody else says which tenant
    void tenant.row(find, { variantId: 'p', least: null, tenantId: 'other' })
    // @ts-expect-error -- not a list
    void tenant.rows(findMany, { variantIds: 'p' })
    // @ts-expect-error -- a statement of the platform
    void tenant.rows(count, {})
    // @ts-expect-error -- a statement of a tenant
    void database.forPlatform().rows(joined, {})
    // @ts-expect-error -- only bound statements
    void database.transactionAtOnce(['DELETE FROM stocks'])
  }
  t.is(typeof refused, 'function')
})
