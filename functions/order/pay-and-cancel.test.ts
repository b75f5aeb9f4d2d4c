import test from 'ava'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { cancelOverdue, cancelOwnOrder } from './cancel-order.ts'
import { payOrder, type ReceivedPayment } from './pay-order.ts'
import { settlePurchases } from './settle-purchases.ts'
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

const nowMs = Date.now()
const timeoutMs = 900_000
const atStart = () => ({ store: db.store, now: () => nowMs })
const paying = () => ({ ...atStart(), unknownOrderGraceMs: 600_000 })
/** Cancels what is overdue of all tests so far: that is why they run one after the other. */
const afterTimeout = () => ({ store: db.store, now: () => nowMs + timeoutMs + 1 })

async function storedOrder(quantity = 1, changes: Parameters<typeof openSale>[1] = {}) {
  const sale = await openSale(db.store, changes)
  const purchase = purchaseOf('ann', quantity)
  await settlePurchases([batchOf(sale, purchase)], settleEffects(db.store, { now: () => nowMs }))
  const payment: ReceivedPayment = {
    tenantId: sale.tenantId,
    paymentId: `payment-${nextOrderNumber()}`,
    orderNumber: purchase.orderNumber,
    amountCents: 1_999 * quantity,
    currency: 'EUR',
    paidAtMs: nowMs + 1_000,
  }
  const state = async () => {
    const [row] = await db.orders(sale)
    return { state: row?.['state'], sold: (await db.allocation(sale))['sold'], version: row?.['version'] }
  }
  const verbs = async () =>
    (await db.events(sale)).map(({ verb, data }) =>
      typeof data['reason'] === 'string' ? `${verb}: ${data['reason']}` : verb,
    )
  return { sale, purchase, payment, state, verbs }
}

test.serial('payment – pays a waiting order once, however often it is told, also at the same time', async (t) => {
  const { sale, payment, state, verbs } = await storedOrder(2)
  const results = await Promise.all([1, 2, 3].map(() => payOrder(payment, paying())))
  t.deepEqual(results.map(({ outcome, repeated }) => `${outcome} ${repeated}`).sort(), [
    'paid false',
    'paid true',
    'paid true',
  ])
  t.deepEqual(await state(), { state: 'paid', sold: 2, version: 2 })
  t.deepEqual(await verbs(), ['created', 'paid'])
  const [row] = await db.orders(sale)
  t.is(row?.['payment_id'], payment.paymentId)
  t.is(row?.['paid_at'].getTime(), payment.paidAtMs)
  const paid = (await db.events(sale)).at(-1)?.data
  t.like(paid, {
    amountCents: 3_998,
    currency: 'EUR',
    quantity: 2,
    userId: 'ann',
    paidAt: new Date(payment.paidAtMs).toISOString(),
  })
})

test.serial('payment – another amount or currency goes back, and the order still waits', async (t) => {
  const { payment, state, verbs } = await storedOrder()
  t.is((await payOrder({ ...payment, amountCents: 1 }, paying())).outcome, 'amount-differs')
  t.is((await payOrder({ ...payment, paymentId: 'other', currency: 'USD' }, paying())).outcome, 'amount-differs')
  t.deepEqual(await state(), { state: 'pending-payment', sold: 1, version: 1 })
  t.deepEqual(await verbs(), ['created', 'refund-requested: amount-differs', 'refund-requested: amount-differs'])
})

test.serial('payment – a second payment of a paid order goes back', async (t) => {
  const { payment, state, verbs } = await storedOrder()
  await payOrder(payment, paying())
  t.is((await payOrder({ ...payment, paymentId: 'second' }, paying())).outcome, 'paid-twice')
  t.deepEqual(await state(), { state: 'paid', sold: 1, version: 2 })
  t.deepEqual(await verbs(), ['created', 'paid', 'refund-requested: paid-twice'])
})

test.serial('payment – after the cancellation it goes back, once, and the order stays cancelled', async (t) => {
  const { payment, state, verbs } = await storedOrder()
  await cancelOverdue(afterTimeout())
  const results = [await payOrder(payment, paying()), await payOrder(payment, paying())]
  t.deepEqual(results, [
    { outcome: 'paid-after-cancellation', repeated: false },
    { outcome: 'paid-after-cancellation', repeated: true },
  ])
  t.deepEqual(await state(), { state: 'cancelled', sold: 0, version: 2 })
  t.deepEqual(await verbs(), ['created', 'cancelled', 'refund-requested: paid-after-cancellation'])
})

test.serial('payment – for a rejected purchase it goes back', async (t) => {
  const sale = saleOf()
  const orderNumber = orderNumbers(() => nowMs - 700_000)()
  await settlePurchases([batchOf(sale, purchaseOf('ann', 1, orderNumber))], settleEffects(db.store))
  const payment = {
    tenantId: sale.tenantId,
    paymentId: 'p',
    orderNumber,
    amountCents: 5,
    currency: 'EUR',
    paidAtMs: nowMs,
  }
  t.is((await payOrder(payment, paying())).outcome, 'paid-after-cancellation')
  const event = (await db.events(sale)).at(-1)
  t.like(event, { verb: 'refund-requested' })
  t.like(event?.data, { userId: 'ann', amountCents: 5, orderNumber })
})

test.serial(
  'payment – of an unknown order: comes again while the order may be on its way, then is poison',
  async (t) => {
    const { payment } = await storedOrder()
    const young = await t.throwsAsync(payOrder({ ...payment, orderNumber: nextOrderNumber() }, paying()), {
      instanceOf: Problem,
    })
    t.is(young.status, 503)
    const old = { ...payment, orderNumber: orderNumbers(() => nowMs - 700_000)() }
    t.is((await t.throwsAsync(payOrder(old, paying()), { instanceOf: Problem })).status, 422)
  },
)

test.serial('payment – the order of another tenant is unknown', async (t) => {
  const { payment, state } = await storedOrder()
  await t.throwsAsync(payOrder({ ...payment, tenantId: 'somebody-else' }, paying()), { instanceOf: Problem })
  t.is((await state()).state, 'pending-payment')
})

test.serial(
  'overdue – cancelled when the time is over, not before; stock, right to buy and event at once',
  async (t) => {
    const { sale, state, verbs } = await storedOrder(2)
    await cancelOverdue({ store: db.store, now: () => nowMs + timeoutMs - 1 })
    t.deepEqual(await state(), { state: 'pending-payment', sold: 2, version: 1 })
    await cancelOverdue({ store: db.store, now: () => nowMs + timeoutMs })
    t.deepEqual(await state(), { state: 'cancelled', sold: 0, version: 2 })
    t.deepEqual(await verbs(), ['created', 'cancelled'])
    const line = (await db.events(sale)).at(-1)?.data.orders[0]
    t.like(line, { userId: 'ann', quantity: 2, reason: 'payment-timeout' })
    const again = await settlePurchases([batchOf(sale, purchaseOf('ann', 2))], settleEffects(db.store))
    t.is(again[0]?.[0]?.outcome, 'stored')
  },
)

test.serial('overdue – several processes at once: each order once, the allocation exactly back', async (t) => {
  const sale = await openSale(db.store, { stock: 500, perUserLimit: 5 })
  const purchases = Array.from({ length: 120 }, (_, index) => purchaseOf(`user-${index}`, 1 + (index % 3)))
  await settlePurchases([batchOf(sale, ...purchases)], settleEffects(db.store, { now: () => nowMs }))
  const options = { batchSize: 10, maximumLooks: 100, maximumFailures: 0 }
  await Promise.all([1, 2, 3].map(() => cancelOverdue(afterTimeout(), options)))
  await cancelOverdue(afterTimeout(), options)
  t.true((await db.orders(sale)).every((row) => row['state'] === 'cancelled' && row['version'] === 2))
  t.is((await db.allocation(sale))['sold'], 0)
  const lines = (await db.events(sale)).filter(({ verb }) => verb === 'cancelled').flatMap(({ data }) => data.orders)
  t.is(new Set(lines.map((line) => line['orderNumber'])).size, 120)
  t.is(lines.length, 120)
})

test.serial('overdue – an activity that cannot be cancelled is told of and does not hold up the others', async (t) => {
  const broken = await storedOrder(1)
  const whole = await storedOrder(1)
  await db.rows('UPDATE order_allocations SET sold = 0 WHERE tenant_id = ?', [broken.sale.tenantId])
  const failed: string[] = []
  await cancelOverdue(
    { ...afterTimeout(), failed: ({ activityId }) => failed.push(activityId) },
    { batchSize: 1, maximumLooks: 1_000, maximumFailures: 5 },
  )
  t.deepEqual(failed, [broken.sale.activityId])
  t.is((await whole.state()).state, 'cancelled')
  t.is((await broken.state()).state, 'pending-payment')
  // The other tests share the clock.
  await db.rows('UPDATE order_allocations SET sold = 1 WHERE tenant_id = ?', [broken.sale.tenantId])
})

test.serial(
  'overdue – races with payments: every order is paid or cancelled, never both, and sold agrees',
  async (t) => {
    const sale = await openSale(db.store, { stock: 100 })
    const purchases = Array.from({ length: 60 }, (_, index) => purchaseOf(`user-${index}`))
    await settlePurchases([batchOf(sale, ...purchases)], settleEffects(db.store, { now: () => nowMs }))
    const payments = purchases.map(({ orderNumber }, index) => ({
      tenantId: sale.tenantId,
      paymentId: `pay-${index}`,
      orderNumber,
      amountCents: 1_999,
      currency: 'EUR',
      paidAtMs: nowMs,
    }))
    const options = { batchSize: 7, maximumLooks: 100, maximumFailures: 0 }
    const [outcomes] = await Promise.all([
      Promise.all(payments.map((payment) => payOrder(payment, paying()))),
      cancelOverdue(afterTimeout(), options),
      cancelOverdue(afterTimeout(), options),
    ])
    const rows = await db.orders(sale)
    const inState = (state: string) => rows.filter((row) => row['state'] === state).length
    t.is(inState('paid') + inState('cancelled'), 60)
    t.is(inState('paid'), outcomes.filter(({ outcome }) => outcome === 'paid').length)
    t.is(inState('cancelled'), outcomes.filter(({ outcome }) => outcome === 'paid-after-cancellation').length)
    t.is((await db.allocation(sale))['sold'], inState('paid'))
  },
)

for (const first of ['payment', 'cancellation'] as const) {
  test.serial(`overdue and payment – the ${first} holds the order first: the other finds it decided`, async (t) => {
    const { sale, purchase, payment, state, verbs } = await storedOrder()
    const { tenantId, activityId } = sale
    const held = Promise.withResolvers<void>()
    const locked = Promise.withResolvers<void>()
    const holder = db.store.transaction(async (tx) => {
      if (first === 'cancellation') await tx.lockAllocations([{ tenantId, activityId }])
      const order = await tx.lockOrder(tenantId, purchase.orderNumber)
      locked.resolve()
      await held.promise
      const by =
        first === 'payment'
          ? ({ to: 'paid', actor: 'payment' } as const)
          : ({ to: 'cancelled', actor: 'schedule' } as const)
      await tx.applyTransition({ orders: [order!], from: 'pending-payment', ...by, atMs: nowMs })
      if (first === 'cancellation') await tx.addSold({ tenantId, activityId }, -1)
    })
    await locked.promise
    if (first === 'payment') {
      // Does not wait for the payment, and does not cancel beside it.
      await cancelOverdue(afterTimeout())
      t.is((await state()).state, 'pending-payment')
      held.resolve()
      await holder
      await cancelOverdue(afterTimeout())
      t.deepEqual(await state(), { state: 'paid', sold: 1, version: 2 })
    } else {
      const late = payOrder(payment, paying())
      held.resolve()
      await holder
      t.is((await late).outcome, 'paid-after-cancellation')
      t.deepEqual(await state(), { state: 'cancelled', sold: 0, version: 2 })
      t.deepEqual(await verbs(), ['created', 'refund-requested: paid-after-cancellation'])
    }
  })
}

test.serial('cancel – by the buyer, once, also when pressed twice at the same time', async (t) => {
  const { sale, purchase, state, verbs } = await storedOrder(2)
  const request = { tenantId: sale.tenantId, userId: 'ann', orderNumber: purchase.orderNumber }
  const results = await Promise.all([1, 2].map(() => cancelOwnOrder(request, atStart())))
  t.deepEqual(results.map(({ order, cancelledNow }) => `${order.state} ${cancelledNow}`).sort(), [
    'cancelled false',
    'cancelled true',
  ])
  t.deepEqual(await state(), { state: 'cancelled', sold: 0, version: 2 })
  t.deepEqual(await verbs(), ['created', 'cancelled'])
  const history = await db.rows(
    'SELECT from_state, to_state, actor, reason FROM order_transitions WHERE order_number = ?',
    [purchase.orderNumber],
  )
  t.deepEqual(
    history.map((row) => ({ ...row })),
    [{ from_state: 'pending-payment', to_state: 'cancelled', actor: 'buyer', reason: 'buyer' }],
  )
})

test.serial('cancel – not after payment, not by others, not from another tenant', async (t) => {
  const { sale, purchase, payment, state } = await storedOrder()
  const request = { tenantId: sale.tenantId, userId: 'ann', orderNumber: purchase.orderNumber }
  const refused = async (change: Partial<typeof request>) =>
    (await t.throwsAsync(cancelOwnOrder({ ...request, ...change }, atStart()), { instanceOf: Problem })).problem
  t.is(await refused({ userId: 'bob' }), 'not-found')
  t.is(await refused({ tenantId: 'other' }), 'not-found')
  t.is(await refused({ orderNumber: nextOrderNumber() }), 'not-found')
  await payOrder(payment, paying())
  t.is(await refused({}), 'conflict')
  t.deepEqual(await state(), { state: 'paid', sold: 1, version: 2 })
})
