/** Purchases and the terms of their sale: before these are known, when they change, and after the sale was closed or withdrawn. */
import test from 'ava'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { closeAllocation, settleAllocation, takeTerms, withdrawAllocation } from './keep-allocation.ts'
import { settlePurchases, type PurchaseOutcome } from './settle-purchases.ts'
import {
  batchOf,
  brief,
  nextOrderNumber,
  oldOrderNumber,
  openSale,
  openTestDatabase,
  purchaseOf,
  saleOf,
  settleEffects,
  type TestDatabase,
} from './testing.ts'

let db: TestDatabase
test.before(async () => {
  db = await openTestDatabase()
})
test.after.always(() => db.close())

const fresh = () => settleEffects(db.store)

test('settling – an unknown activity: young purchases wait, old ones are rejected, neighbours are not held up', async (t) => {
  const unknown = saleOf()
  const known = await openSale(db.store)
  const old = purchaseOf('ann', 1, oldOrderNumber(600_001))
  const batches = [batchOf(unknown, purchaseOf('bob', 1, oldOrderNumber(590_000)), old), batchOf(known, purchaseOf())]
  t.deepEqual((await settlePurchases(batches, fresh())).map(brief), [
    ['not-yet', 'rejected: activity-unknown'],
    ['stored'],
  ])
  await openSale(db.store, unknown)
  t.deepEqual(brief((await settlePurchases([batches[0]!], fresh())).flat()), [
    'stored',
    'already-rejected: activity-unknown',
  ])
})

test('settling – two processes reject the same purchase of an unknown activity at once: one rejection', async (t) => {
  const batch = batchOf(saleOf(), purchaseOf('ann', 1, oldOrderNumber(700_000)))
  const both = await Promise.all([settlePurchases([batch], fresh()), settlePurchases([batch], fresh())])
  t.deepEqual(
    both
      .flat(2)
      .map(({ outcome }) => outcome)
      .sort(),
    ['already-rejected', 'rejected'],
  )
  t.is((await db.events(batch)).length, 1)
})

test('settling – an activity that becomes known while a purchase of it is rejected: never both order and rejection', async (t) => {
  const sale = saleOf()
  const batch = batchOf(sale, purchaseOf('ann', 1, oldOrderNumber(700_000)))
  let other: Promise<PurchaseOutcome[][]> | undefined
  const rejecting = {
    ...db.store,
    transaction: <T>(work: Parameters<typeof db.store.transaction<T>>[0]) =>
      db.store.transaction(async (tx) => {
        const result = await work(tx)
        // Decided and not committed: now the terms arrive, and the message comes again at another process.
        other ??= openSale(db.store, sale).then(() => settlePurchases([batch], fresh()))
        await Promise.race([other, new Promise((resolve) => setTimeout(resolve, 1_000))])
        return result
      }),
  }
  const first = await settlePurchases([batch], settleEffects(rejecting))
  const outcomes = [first, await other].flat(2).map((outcome) => outcome?.outcome)
  t.deepEqual(outcomes, ['rejected', 'already-rejected'])
  t.is((await db.orders(sale)).length, 0)
})

test('settling – a purchase rejected before its activity was known stays rejected when its message comes again', async (t) => {
  const sale = saleOf()
  const rejected = batchOf(sale, purchaseOf('ann', 1, oldOrderNumber(700_000)))
  t.deepEqual(brief((await settlePurchases([rejected], fresh())).flat()), ['rejected: activity-unknown'])
  await openSale(db.store, sale)
  const effects = fresh()
  await settlePurchases([batchOf(sale, purchaseOf())], effects)
  t.deepEqual(brief((await settlePurchases([rejected], effects)).flat()), ['already-rejected: activity-unknown'])
  t.is((await db.orders(sale)).length, 1)
})

test('settling – a purchase accepted before the close becomes an order; later ones only when the policy says so', async (t) => {
  const sale = await openSale(db.store)
  const closedAtMs = Date.now()
  await closeAllocation(
    { source: '/t', id: nextOrderNumber() },
    { ...sale, at: new Date(closedAtMs).toISOString() },
    { store: db.store, now: Date.now },
  )
  const before = purchaseOf('ann', 1, oldOrderNumber(5_000))
  const after = purchaseOf('bob', 1, orderNumbers(() => closedAtMs + 2_000)())
  const later = purchaseOf('cid', 1, orderNumbers(() => closedAtMs + 2_000)())
  const strict = settleEffects(db.store, { policy: { rejectAfterCloseMs: 1_000 } })
  t.deepEqual(brief((await settlePurchases([batchOf(sale, before, after)], strict)).flat()), [
    'stored',
    'rejected: activity-closed',
  ])
  t.deepEqual(brief((await settlePurchases([batchOf(sale, later)], fresh())).flat()), ['stored'])
})

test('settling – nothing is sold of a withdrawn activity, and not more than was sold of a settled one', async (t) => {
  const withdrawn = await openSale(db.store)
  const settled = await openSale(db.store, { stock: 10 })
  const effects = fresh()
  await settlePurchases([batchOf(withdrawn, purchaseOf()), batchOf(settled, purchaseOf())], effects)
  const at = new Date().toISOString()
  const context = { store: db.store, now: Date.now }
  await withdrawAllocation({ source: '/t', id: nextOrderNumber() }, { ...withdrawn, at }, context)
  await settleAllocation({ source: '/t', id: nextOrderNumber() }, { ...settled, at, allocated: 10, unsold: 9 }, context)
  // The process that has the old terms in memory must notice.
  t.deepEqual(
    (await settlePurchases([batchOf(withdrawn, purchaseOf()), batchOf(settled, purchaseOf())], effects)).map(brief),
    [['rejected: activity-closed'], ['rejected: allocation-exhausted']],
  )
})

test('settling – terms that changed are noticed: the new price counts at once', async (t) => {
  const sale = await openSale(db.store)
  const effects = fresh()
  await settlePurchases([batchOf(sale, purchaseOf())], effects)
  await openSale(db.store, { ...sale, priceCents: 500 })
  await settlePurchases([batchOf(sale, purchaseOf())], effects)
  t.deepEqual(
    (await db.orders(sale)).map((row) => row['amount_cents']),
    [1_999, 500],
  )
})

test('terms – an event counts once, sold stays, and the allocation never falls below it', async (t) => {
  const sale = await openSale(db.store, { stock: 10 })
  await settlePurchases([batchOf(sale, ...Array.from({ length: 6 }, () => purchaseOf()))], fresh())
  const lower = { source: '/functions/inventory', id: nextOrderNumber() }
  const context = { store: db.store, now: Date.now }
  await takeTerms(lower, { ...sale, stock: 4, priceCents: 7 }, context)
  const row = await db.allocation(sale)
  t.deepEqual([row['allocated'], row['sold'], Number(row['price_cents']), row['terms_version']], [6, 6, 7, 2])
  await takeTerms({ source: '/functions/inventory', id: nextOrderNumber() }, { ...sale, stock: 8 }, context)
  await takeTerms(lower, { ...sale, stock: 4 }, context)
  t.is((await db.allocation(sale))['allocated'], 8)
})
