import test from 'ava'
import { auditSale, type Ledger } from './audit.ts'
import type { HeldOrder } from './tally.ts'

const held = (orderNumber: string, userId = orderNumber, quantity = 1): HeldOrder => ({
  orderNumber,
  userId,
  quantity,
  pressedAtMs: 0,
  answeredAtMs: 1,
})
const ledger = (
  orders: { orderNumber: string; userId?: string; quantity?: number; live?: boolean }[],
  rejected: string[] = [],
): Ledger => ({
  orders: new Map(
    orders.map((order) => [
      order.orderNumber,
      {
        orderNumber: order.orderNumber,
        userId: order.userId ?? order.orderNumber,
        quantity: order.quantity ?? 1,
        live: order.live ?? true,
        storedAtMs: 2,
      },
    ]),
  ),
  rejected: new Set(rejected),
})
const terms = { stock: 2, perUserLimit: 1 }

test('audit – a whole sale has nothing to report', (t) => {
  const audit = auditSale(ledger([{ orderNumber: 'A' }, { orderNumber: 'B' }]), [held('A'), held('B')], terms)
  t.deepEqual(audit, { ordersStored: 2, oversold: 0, lost: 0, double: 0, lostOrderNumbers: [] })
})

test('audit – a 202 that is in no store is lost, and counts as sold', (t) => {
  const audit = auditSale(
    ledger([{ orderNumber: 'A' }, { orderNumber: 'B' }]),
    [held('A'), held('B'), held('C')],
    terms,
  )
  t.is(audit.lost, 1)
  t.is(audit.oversold, 1)
  t.deepEqual(audit.lostOrderNumbers, ['C'])
})

test('audit – a purchase that was rejected was given back, not lost', (t) => {
  t.is(auditSale(ledger([{ orderNumber: 'A' }], ['B']), [held('A'), held('B')], terms).lost, 0)
})

test('audit – live units beyond the stock are oversold, cancelled ones are not', (t) => {
  const three = [{ orderNumber: 'A' }, { orderNumber: 'B' }, { orderNumber: 'C' }]
  t.is(auditSale(ledger(three), [], terms).oversold, 1)
  t.is(auditSale(ledger([{ orderNumber: 'A', live: false }, ...three.slice(1)]), [], terms).oversold, 0)
})

test('audit – a buyer with more than the limit is a double, also by quantity', (t) => {
  t.is(
    auditSale(
      ledger([
        { orderNumber: 'A', userId: 'u' },
        { orderNumber: 'B', userId: 'u' },
      ]),
      [],
      terms,
    ).double,
    1,
  )
  t.is(auditSale(ledger([{ orderNumber: 'A', quantity: 2 }]), [], terms).double, 1)
})
