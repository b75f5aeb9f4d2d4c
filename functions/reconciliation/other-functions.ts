/** What reconciliation asks of other functions, over HTTP only. */
import { z } from 'zod'
import { createServiceClient } from '@stampede/shared/http/client.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { OrderFact } from './plan-repairs.ts'
import type { OrderLine } from './reconcile-bucket.ts'
import type { OrderTotals } from './reconcile-sale.ts'

const totals = z.object({ states: z.record(z.string(), z.object({ orders: z.number(), units: z.number() })) })
const line = z.object({ orderNumber: z.string(), userId: z.string(), quantity: z.number(), state: z.string() })
const page = z.object({ orders: z.array(line), next: z.string().nullish() })
const lookUp = z.object({ orders: z.array(line), rejections: z.array(z.object({ orderNumber: z.string() })) })
const allocation = z.object({ state: z.string(), warmUpBegunAt: z.string().nullable() })
const activityState = z.object({ state: z.string() })

/** States of orders that hold no stock any more. */
const ended = new Set(['cancelled', 'refunded'])
const factOf = (state: string): OrderFact => (ended.has(state) ? 'ended' : 'live')

export type OtherFunctions = ReturnType<typeof createOtherFunctions>

export function createOtherFunctions(options: {
  orderUrl: string
  inventoryUrl: string
  activityUrl: string
  service: string
  secret: string
}) {
  const client = (baseUrl: string) =>
    createServiceClient({ baseUrl, service: options.service, secret: options.secret, timeoutMs: 5_000 })
  const order = client(options.orderUrl)
  const inventory = client(options.inventoryUrl)
  const activity = client(options.activityUrl)
  return {
    async totals(tenantId: string, activityId: string): Promise<OrderTotals> {
      const { states } = await order.get(`/api/v1/order-totals/${activityId}`, tenantId, totals)
      const live = Object.entries(states).filter(([state]) => !ended.has(state))
      return {
        liveOrders: live.reduce((sum, [, of]) => sum + of.orders, 0),
        liveUnits: live.reduce((sum, [, of]) => sum + of.units, 0),
      }
    },

    async orderPage(tenantId: string, activityId: string, after: string | undefined, limit: number) {
      const query = `limit=${limit}${after === undefined ? '' : `&after=${after}`}`
      const answer = await order.get(`/api/v1/order-pages/${activityId}?${query}`, tenantId, page)
      const orders: OrderLine[] = answer.orders.map(({ state, ...rest }) => ({ ...rest, fact: factOf(state) }))
      return { orders, next: answer.next ?? undefined }
    },

    /** Rejected purchases have ended: they never will be orders. */
    async lookUp(tenantId: string, activityId: string, orderNumbers: readonly string[]) {
      const answer = await order.post(`/api/v1/order-lookups/${activityId}`, tenantId, { orderNumbers }, lookUp)
      return [
        ...answer.orders.map(({ orderNumber, state }) => ({ orderNumber, fact: factOf(state) })),
        ...answer.rejections.map(({ orderNumber }) => ({ orderNumber, fact: 'ended' as const })),
      ]
    },

    /** When the creation of the sale in Redis first began; undefined when it never did or the units are not set aside (any more). */
    async warmUpBegunAt(tenantId: string, activityId: string): Promise<Date | undefined> {
      try {
        const { state, warmUpBegunAt } = await inventory.get(`/api/v1/allocations/${activityId}`, tenantId, allocation)
        return state === 'allocated' && warmUpBegunAt !== null ? new Date(warmUpBegunAt) : undefined
      } catch (error) {
        if (error instanceof Problem && error.problem === 'not-found') return undefined
        throw error
      }
    },

    async wantedState(tenantId: string, activityId: string): Promise<'open' | 'paused' | 'closed'> {
      const { state } = await activity.get(`/api/v1/activity-states/${activityId}`, tenantId, activityState)
      if (state === 'paused') return 'paused'
      return ['closed', 'settled', 'cancelled'].includes(state) ? 'closed' : 'open'
    },
  }
}
