import test from 'ava'
import { wholeAgainMs } from './whole-again.ts'

const held = (orderNumber: string, pressedAtMs: number) => ({
  orderNumber,
  userId: orderNumber,
  quantity: 1,
  pressedAtMs,
  answeredAtMs: pressedAtMs + 5,
})
const ledger = (stored: Record<string, number>, rejected: string[] = []) => ({
  orders: new Map(
    Object.entries(stored).map(([orderNumber, storedAtMs]) => [
      orderNumber,
      { orderNumber, userId: orderNumber, quantity: 1, live: true, storedAtMs },
    ]),
  ),
  rejected: new Set(rejected),
})

test('whole again – the first purchase after the kill counts from the kill to its order', (t) => {
  t.is(
    wholeAgainMs([held('A', 900), held('B', 1_500), held('C', 1_600)], ledger({ A: 950, B: 2_300, C: 2_300 }), 1_000),
    1_300,
  )
})

test('whole again – a purchase from before the kill that is stored later delays it', (t) => {
  t.is(wholeAgainMs([held('A', 900), held('B', 1_500)], ledger({ A: 4_000, B: 2_000 }), 1_000), 3_000)
})

test('whole again – never, when a purchase is missing or nothing was accepted after the kill', (t) => {
  t.is(wholeAgainMs([held('A', 900), held('B', 1_500)], ledger({ B: 2_000 }), 1_000), undefined)
  t.is(wholeAgainMs([held('A', 900)], ledger({ A: 950 }), 1_000), undefined)
})

test('whole again – a purchase that was given back does not hold it up', (t) => {
  t.is(wholeAgainMs([held('A', 900), held('B', 1_500)], ledger({ B: 2_000 }, ['A']), 1_000), 1_000)
})
