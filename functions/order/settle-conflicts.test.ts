/** Settling when something is in the way: an order number of somebody else, another writer, a connection that breaks. */
import test from 'ava'
import { Registry } from 'prom-client'
import type { OrderStore } from './effects.ts'
import { createOrderWriter } from './order-writer.ts'
import { settlePurchases } from './settle-purchases.ts'
import { createOrderStore } from './store.ts'
import { batchOf, brief, openSale, openTestDatabase, purchaseOf, settleEffects, type TestDatabase } from './testing.ts'

let db: TestDatabase
test.before(async () => {
  db = await openTestDatabase()
})
test.after.always(() => db.close())

const fresh = () => settleEffects(db.store)

test('settling – an order number of another purchase is refused and leaves everything as it was', async (t) => {
  const sale = await openSale(db.store)
  const first = purchaseOf('ann')
  await settlePurchases([batchOf(sale, first)], fresh())
  const stolen = { ...purchaseOf('eve'), orderNumber: first.orderNumber }
  t.deepEqual(brief((await settlePurchases([batchOf(sale, stolen, purchaseOf())], fresh())).flat()), [
    'conflicting',
    'stored',
  ])
  t.is((await db.allocation(sale))['sold'], 2)
})

test('settling – an order number of another tenant fails its delivery alone', async (t) => {
  const sale = await openSale(db.store)
  const foreign = await openSale(db.store)
  const first = purchaseOf('ann')
  const writer = createOrderWriter({ store: db.store, metrics: new Registry() })
  await writer.settle(batchOf(sale, first))
  const [bad, good] = await Promise.allSettled([
    writer.settle(batchOf(foreign, { ...purchaseOf('eve'), orderNumber: first.orderNumber })),
    writer.settle(batchOf(foreign, purchaseOf())),
  ])
  t.true(bad.status === 'rejected' && db.store.isDuplicate(bad.reason))
  t.is(good.status, 'fulfilled')
  t.is((await db.allocation(foreign))['sold'], 1)
  t.is((await db.allocation(sale))['sold'], 1)
})

test('settling – two writers with the same and with different messages at once: nothing twice, nothing oversold', async (t) => {
  const sale = await openSale(db.store, { stock: 150, perUserLimit: 2 })
  const users = Array.from({ length: 60 }, (_, index) => `user-${index}`)
  const batches = Array.from({ length: 40 }, (_, index) =>
    batchOf(
      sale,
      ...Array.from({ length: 5 }, (_, position) => purchaseOf(users[(index * 7 + position * 13) % users.length])),
    ),
  )
  const writers = [0, 1].map(() =>
    createOrderWriter({ store: createOrderStore(db.database), metrics: new Registry(), maximumGroup: 25 }),
  )
  const outcomes = (await Promise.all(writers.flatMap((writer) => batches.map((batch) => writer.settle(batch))))).flat()
  const counts = Map.groupBy(outcomes, ({ outcome }) => outcome)
  const stored = counts.get('stored')?.length ?? 0
  const rejected = counts.get('rejected')?.length ?? 0
  t.is(stored + rejected, 200)
  t.is(counts.get('already-stored')?.length, stored)
  t.is(counts.get('already-rejected')?.length, rejected)
  const rows = await db.orders(sale)
  t.is(rows.length, stored)
  t.is((await db.allocation(sale))['sold'], stored)
  // 60 buyers with at most 2 each: the limits bind before the stock does.
  t.is(stored, 120)
  for (const ofUser of Map.groupBy(rows, (row) => row['user_id']).values()) t.true(ofUser.length <= 2)
  const announced = (await db.events(sale)).flatMap(({ data }) => data.orders.length)
  t.is(
    announced.reduce((sum, count) => sum + count, 0),
    200,
  )
})

for (const path of ['at once', 'one by one'] as const) {
  test(`settling – the connection breaks after the commit, before the answer, ${path}: the redelivery finds the orders`, async (t) => {
    const sale = await openSale(db.store)
    const batch = batchOf(sale, purchaseOf(), purchaseOf())
    const known = settleEffects(db.store)
    if (path === 'at once') await settlePurchases([batchOf(sale, purchaseOf())], known)
    const dies = () => {
      throw new Error('the process died')
    }
    const crashing: OrderStore = {
      ...db.store,
      storeAtOnce: (...group) => db.store.storeAtOnce(...group).then((stored) => (stored ? dies() : false)),
      transaction: (work) => db.store.transaction(work).then(path === 'at once' ? (result) => result : dies),
    }
    await t.throwsAsync(settlePurchases([batch], { ...known, store: crashing }), { message: 'the process died' })
    t.deepEqual(brief((await settlePurchases([batch], fresh())).flat()), ['already-stored', 'already-stored'])
    const before = path === 'at once' ? 1 : 0
    t.is((await db.allocation(sale))['sold'], before + 2)
    t.is((await db.events(sale)).length, before + 1)
  })
}
