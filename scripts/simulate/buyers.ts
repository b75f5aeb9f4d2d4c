/** People: they press, press again when they get no clear answer, pay in time, late, twice or not at all, and cancel. */
import { paymentSucceeded } from '../../eventing/catalogue/events.ts'
import type { DecisionOutcome } from '../../functions/seckill/decide-together.ts'
import type { Actor } from './scheduler.ts'
import type { World } from './world.ts'

const maximumTries = 8
const retried = new Set<string>(['recovering', 'undecided', 'unknown-activity'])

export async function buy(world: World, actor: Actor): Promise<void> {
  const { scheduler, settings } = world
  const random = world.random.split()
  await scheduler.sleep(actor, 'arrives', random.below(random.chance(0.7) ? 30 : 4_000))
  for (let press = 1; press <= settings.presses; press++) {
    const quantity = random.chance(0.8) ? 1 : random.between(1, settings.perUserLimit + 1)
    const idempotencyKey = random.chance(settings.keys) ? `${actor.name}-${random.chance(0.5) ? 1 : press}` : undefined
    for (let attempt = 1; attempt <= maximumTries; attempt++) {
      const outcome = await world.processes
        .press(world, actor, { userId: actor.name, quantity, idempotencyKey })
        .catch(() => undefined)
      if (outcome && !retried.has(outcome.outcome)) {
        heard(world, outcome)
        break
      }
      await scheduler.sleep(actor, 'presses again', 100 + random.below(1_500))
    }
    await scheduler.sleep(actor, 'waits', random.below(random.pick([50, 1_500, 8_000])))
  }
}

function heard({ ledger }: World, outcome: DecisionOutcome): void {
  if (outcome.outcome === 'sold-out') ledger.state.soldOutAnswers++
}

type Created = { orders: { orderNumber: string; userId: string; amountCents: number; currency: string }[] }

/** The payment provider and the buyers behind it: told of an order, they pay it or cancel it at some time. */
export function settleOrders(world: World, data: unknown): void {
  const { scheduler, settings } = world
  const timeoutMs = settings.paymentTimeoutSeconds * 1_000
  for (const { orderNumber, userId, amountCents, currency } of (data as Created).orders) {
    if (world.seenOrders.has(orderNumber)) continue
    world.seenOrders.add(orderNumber)
    const random = world.random.split()
    if (random.chance(settings.cancels)) {
      scheduler.later(`${userId} cancels ${orderNumber}`, random.below(timeoutMs * 1.2), () =>
        world.processes.cancel({ userId, orderNumber }),
      )
    }
    if (!random.chance(settings.pays)) continue
    const pay = (suffix: string, cents: number, copies: number) => {
      const paymentId = `pay-${orderNumber}-${suffix}`
      const delayMs = random.chance(settings.paysLate)
        ? timeoutMs + random.between(-200, random.chance(0.5) ? 1_500 : timeoutMs)
        : random.below(timeoutMs)
      scheduler.later(`${userId} pays ${orderNumber}`, delayMs, () =>
        tell(world, { orderNumber, paymentId, amountCents: cents, currency }, copies),
      )
    }
    pay('1', amountCents, random.chance(settings.oddPayments) ? 2 : 1)
    if (random.chance(settings.oddPayments)) pay('2', random.chance(0.5) ? amountCents : amountCents + 1, 1)
  }
}

/** A buyer who pays in the moment in which the order's time is over. */
export function payAtOnce(world: World, orderNumber: string): void {
  const order = world.database.tables.orders.get(orderNumber)
  const paymentId = `pay-${orderNumber}-3`
  if (!order || world.payments.some((payment) => payment.paymentId === paymentId)) return
  tell(world, { orderNumber, paymentId, amountCents: order.amountCents, currency: order.currency }, 1, true)
}

type Payment = { orderNumber: string; paymentId: string; amountCents: number; currency: string }

function tell(world: World, payment: Payment, copies: number, atOnce = false): void {
  const { scheduler, sale, broker } = world
  const { orderNumber, paymentId } = payment
  world.payments.push({
    paymentId,
    orderNumber,
    get settled() {
      return world.database.tables.payments.has(paymentId)
    },
  })
  const received = { tenantId: sale.tenantId, ...payment, paidAtMs: scheduler.now() }
  for (let copy = 0; copy < copies; copy++)
    broker.publish({ type: paymentSucceeded.type, id: paymentId, data: received }, atOnce)
}
