/** What activity asks of other functions, over HTTP only. The shapes are the parts of their answers that are used here. */
import { z } from 'zod'
import { createServiceClient } from '@stampede/shared/http/client.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { OrderCounts } from './consistency.ts'

const totals = z.object({
  allocated: z.number().nullish(),
  sold: z.number(),
  states: z.record(z.string(), z.object({ orders: z.number(), units: z.number() })),
  rejected: z.record(z.string(), z.number()),
})
const page = z.object({
  orders: z.array(z.object({ orderNumber: z.string(), quantity: z.number(), state: z.string() })),
  next: z.string().nullish(),
})
const allocation = z.object({
  state: z.string(),
  quantity: z.number(),
  warmUpBegunAt: z.string().nullable(),
  warmedAt: z.string().nullable(),
})
const warmUp = z.object({ outcome: z.enum(['warmed-up', 'already-warm', 'needs-rebuild', 'not-allocated']) })
const live = z.object({ refused: z.record(z.string(), z.number()).optional(), kafkaLag: z.number().nullish() })

export type AllocationFacts = z.output<typeof allocation>
export type LiveFacts = z.output<typeof live>
export type OrderPage = z.output<typeof page>
export type WarmUpAnswer = z.output<typeof warmUp>

export type OtherFunctions = {
  /** Undefined: order has not heard of the activity. */
  orderCounts(tenantId: string, activityId: string): Promise<OrderCounts | undefined>
  orderPage(tenantId: string, activityId: string, after: string | undefined, limit: number): Promise<OrderPage>
  allocation(tenantId: string, activityId: string): Promise<AllocationFacts | undefined>
  warmUp(tenantId: string, activityId: string): Promise<WarmUpAnswer>
  live(tenantId: string, activityId: string): Promise<LiveFacts | undefined>
  /** Rejects when seckill is not ready to sell. */
  seckillReady(): Promise<void>
}

export type OtherFunctionsOptions = {
  orderUrl: string
  inventoryUrl: string
  seckillUrl: string
  service: string
  secret: string
}

/** Not found is an answer, not a failure. */
async function known<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof Problem && error.problem === 'not-found') return undefined
    throw error
  }
}

export function createOtherFunctions(options: OtherFunctionsOptions): OtherFunctions {
  const client = (baseUrl: string) =>
    createServiceClient({ baseUrl, service: options.service, secret: options.secret, timeoutMs: 5_000 })
  const order = client(options.orderUrl)
  const inventory = client(options.inventoryUrl)
  const seckill = client(options.seckillUrl)
  return {
    orderCounts: async (tenantId, activityId) => {
      const answer = await known(order.get(`/api/v1/order-totals/${activityId}`, tenantId, totals))
      return (
        answer && {
          allocated: answer.allocated ?? undefined,
          sold: answer.sold,
          byState: answer.states,
          rejected: answer.rejected,
        }
      )
    },
    orderPage: (tenantId, activityId, after, limit) =>
      order.get(
        `/api/v1/order-pages/${activityId}?limit=${limit}${after === undefined ? '' : `&after=${after}`}`,
        tenantId,
        page,
      ),
    allocation: (tenantId, activityId) =>
      known(inventory.get(`/api/v1/allocations/${activityId}`, tenantId, allocation)),
    warmUp: (tenantId, activityId) => inventory.post(`/api/v1/allocations/${activityId}/warm-up`, tenantId, {}, warmUp),
    live: (tenantId, activityId) => known(seckill.get(`/api/v1/seckill/${activityId}/live`, tenantId, live)),
    seckillReady: async () => {
      const response = await fetch(`${options.seckillUrl.replace(/\/+$/, '')}/health/readiness`, {
        signal: AbortSignal.timeout(3_000),
      })
      await response.body?.cancel()
      if (!response.ok) throw new Problem('dependency-unavailable', `seckill answers ${response.status}`)
    },
  }
}
