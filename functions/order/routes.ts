/** HTTP of order: shapes and handlers. */
import { z } from 'zod'
import { route } from '@stampede/shared/function/declaration.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import type { Order } from './effects.ts'
import type { OrderServices } from './order.ts'
import { orderStates } from './order-state.ts'

const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)
const orderNumber = z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/, 'an order number has 26 characters')
const orderParams = z.object({ orderNumber })
const activityParams = z.object({ activityId: identifier })
const limit = (fallback: number, maximum: number) => z.coerce.number().int().min(1).max(maximum).default(fallback)

const orderView = z.object({
  orderNumber,
  activityId: identifier,
  quantity: z.int(),
  amountCents: z.int(),
  currency: z.string(),
  state: z.enum(orderStates),
  cancelReason: z.string().nullable(),
  acceptedAt: z.string(),
  createdAt: z.string(),
  payBy: z.string(),
  paidAt: z.string().nullable(),
  cancelledAt: z.string().nullable(),
})
const historyView = z.object({
  from: z.enum(orderStates),
  to: z.enum(orderStates),
  by: z.string(),
  reason: z.string().nullable(),
  at: z.string(),
})
const orderLine = z.object({ orderNumber, userId: identifier, quantity: z.int(), state: z.enum(orderStates) })

const instant = (ms: number) => new Date(ms).toISOString()
const optionalInstant = (ms: number | undefined) => (ms === undefined ? null : instant(ms))

const show = (order: Order): z.output<typeof orderView> => ({
  orderNumber: order.orderNumber,
  activityId: order.activityId,
  quantity: order.quantity,
  amountCents: order.amountCents,
  currency: order.currency,
  state: order.state,
  cancelReason: order.cancelReason ?? null,
  acceptedAt: instant(order.acceptedAtMs),
  createdAt: instant(order.createdAtMs),
  payBy: instant(order.payByMs),
  paidAt: optionalInstant(order.paidAtMs),
  cancelledAt: optionalInstant(order.cancelledAtMs),
})

/** Opaque for clients, so that what it holds can change. */
const toCursor = (order: Order): string => Buffer.from(`1.${order.orderNumber}`).toString('base64url')

function fromCursor(cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined
  const [version, number] = Buffer.from(cursor, 'base64url').toString('latin1').split('.')
  if (version === '1' && orderNumber.safeParse(number).success) return number
  throw new Problem('invalid-request', 'The cursor is not one that this list gave out.', {
    errors: [{ pointer: '/cursor', detail: 'leave it out to begin at the newest order' }],
  })
}

const notFound = () => new Problem('not-found', 'There is no such order.')

export const routes = [
  route(
    'GET',
    '/api/v1/orders',
    {
      auth: 'user',
      summary: "The caller's own orders, newest first, in pages.",
      query: z.object({ cursor: z.string().max(100).optional(), limit: limit(20, 100) }),
      reply: z.object({ orders: z.array(orderView), next: z.string().nullable() }),
    },
    async ({ query, principal }, order: OrderServices) => {
      const before = fromCursor(query.cursor)
      // One more than asked for tells whether there is another page.
      const found = await order.reader.ownOrders(principal.tenantId, principal.userId, before, query.limit + 1)
      const page = found.slice(0, query.limit)
      const last = page.at(-1)
      return { orders: page.map(show), next: found.length > query.limit && last ? toCursor(last) : null }
    },
  ),
  route(
    'GET',
    '/api/v1/orders/:orderNumber',
    {
      auth: 'user',
      summary: 'One of the own orders, with its history.',
      params: orderParams,
      reply: orderView.extend({ history: z.array(historyView) }),
      problems: ['not-found'],
    },
    async ({ params, principal }, order: OrderServices) => {
      const found = await order.reader.ownOrder(principal.tenantId, principal.userId, params.orderNumber)
      if (!found) throw notFound()
      const history = await order.reader.history(principal.tenantId, params.orderNumber)
      return {
        ...show(found),
        history: history.map(({ from, to, actor, reason, atMs }) => ({
          from,
          to,
          by: actor,
          reason: reason ?? null,
          at: instant(atMs),
        })),
      }
    },
  ),
  route(
    'POST',
    '/api/v1/orders/:orderNumber/cancel',
    {
      auth: 'user',
      summary: 'Cancels an own order that is not paid. Repeating it answers the same.',
      params: orderParams,
      reply: orderView,
      problems: ['not-found', 'conflict'],
    },
    async ({ params, principal }, order: OrderServices) => {
      const { tenantId, userId } = principal
      return show(await order.cancelOwn({ tenantId, userId, orderNumber: params.orderNumber }))
    },
  ),
  route(
    'GET',
    '/api/v1/order-totals/:activityId',
    {
      auth: 'service',
      summary: 'Orders and units of an activity by state, rejected purchases by reason. An unknown activity has none.',
      params: activityParams,
      reply: z.object({
        activityId: identifier,
        allocated: z.int().nullable(),
        sold: z.int(),
        states: z.partialRecord(z.enum(orderStates), z.object({ orders: z.int(), units: z.int() })),
        rejected: z.record(z.string(), z.int()),
      }),
    },
    async ({ params, principal }, order: OrderServices) => {
      const { activityId } = params
      const totals = await order.reader.totals({ tenantId: principal.tenantId, activityId })
      return { activityId, ...totals, allocated: totals.allocated ?? null }
    },
  ),
  route(
    'GET',
    '/api/v1/order-pages/:activityId',
    {
      auth: 'service',
      summary: 'All orders of an activity in pages, by buyer. `next` is the `after` of the next page.',
      params: activityParams,
      query: z.object({ after: orderNumber.optional(), limit: limit(500, 5_000) }),
      reply: z.object({ orders: z.array(orderLine), next: orderNumber.nullable() }),
    },
    async ({ params, query, principal }, order: OrderServices) => {
      const activity = { tenantId: principal.tenantId, activityId: params.activityId }
      const found = await order.reader.activityOrders(activity, query.after, query.limit + 1)
      if (!found) {
        throw new Problem('invalid-request', 'No order of this activity has the number to go on after.', {
          errors: [{ pointer: '/after', detail: 'not an order of the activity' }],
        })
      }
      const orders = found.slice(0, query.limit)
      return { orders, next: found.length > query.limit ? (orders.at(-1)?.orderNumber ?? null) : null }
    },
  ),
  route(
    'POST',
    '/api/v1/order-lookups/:activityId',
    {
      auth: 'service',
      summary:
        'What became of purchases: orders with their state, rejections with their reason. Unknown numbers are left out.',
      params: activityParams,
      body: z.object({ orderNumbers: z.array(orderNumber).min(1).max(1_000) }),
      reply: z.object({
        orders: z.array(orderLine),
        rejections: z.array(z.object({ orderNumber, userId: identifier, quantity: z.int(), reason: z.string() })),
      }),
    },
    async ({ params, body, principal }, order: OrderServices) => {
      const activity = { tenantId: principal.tenantId, activityId: params.activityId }
      const { orders, rejections } = await order.reader.lookUp(activity, body.orderNumbers)
      return {
        orders,
        rejections: rejections.map(({ orderNumber, userId, quantity, reason }) => ({
          orderNumber,
          userId,
          quantity,
          reason,
        })),
      }
    },
  ),
  route(
    'GET',
    '/api/v1/order-rows',
    {
      auth: 'service',
      summary: 'Rows that this function holds of the tenant, for its quota; counted up to a limit.',
      query: z.object({ most: z.coerce.number().int().min(1).max(10_000_001) }),
      reply: z.object({ rows: z.int() }),
      timeoutMs: 30_000,
    },
    async ({ query, principal }, order: OrderServices) => ({
      rows: await order.reader.countRows(principal.tenantId, query.most),
    }),
  ),
]
