/** Order, inventory and activity as reconciliation sees them over HTTP: what they answer is what the test put in. */
import { startStubService, type StubAnswer } from '@stampede/shared/testing/stub-service.ts'

type Order = { orderNumber: string; userId: string; quantity: number; state: string }

export async function startOtherFunctions() {
  const orders = new Map<string, Order[]>()
  const rejections = new Map<string, string[]>()
  const wanted = new Map<string, string>()
  const warmUps = new Map<string, string | null>()
  let orderIsDown = false
  const service = await startStubService(({ path, body }): StubAnswer => {
    const [, , , resource, activityId = ''] = path.split('/')
    const known = orders.get(activityId) ?? []
    if (orderIsDown && resource?.startsWith('order-')) return { status: 503, body: { code: 'overloaded', status: 503 } }
    switch (resource) {
      case 'order-totals': {
        const states: Record<string, { orders: number; units: number }> = {}
        for (const { state, quantity } of known) {
          const of = (states[state] ??= { orders: 0, units: 0 })
          of.orders++
          of.units += quantity
        }
        return { body: { activityId, allocated: 10, sold: 0, states, rejected: {} } }
      }
      case 'order-pages':
        return { body: { orders: known, next: null } }
      case 'order-lookups': {
        const { orderNumbers: numbers } = body as { orderNumbers: string[] }
        const rejected = (rejections.get(activityId) ?? []).filter((number) => numbers.includes(number))
        return {
          body: {
            orders: known.filter((order) => numbers.includes(order.orderNumber)),
            rejections: rejected.map((orderNumber) => ({
              orderNumber,
              userId: 'u',
              quantity: 1,
              reason: 'over-limit',
            })),
          },
        }
      }
      case 'allocations':
        return {
          body: { state: 'allocated', quantity: 10, warmUpBegunAt: warmUps.get(activityId) ?? null, warmedAt: null },
        }
      case 'activity-states':
        return { body: { state: wanted.get(activityId) ?? 'open', version: 1 } }
      default:
        return undefined
    }
  })
  return {
    url: service.url,
    /** By activity. */
    orders,
    /** Order numbers by activity. */
    rejections,
    /** State that an activity should be in; default `open`. */
    wanted,
    /** When the warm-up of an activity began; null: never. */
    warmUps,
    orderDown: (down: boolean) => {
      orderIsDown = down
    },
    stop: () => service.stop(),
  }
}
