/** Rows of another tenant are out of reach for every statement of every function (SEC1). How it is proven: `shared/testing/tenant-proof`. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import type { Migration } from '@stampede/shared/database/migrate.ts'
import { declaredStatements, tenantStatement, type TenantStatement } from '@stampede/shared/database/statement.ts'
import { openTenantProof, type TenantProof } from '@stampede/shared/testing/tenant-proof/prove.ts'
import { everyFunction } from './index.ts'

const root = import.meta.dirname
const owners = everyFunction.map(({ name }) => name).filter((name) => existsSync(join(root, name, 'migrations')))

// Stores that only a command uses declare their statements when they are loaded, too.
for (const owner of owners) {
  for (const file of readdirSync(join(root, owner), { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || file.startsWith('dist') || /\.(test|fixture)\.ts$/.test(file)) continue
    if (/Statement\(/.test(readFileSync(join(root, owner, file), 'utf8'))) await import(join(root, owner, file))
  }
}
const isTenants = (statement: { kind: string }): statement is TenantStatement => statement.kind === 'tenant'
const statements = declaredStatements().filter(isTenants)
const ownerOf = (name: string) => name.slice(0, name.indexOf('.'))

/** Ids that are unique over all tenants, because the platform makes them; the tenant is a condition beside them. */
const globalIds = ['order_number']

let proof: TenantProof
test.before(async (t) => {
  t.timeout(300_000)
  const functions = await Promise.all(
    owners.map(async (name) => {
      const { migrations } = (await import(`./${name}/generated/migrations.ts`)) as { migrations: readonly Migration[] }
      return { name, migrations }
    }),
  )
  proof = await openTenantProof({
    functions,
    statements,
    globalIds,
    rows: { order_allocations: { allocated: 1_000 } },
    parameters: {
      'inventory.saveStock': { version: (found) => Number(found) + 1 },
      'order.overLimit': { perUserLimit: 0 },
    },
  })
})
test.after.always(() => proof?.close())

for (const owner of owners) {
  const own = statements.filter(({ name }) => ownerOf(name) === owner)
  test.serial(`${owner} – ${own.length} statements reach rows of their tenant only`, async (t) => {
    t.timeout(600_000)
    const complaints: Record<string, string[]> = {}
    for (const statement of own) {
      const found = await proof.prove(statement).catch((error: unknown) => [String(error)])
      if (found.length > 0) complaints[statement.name] = found
    }
    t.deepEqual(complaints, {})
    t.true(own.length > 0)
  })
}

// Statements that go around the compiler, each in a way in which one could be wrong.
const wrong = {
  'reads everything': 'SELECT variant_id, on_hand FROM inventory_stocks WHERE variant_id = :variantId',
  'counts everything': 'SELECT COUNT(*) AS stocks FROM inventory_stocks',
  'is open behind an OR': `SELECT variant_id FROM inventory_stocks
    WHERE tenant_id = :tenantId AND variant_id = :variantId OR variant_id > :variantId`,
  'joins without the tenant': `SELECT a.variant_id FROM inventory_stocks a JOIN inventory_reservations b ON b.variant_id = a.variant_id
    WHERE a.tenant_id = :tenantId`,
  'reads of others inside': `SELECT variant_id FROM inventory_stocks WHERE tenant_id = :tenantId AND variant_id IN
    (SELECT variant_id FROM inventory_reservations WHERE quantity > :least)`,
  'changes everything': 'UPDATE inventory_stocks SET low_stock_threshold = 1 WHERE variant_id = :variantId',
  'deletes everything': 'DELETE FROM inventory_reservations WHERE reservation_id = :reservationId',
  'changes what it collides with': `INSERT INTO order_orders (tenant_id, order_number, activity_id, user_id, quantity, amount_cents,
     currency, accepted_at, created_at, pay_by)
    VALUES (:tenantId, :orderNumber, :activityId, :userId, 1, 1, 'EUR', NOW(), NOW(), NOW())
    ON DUPLICATE KEY UPDATE user_id = VALUES(user_id)`,
  'reads of another whom it is told': 'SELECT variant_id FROM inventory_stocks WHERE tenant_id = :ofTenantId',
  'never does anything': 'SELECT variant_id FROM inventory_stocks WHERE tenant_id = :tenantId AND 1 = 2',
  'cannot be tried':
    'SELECT variant_id FROM inventory_stocks WHERE tenant_id = :tenantId AND MOD(on_hand, :something) = 0',
}
for (const [what, sql] of Object.entries(wrong)) {
  test.serial(`proof – a statement that ${what} does not pass`, async (t) => {
    const found = await proof.prove(tenantStatement(`wrong.${what}`, sql as never))
    t.true(found.length > 0)
    t.log(found[0])
  })
}

test.serial('tables – their keys hold the tenant, or an id that is unique over all tenants', (t) => {
  const without = proof.tables.flatMap((table) =>
    table.keys
      .filter(({ columns }) => !columns.includes('tenant_id'))
      .filter(({ columns }) => !table.columns.some(({ name, increments }) => increments && columns.join() === name))
      .map(({ columns }) => `${table.name} (${columns.join(', ')})`),
  )
  t.deepEqual(without, [
    'order_orders (order_number)',
    'order_rejections (order_number)',
    'order_transitions (order_number, version)',
  ])
})

test.serial('tables – those without a tenant are known', (t) => {
  t.deepEqual(
    proof.tablesOfPlatform.filter((table) => !/^[a-z]+_(in|out)box$/.test(table)),
    ['auth_signing_guard', 'auth_signing_keys', 'schema_migrations'],
  )
})

// MariaDB takes these as names, MySQL 9 does not: its `information_schema.KEYWORDS`, less what MariaDB refuses as well.
const reservedByMySql = new Set(
  `cube cume_dist database dense_rank empty external first_value function generated get grouping groups io_after_gtids io_before_gtids
   json_table lag last_value lateral lead library nth_value ntile of optimizer_costs option percent_rank qualify rank row schema stored
   system tablesample virtual`.split(/\s+/),
)
/** Bare words that are no call and no parameter. */
const namesIn = (sql: string): string[] =>
  sql.replaceAll(/'[^']*'|`[^`]*`|:\w+/g, ' ').match(/\b[a-z_]\w*\b(?!\s*\()/gi) ?? []

test('statements – use no word as a name that MySQL reserves', (t) => {
  const found = declaredStatements()
    .filter(({ name }) => !name.startsWith('wrong.'))
    .flatMap(({ name, sql }) =>
      namesIn(sql)
        .filter((word) => reservedByMySql.has(word.toLowerCase()))
        .map((word) => `${name}: ${word}`),
    )
  t.deepEqual(found, [])
  t.deepEqual(
    namesIn("SELECT `rank`, RANK() OVER w FROM a stored WHERE b = 'row' AND c = :empty").filter((word) =>
      reservedByMySql.has(word.toLowerCase()),
    ),
    ['stored'],
  )
})

test('platform statements – are known, and each says why it crosses tenants', (t) => {
  const platform = declaredStatements().filter(({ kind }) => kind === 'platform')
  t.true(platform.every(({ reason }) => reason.length > 20))
  t.deepEqual(
    platform
      .map(({ name }) => name)
      .filter((name) => !/^[a-z]+_(in|out)box\./.test(name))
      .sort(),
    [
      'activity.listForClock',
      'activity.nextStart',
      'audit.selectGrown',
      'audit.selectTenants',
      'auth.contactsOfOldKeys',
      'auth.deleteHiddenKeys',
      'auth.dueNotices',
      'auth.hideKey',
      'auth.insertKey',
      'auth.listKeys',
      'auth.lockKeys',
      'auth.nextNotice',
      'auth.recordsOfOldKeys',
      'auth.revokedSince',
      'auth.rewriteKey',
      'auth.sweepCodes',
      'auth.sweepCounters',
      'auth.sweepRecords',
      'auth.sweepRefreshTokens',
      'auth.sweepSessions',
      'inventory.dueForWarmUp',
      'inventory.nextStart',
      'notification.oldestMessage',
      'notification.sweepMessages',
      'order.findOverdue',
      'order.nextDeadline',
      'permission.listChangedUsers',
      'permission.listTenantsWithRoles',
      'reconciliation.pruneQuietRuns',
      'reconciliation.watchedSales',
      'tenant.list',
      'user.countDataKeys',
      'user.countIndexKeys',
      'user.selectByDataKey',
      'user.selectByIndexKey',
      'user.selectErasureDue',
      'user.selectNextErasure',
      'user.selectStateChanges',
    ],
  )
})

test('functions – speak to the database by declared statements only', (t) => {
  const found = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !/(^|\/)(dist|node_modules)\//.test(file))
    .filter((file) => !/(\.test|\.fixture|(^|\/)testing)\.ts$/.test(file))
    .filter((file) => /from '(mysql2[^']*|[^']*\/database\/raw\.ts)'/.test(readFileSync(join(root, file), 'utf8')))
  t.deepEqual(found, [])
})
