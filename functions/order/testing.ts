/** What the tests of this function share: a real database with the schema, terms, purchases, and a look at the tables. */
import { randomBytes } from 'node:crypto'
import type { RowDataPacket } from 'mysql2/promise'
import type { AcceptedPurchase, SaleTerms } from '@stampede/eventing/catalogue/events.ts'
import { connectDatabase } from '@stampede/shared/database/connect.ts'
import { rawPool } from '@stampede/shared/database/raw.ts'
import { migrate } from '@stampede/shared/database/migrate.ts'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { freshDatabase } from '@stampede/shared/testing/services.ts'
import type { ActivityRef, Allocation, OrderStore } from './effects.ts'
import { migrations } from './generated/migrations.ts'
import { takeTerms } from './keep-allocation.ts'
import { defaultSettlePolicy, type PurchaseOutcome, type SettleEffects, type SettlePolicy } from './settle-purchases.ts'
import { createOrderStore } from './store.ts'

/** Of any of this function's events. */
export type EventData = { tenantId: string; activityId: string; orders: Record<string, unknown>[] } & Record<
  string,
  unknown
>

export const nextOrderNumber = orderNumbers()
/** Of a purchase that was accepted so long ago. */
export const oldOrderNumber = (ageMs: number): string => orderNumbers(() => Date.now() - ageMs)()
const unique = () => randomBytes(6).toString('hex')

export async function openTestDatabase() {
  const fresh = await freshDatabase()
  const database = connectDatabase(fresh.url, { poolSize: 8, multipleStatements: true })
  await migrate(database, 'order', migrations)
  const rows = async (sql: string, values: unknown[] = []) =>
    (await rawPool(database).query<RowDataPacket[]>(sql, values))[0]
  return {
    url: fresh.url,
    database,
    store: createOrderStore(database),
    rows,
    orders: (activity: ActivityRef) =>
      rows('SELECT * FROM order_orders WHERE tenant_id = ? AND activity_id = ? ORDER BY order_number', [
        activity.tenantId,
        activity.activityId,
      ]),
    allocation: async (activity: ActivityRef) =>
      (
        await rows('SELECT * FROM order_allocations WHERE tenant_id = ? AND activity_id = ?', [
          activity.tenantId,
          activity.activityId,
        ])
      )[0] as RowDataPacket,
    /** Data of the events of an activity in the outbox, in order, with the last word of their type before the version. */
    events: async (activity: ActivityRef): Promise<{ verb: string; data: EventData }[]> =>
      (await rows('SELECT event FROM order_outbox ORDER BY id'))
        .map((row) => JSON.parse(String(row['event'])) as { type: string; data: EventData })
        .filter(({ data }) => data['tenantId'] === activity.tenantId && data['activityId'] === activity.activityId)
        .map(({ type, data }) => ({ verb: String(type.split('.').at(-2)), data })),
    close: async () => {
      await database.close()
      await fresh.drop()
    },
  }
}
export type TestDatabase = Awaited<ReturnType<typeof openTestDatabase>>

export function saleOf(changes: Partial<SaleTerms> = {}): SaleTerms {
  return {
    tenantId: `tenant-${unique()}`,
    activityId: `activity-${unique()}`,
    name: 'A sale',
    variantId: 'variant-1',
    stock: 10,
    perUserLimit: 2,
    buckets: 1,
    startsAt: '2026-01-01T00:00:00.000Z',
    endsAt: '2036-01-01T00:00:00.000Z',
    priceCents: 1_999,
    currency: 'EUR',
    paymentTimeoutSeconds: 900,
    ...changes,
  }
}

/** An activity of its own, whose terms have arrived. */
export async function openSale(store: OrderStore, changes: Partial<SaleTerms> = {}): Promise<SaleTerms> {
  const terms = saleOf(changes)
  await takeTerms({ source: '/test', id: unique() }, terms, { store, now: Date.now })
  return terms
}

export function purchaseOf(
  userId = `user-${unique()}`,
  quantity = 1,
  orderNumber = nextOrderNumber(),
): AcceptedPurchase {
  return { orderNumber, userId, quantity }
}

export const batchOf = ({ tenantId, activityId }: ActivityRef, ...purchases: AcceptedPurchase[]) => ({
  tenantId,
  activityId,
  purchases,
})

/** A process of its own: it remembers no terms. */
export function settleEffects(
  store: OrderStore,
  options: { now?: () => number; policy?: Partial<SettlePolicy> } = {},
): SettleEffects {
  return {
    store,
    terms: new Map<string, Allocation>(),
    now: options.now ?? Date.now,
    policy: { ...defaultSettlePolicy, ...options.policy },
  }
}

/** Outcomes in a word or two, with the reason of a rejection. */
export const brief = (outcomes: readonly PurchaseOutcome[]): string[] =>
  outcomes.map((outcome) => ('reason' in outcome ? `${outcome.outcome}: ${outcome.reason}` : outcome.outcome))
