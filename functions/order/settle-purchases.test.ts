import test from 'ava'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { cancelOwnOrder } from './cancel-order.ts'
import { closeAllocation, settleAllocation, takeTerms, withdrawAllocation } from './keep-allocation.ts'
import { createOrderWriter } from './order-writer.ts'
import { Registry } from 'prom-client'
import { settlePurchases, type PurchaseOutcome } from './settle-purchases.ts'
import type { OrderStore } from './effects.ts'
import { createOrderStore } from './store.ts'
import {
  batchOf,
  nextOrderNumber,
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

const brief = (outcomes: readonly PurchaseOutcome[]) =>
  outcomes.map((outcome) => ('reason' in outcome ? `${outcome.outcome}: ${outcome.reason}` : outcome.outcome))
const fresh = () => settleEffects(db.store)
const oldOrderNumber = (ageMs: number) => orderNumbers(() => Date.now() - ageMs)()

test('settling – purchases become orders with the terms of the sale, with their event, in one transaction', async (t) => {
  const sale = await openSale(db.store, { paymentTimeoutSeconds: 600 })
  const effects = settleEffects(db.store, { now: () => Date.parse('2030-06-01T12:00:00.123Z') })
  const one = purchaseOf('user-1', 2)
  const other = purchaseOf('user-2', 1)
  for (const purchases of [[one], [other]]) {
    // The first goes the careful path (no terms in memory), the second the direct one.
    t.deepEqual(brief((await settlePurchases([batchOf(sale, ...purchases)], effects)).flat()), ['stored'])
  }
  const rows = await db.orders(sale)
  t.deepEqual(
    rows.map((row) => [
      row['order_number'],
      row['user_id'],
      row['quantity'],
      row['amount_cents'],
      row['currency'],
      row['state'],
      row['version'],
    ]),
    [
      [one.orderNumber, 'user-1', 2, 3_998, 'EUR', 'pending-payment', 1],
      [other.orderNumber, 'user-2', 1, 1_999, 'EUR', 'pending-payment', 1],
    ],
  )
  for (const row of rows) {
    t.is(row['created_at'].toISOString(), '2030-06-01T12:00:00.123Z')
    t.is(row['pay_by'].toISOString(), '2030-06-01T12:10:00.123Z')
  }
  t.is((await db.allocation(sale))['sold'], 3)
  const events = await db.events(sale)
  t.deepEqual(
    events.map(({ verb, data }) => [verb, data.orders]),
    [
      [
        'created',
        [
          {
            orderNumber: one.orderNumber,
            userId: 'user-1',
            quantity: 2,
            amountCents: 3_998,
            currency: 'EUR',
            payBy: '2030-06-01T12:10:00.123Z',
          },
        ],
      ],
      [
        'created',
        [
          {
            orderNumber: other.orderNumber,
            userId: 'user-2',
            quantity: 1,
            amountCents: 1_999,
            currency: 'EUR',
            payBy: '2030-06-01T12:10:00.123Z',
          },
        ],
      ],
    ],
  )
})

test('settling – the same message again changes nothing, on both paths and inside one group', async (t) => {
  const sale = await openSale(db.store)
  const batch = batchOf(sale, purchaseOf(), purchaseOf())
  const effects = fresh()
  t.deepEqual((await settlePurchases([batch, batch], effects)).map(brief), [
    ['stored', 'stored'],
    ['already-stored', 'already-stored'],
  ])
  t.deepEqual(brief((await settlePurchases([batch], effects)).flat()), ['already-stored', 'already-stored'])
  t.deepEqual(brief((await settlePurchases([batch], fresh())).flat()), ['already-stored', 'already-stored'])
  t.is((await db.allocation(sale))['sold'], 2)
  t.is((await db.events(sale)).length, 1)
})

test('settling – new purchases beside a repeated one are stored', async (t) => {
  const sale = await openSale(db.store)
  const effects = fresh()
  const first = purchaseOf()
  await settlePurchases([batchOf(sale, first)], effects)
  t.deepEqual(brief((await settlePurchases([batchOf(sale, purchaseOf(), first, purchaseOf())], effects)).flat()), [
    'stored',
    'already-stored',
    'stored',
  ])
  t.is((await db.allocation(sale))['sold'], 3)
})

test('settling – an allocation that ends in the middle of a batch: exactly the rest is rejected, with events, once', async (t) => {
  const sale = await openSale(db.store, { stock: 3 })
  const effects = fresh()
  await settlePurchases([batchOf(sale, purchaseOf())], effects)
  const big = purchaseOf('user-big', 2)
  const batch = batchOf(sale, purchaseOf(), big, purchaseOf(), purchaseOf())
  const decided = ['stored', 'rejected: allocation-exhausted', 'stored', 'rejected: allocation-exhausted']
  t.deepEqual(brief((await settlePurchases([batch], effects)).flat()), decided)
  t.deepEqual(
    brief((await settlePurchases([batch], effects)).flat()),
    decided.map((outcome) => `already-${outcome}`),
  )
  const allocation = await db.allocation(sale)
  t.deepEqual([allocation['sold'], allocation['allocated']], [3, 3])
  const rejected = (await db.events(sale)).filter(({ verb }) => verb === 'rejected')
  t.is(rejected.length, 1)
  t.deepEqual(rejected[0]?.data.orders[0], {
    orderNumber: big.orderNumber,
    userId: 'user-big',
    quantity: 2,
    reason: 'allocation-exhausted',
  })
})

test('settling – a rejected purchase stays rejected when it comes again after stock was freed', async (t) => {
  const sale = await openSale(db.store, { stock: 1 })
  const effects = fresh()
  const rejected = purchaseOf()
  const first = purchaseOf('ann')
  t.deepEqual(brief((await settlePurchases([batchOf(sale, first, rejected)], effects)).flat()), [
    'stored',
    'rejected: allocation-exhausted',
  ])
  await cancelOwnOrder(
    { tenantId: sale.tenantId, userId: 'ann', orderNumber: first.orderNumber },
    { store: db.store, now: Date.now },
  )
  t.is((await db.allocation(sale))['sold'], 0)
  // Twice: the second time with the terms that the first has read, so that it is tried without looking first.
  for (let time = 1; time <= 2; time++) {
    t.deepEqual(brief((await settlePurchases([batchOf(sale, rejected)], effects)).flat()), [
      'already-rejected: allocation-exhausted',
    ])
  }
  t.is((await db.allocation(sale))['sold'], 0)
})

test('settling – the limit of a buyer counts live orders, over batches and inside one', async (t) => {
  const sale = await openSale(db.store, { perUserLimit: 2 })
  const effects = fresh()
  t.deepEqual(
    brief((await settlePurchases([batchOf(sale, purchaseOf('ann'), purchaseOf('bob', 2))], effects)).flat()),
    ['stored', 'stored'],
  )
  // Direct path: stored first, then seen to be too many, rolled back, decided one by one.
  const batch = batchOf(sale, purchaseOf('ann'), purchaseOf('ann'), purchaseOf('bob'), purchaseOf('cid', 2))
  t.deepEqual(brief((await settlePurchases([batch], effects)).flat()), [
    'stored',
    'rejected: over-limit',
    'rejected: over-limit',
    'stored',
  ])
  t.is((await db.allocation(sale))['sold'], 6)
  await db.rows("UPDATE order_orders SET state = 'cancelled' WHERE tenant_id = ? AND user_id = 'bob'", [sale.tenantId])
  t.deepEqual(brief((await settlePurchases([batchOf(sale, purchaseOf('bob', 2))], effects)).flat()), ['stored'])
})

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
