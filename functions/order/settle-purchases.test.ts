/** Accepted purchases become orders, or are rejected, once each: stock, limits of buyers and messages that come again. */
import test from 'ava'
import { cancelOwnOrder } from './cancel-order.ts'
import { settlePurchases } from './settle-purchases.ts'
import { batchOf, brief, openSale, openTestDatabase, purchaseOf, settleEffects, type TestDatabase } from './testing.ts'

let db: TestDatabase
test.before(async () => {
  db = await openTestDatabase()
})
test.after.always(() => db.close())

const fresh = () => settleEffects(db.store)

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
