/** HTTP of inventory: shapes and handlers. */
import { z } from 'zod'
import { saleTerms } from '@stampede/eventing/catalogue/events.ts'
import { route } from '@stampede/shared/function/declaration.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { adjust, reserve, settleReservation } from './change-stock.ts'
import type { Inventory } from './inventory.ts'
import { available, maximumUnits, type Stock } from './stock.ts'
import { findStock, listMovements, listStocks } from './store.ts'

const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)
const units = z.int().min(1).max(maximumUnits)
const limit = z.coerce.number().int().min(1).max(200).default(50)
const variantParams = z.object({ variantId: identifier })
const reservationParams = z.object({ reservationId: identifier })
const activityParams = z.object({ activityId: identifier })

const stockView = z.object({
  variantId: identifier,
  onHand: z.int(),
  reserved: z.int(),
  available: z.int(),
  lowStockThreshold: z.int(),
  version: z.int(),
})

const allocationView = z.object({
  activityId: identifier,
  state: z.enum(['allocated', 'refused', 'settled', 'cancelled']),
  variantId: z.string(),
  quantity: z.int(),
  sold: z.int().nullable(),
  returned: z.int().nullable(),
  terms: saleTerms.nullable(),
  warmUpBegunAt: z.string().nullable(),
  warmedAt: z.string().nullable(),
})

const movementView = z.object({
  id: z.string(),
  kind: z.string(),
  onHandChange: z.int(),
  reservedChange: z.int(),
  onHandAfter: z.int(),
  reservedAfter: z.int(),
  reference: z.string().nullable(),
  actor: z.string(),
  reason: z.string().nullable(),
  at: z.string(),
})

const show = (stock: Stock) => ({
  variantId: stock.variantId,
  onHand: stock.onHand,
  reserved: stock.reserved,
  available: available(stock),
  lowStockThreshold: stock.lowStockThreshold,
  version: stock.version,
})

const reading = { auth: 'staff', permission: 'stocks.read' } as const
const managing = { auth: 'staff', permission: 'stocks.manage' } as const
const service = { auth: 'service' } as const

export const routes = [
  route(
    'GET',
    '/api/v1/stocks',
    {
      ...reading,
      summary: 'Stocks of all variants, by variant id.',
      query: z.object({ cursor: identifier.optional(), limit }),
      reply: z.object({ stocks: z.array(stockView), nextCursor: z.string().nullable() }),
    },
    async ({ query, principal }, inventory: Inventory) => {
      await inventory.schema()
      const stocks = await listStocks(inventory.database.forTenant(principal.tenantId), query.cursor ?? '', query.limit)
      return {
        stocks: stocks.map(show),
        nextCursor: stocks.length === query.limit ? (stocks.at(-1)?.variantId ?? null) : null,
      }
    },
  ),
  route(
    'GET',
    '/api/v1/stocks/:variantId',
    { ...reading, summary: 'Stock of a variant.', params: variantParams, reply: stockView, problems: ['not-found'] },
    async ({ params, principal }, inventory: Inventory) => {
      await inventory.schema()
      const stock = await findStock(inventory.database.forTenant(principal.tenantId), params.variantId)
      if (!stock) throw new Problem('not-found', `There is no stock of variant ${params.variantId}.`)
      return show(stock)
    },
  ),
  route(
    'PUT',
    '/api/v1/stocks/:variantId',
    {
      ...managing,
      summary: 'Sets what was counted. Names the version that was seen (0: the variant has no stock yet).',
      params: variantParams,
      body: z.strictObject({
        version: z.int().min(0),
        onHand: z.int().min(0).max(maximumUnits).optional(),
        lowStockThreshold: z.int().min(0).max(maximumUnits).optional(),
        reason: z.string().min(1).max(200),
      }),
      reply: stockView,
      problems: ['not-found', 'conflict', 'unprocessable', 'quota-exceeded'],
    },
    async ({ params, body, principal }, inventory: Inventory) => {
      if (body.version === 0) await inventory.mustHaveRoom(principal.tenantId)
      return inventory.change(principal.tenantId, principal, async (context) =>
        show(await adjust(context, { variantId: params.variantId, ...body })),
      )
    },
  ),
  route(
    'GET',
    '/api/v1/stocks/:variantId/movements',
    {
      ...reading,
      summary: 'Ledger of a variant, newest first.',
      params: variantParams,
      query: z.object({
        cursor: z
          .string()
          .regex(/^\d{1,19}$/)
          .optional(),
        limit,
      }),
      reply: z.object({ movements: z.array(movementView), nextCursor: z.string().nullable() }),
    },
    async ({ params, query, principal }, inventory: Inventory) => {
      await inventory.schema()
      const movements = await listMovements(
        inventory.database.forTenant(principal.tenantId),
        params.variantId,
        query.cursor,
        query.limit,
      )
      return { movements, nextCursor: movements.length === query.limit ? (movements.at(-1)?.id ?? null) : null }
    },
  ),
  route(
    'POST',
    '/api/v1/reservations',
    {
      ...service,
      summary: 'Sets units aside; the same reservation id again is the same reservation.',
      body: z.strictObject({ reservationId: identifier, variantId: identifier, quantity: units }),
      reply: z.object({ outcome: z.enum(['reserved', 'already-reserved']) }),
      problems: ['conflict', 'unprocessable'],
    },
    ({ body, principal }, inventory: Inventory) =>
      inventory.change(principal.tenantId, principal.userId, async (context) => {
        const result = await reserve(context, body)
        if (result.outcome !== 'insufficient') return { outcome: result.outcome }
        throw new Problem(
          'unprocessable',
          `Only ${result.available} units of variant ${body.variantId} are available.`,
          {
            extensions: { available: result.available },
          },
        )
      }),
  ),
  route(
    'POST',
    '/api/v1/reservations/:reservationId/confirm',
    {
      ...service,
      summary: 'The reserved units left the house. Idempotent.',
      params: reservationParams,
      reply: z.object({ outcome: z.enum(['settled', 'already-settled']) }),
      problems: ['not-found', 'conflict'],
    },
    ({ params, principal }, inventory: Inventory) =>
      inventory.change(principal.tenantId, principal.userId, async (context) => ({
        outcome: await settleReservation(context, params.reservationId, (reservation) => reservation.quantity),
      })),
  ),
  route(
    'POST',
    '/api/v1/reservations/:reservationId/release',
    {
      ...service,
      summary: 'The reserved units go back. Idempotent.',
      params: reservationParams,
      reply: z.object({ outcome: z.enum(['settled', 'already-settled']) }),
      problems: ['not-found', 'conflict'],
    },
    ({ params, principal }, inventory: Inventory) =>
      inventory.change(principal.tenantId, principal.userId, async (context) => ({
        outcome: await settleReservation(context, params.reservationId, () => 0),
      })),
  ),
  route(
    'GET',
    '/api/v1/allocations/:activityId',
    {
      ...service,
      summary: 'The stock that was set aside for an activity, and whether its sale was loaded into Redis.',
      params: activityParams,
      reply: allocationView,
      problems: ['not-found'],
    },
    async ({ params, principal }, inventory: Inventory) => {
      const allocation = await inventory.findAllocation(principal.tenantId, params.activityId)
      if (!allocation) throw new Problem('not-found', `There is no allocation for the activity ${params.activityId}.`)
      const { activityId, state, variantId, quantity, sold, returned, terms, warmUpBegunAt, warmedAt } = allocation
      return {
        activityId,
        state,
        variantId,
        quantity,
        sold,
        returned,
        terms: terms ?? null,
        warmUpBegunAt: warmUpBegunAt?.toISOString() ?? null,
        warmedAt: warmedAt?.toISOString() ?? null,
      }
    },
  ),
  route(
    'POST',
    '/api/v1/allocations/:activityId/warm-up',
    {
      ...service,
      summary: 'Loads the sale of an activity into Redis now.',
      params: activityParams,
      reply: z.object({ outcome: z.enum(['warmed-up', 'already-warm', 'needs-rebuild', 'not-allocated']) }),
      problems: ['not-found', 'dependency-unavailable'],
    },
    async ({ params, principal }, inventory: Inventory) => ({
      outcome: await inventory.warmUpAllocation(principal.tenantId, params.activityId),
    }),
  ),
  route(
    'GET',
    '/api/v1/inventory-rows',
    {
      auth: 'service',
      summary: 'Rows that this function holds of the tenant, for its quota; counted up to a limit.',
      query: z.object({ most: z.coerce.number().int().min(1).max(10_000_001) }),
      reply: z.object({ rows: z.int() }),
      timeoutMs: 30_000,
    },
    async ({ query, principal }, inventory: Inventory) => ({
      rows: await inventory.countRows(principal.tenantId, query.most),
    }),
  ),
]
