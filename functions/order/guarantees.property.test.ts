/**
 * Any sequence of deliveries, repeats, cancellations, payments and crashes keeps the promises: sold is the units of live orders
 * and never above the allocation, no buyer is above the limit, every accepted purchase ends once, and events tell exactly what
 * happened. The same operations over memory (many runs, crashes at every step) and over the real database (fewer runs).
 */
import test from 'ava'
import * as fc from 'fast-check'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import type { AcceptedPurchase } from '@stampede/eventing/catalogue/events.ts'
import { cancelOverdue, cancelOwnOrder } from './cancel-order.ts'
import type { OrderStore } from './effects.ts'
import { takeTerms } from './keep-allocation.ts'
import { createMemoryStore, emptyState, type MemoryState } from './memory-store.ts'
import { payOrder } from './pay-order.ts'
import { settlePurchases, type SettleEffects } from './settle-purchases.ts'
import { openTestDatabase, saleOf, settleEffects } from './testing.ts'

type Action =
  | { kind: 'deliver'; purchases: number[]; process: number }
  | { kind: 'pay' | 'cancel'; purchase: number }
  | { kind: 'overdue'; minutes: number }

const maximumPurchases = 24
const purchaseIndex = fc.nat(maximumPurchases - 1)
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('deliver' as const),
      purchases: fc.array(purchaseIndex, { minLength: 1, maxLength: 6 }),
      process: fc.nat(1),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('pay' as const, 'cancel' as const), purchase: purchaseIndex }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('overdue' as const), minutes: fc.nat(30) }) },
)
const scenario = fc.record({
  stock: fc.integer({ min: 1, max: 12 }),
  perUserLimit: fc.integer({ min: 1, max: 3 }),
  purchases: fc.array(fc.record({ user: fc.nat(5), quantity: fc.integer({ min: 1, max: 3 }) }), {
    minLength: maximumPurchases,
    maxLength: maximumPurchases,
  }),
  actions: fc.array(action, { minLength: 1, maxLength: 25 }),
  /** Steps of the run at which the process dies. */
  crashes: fc.array(fc.nat(200), { maxLength: 6 }),
})
type Scenario = typeof scenario extends fc.Arbitrary<infer S> ? S : never

class Crash extends Error {}

async function play(store: OrderStore, { stock, perUserLimit, purchases, actions }: Scenario) {
  const startMs = Date.parse('2030-01-01T00:00:00Z')
  const clock = { nowMs: startMs }
  const now = () => clock.nowMs
  const sale = saleOf({ stock, perUserLimit })
  const event = { source: '/test', id: `${sale.tenantId}-${sale.activityId}` }
  const next = orderNumbers(now)
  const accepted: AcceptedPurchase[] = purchases.map(({ user, quantity }) => ({
    orderNumber: next(),
    userId: `user-${user}`,
    quantity,
  }))
  const processes: SettleEffects[] = [settleEffects(store, { now }), settleEffects(store, { now })]
  const delivered = new Set<AcceptedPurchase>()
  /** Broker, channel and schedule try again after a crash. */
  const again = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    for (let attempt = 0; attempt < 20; attempt += 1) {
      try {
        return await work()
      } catch (error) {
        if (!(error instanceof Crash)) return undefined
        processes.forEach((_, index) => (processes[index] = settleEffects(store, { now })))
      }
    }
    throw new Error('crashed too often')
  }

  await again(() => takeTerms(event, sale, { store, now }))
  for (const step of actions) {
    if (step.kind === 'deliver') {
      const batch = { ...sale, purchases: step.purchases.map((index) => accepted[index]!) }
      for (const purchase of batch.purchases) delivered.add(purchase)
      await again(() => settlePurchases([batch], processes[step.process]!))
    } else if (step.kind === 'overdue') {
      clock.nowMs += step.minutes * 60_000
      await again(() => cancelOverdue({ store, now }, { batchSize: 3, maximumLooks: 50, maximumFailures: 0 }))
    } else {
      const { orderNumber, userId, quantity } = accepted[step.purchase]!
      const request = { tenantId: sale.tenantId, orderNumber }
      const amountCents = sale.priceCents * quantity
      await again<unknown>(() =>
        step.kind === 'cancel'
          ? cancelOwnOrder({ ...request, userId }, { store, now })
          : payOrder(
              { ...request, paymentId: `pay-${orderNumber}`, amountCents, currency: 'EUR', paidAtMs: now() },
              { store, now, unknownOrderGraceMs: 0 },
            ),
      )
    }
  }
  return { sale, delivered }
}

/** What a run left behind, from memory or from tables. */
type Left = {
  sold: number
  orders: { orderNumber: string; userId: string; quantity: number; state: string }[]
  rejected: string[]
  events: { verb: string; orderNumbers: string[] }[]
}

function check(left: Left, { stock, perUserLimit }: Scenario, delivered: ReadonlySet<AcceptedPurchase>): void {
  const live = left.orders.filter(({ state }) => state !== 'cancelled')
  const units = (orders: Left['orders']) => orders.reduce((sum, { quantity }) => sum + quantity, 0)
  const fail = (what: string) => {
    throw new Error(`${what}: ${JSON.stringify(left)}`)
  }
  if (left.sold !== units(live)) fail('sold is not the units of live orders')
  if (left.sold > stock) fail('oversold')
  for (const ofUser of Map.groupBy(live, ({ userId }) => userId).values())
    if (units(ofUser) > perUserLimit) fail('over the limit')
  const stored = new Set(left.orders.map(({ orderNumber }) => orderNumber))
  for (const { orderNumber } of delivered) {
    if (stored.has(orderNumber) === left.rejected.includes(orderNumber))
      fail('a purchase is not exactly one of order and rejection')
  }
  if (stored.size + left.rejected.length !== delivered.size) fail('something exists that nobody bought')
  const told = (verb: string) =>
    left.events
      .filter((event) => event.verb === verb)
      .flatMap(({ orderNumbers }) => orderNumbers)
      .sort()
      .join()
  const numbers = (orders: { orderNumber: string }[]) =>
    orders
      .map(({ orderNumber }) => orderNumber)
      .sort()
      .join()
  if (told('created') !== numbers(left.orders)) fail('created events differ from orders')
  if (told('rejected') !== left.rejected.toSorted().join()) fail('rejected events differ from rejections')
  if (told('cancelled') !== numbers(left.orders.filter(({ state }) => state === 'cancelled')))
    fail('cancelled events differ')
  if (told('paid') !== numbers(left.orders.filter(({ state }) => state === 'paid'))) fail('paid events differ')
}

const eventOf = (type: string, data: { orders?: { orderNumber: string }[]; orderNumber?: string }) => ({
  verb: String(type.split('.').at(-2)),
  orderNumbers: data.orders?.map(({ orderNumber }) => orderNumber) ?? [String(data.orderNumber)],
})

const fromMemory = (state: MemoryState): Left => ({
  sold: [...state.allocations.values()][0]?.sold ?? 0,
  orders: [...state.orders.values()],
  rejected: [...state.rejections.keys()],
  events: state.outbox.map(({ definition, data }) => eventOf(definition.type, data as never)),
})

test('guarantees – hold for any sequence of deliveries, repeats, payments, cancellations and crashes (memory)', async (t) => {
  let crashes = 0
  await fc.assert(
    fc.asyncProperty(scenario, async (run) => {
      const state = emptyState()
      let steps = 0
      const store = createMemoryStore(state, () => {
        if (!run.crashes.includes(steps++)) return
        crashes += 1
        throw new Crash()
      })
      const { delivered } = await play(store, run)
      check(fromMemory(state), run, delivered)
    }),
    { numRuns: 1_500 },
  )
  t.true(crashes > 100, 'the runs must contain crashes')
})

test('guarantees – hold for the same sequences on the real database', async (t) => {
  const db = await openTestDatabase()
  t.teardown(() => db.close())
  let runs = 0
  await fc.assert(
    fc.asyncProperty(scenario, async (run) => {
      const { sale, delivered } = await play(db.store, run)
      const rejections = await db.rows('SELECT order_number FROM order_rejections WHERE tenant_id = ?', [sale.tenantId])
      const left: Left = {
        sold: (await db.allocation(sale))['sold'],
        orders: (await db.orders(sale)).map((row) => ({
          orderNumber: row['order_number'],
          userId: row['user_id'],
          quantity: row['quantity'],
          state: row['state'],
        })),
        rejected: rejections.map((row) => String(row['order_number'])),
        events: (await db.events(sale)).map(({ verb, data }) => eventOf(`x.${verb}.v1`, data as never)),
      }
      check(left, run, delivered)
      await db.rows('DELETE FROM order_outbox')
      runs += 1
    }),
    { numRuns: 40, endOnFailure: true },
  )
  t.true(runs >= 40)
})
