/** Order writer alone: transactions of 100 orders with the allocation and the rows of the outbox, on one connection. */
/* eslint-disable no-unmodified-loop-condition -- counted up in callbacks */
import { randomBytes } from 'node:crypto'
import { Registry } from 'prom-client'
import { connectDatabase } from '@stampede/shared/database/connect.ts'
import { rawPool } from '@stampede/shared/database/raw.ts'
import { migrate } from '@stampede/shared/database/migrate.ts'
import { orderNumbers } from '@stampede/shared/ids/order-number.ts'
import { migrations } from '../../functions/order/generated/migrations.ts'
import { takeTerms } from '../../functions/order/keep-allocation.ts'
import { createOrderWriter } from '../../functions/order/order-writer.ts'
import { connectForWriting, createOrderStore } from '../../functions/order/store.ts'
import { median, rounded, type BenchContext, type BenchFigures } from './context.ts'

const rowsEach = 100
/** Batches that wait, so that the writer never does. */
const ahead = 4

export async function measureOrderWriter(context: BenchContext): Promise<Partial<BenchFigures>> {
  const server = connectDatabase(context.services.DATABASE_URL)
  const name = `stampede_bench_${randomBytes(6).toString('hex')}`
  await rawPool(server).query(`CREATE DATABASE \`${name}\` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`)
  const url = new URL(context.services.DATABASE_URL)
  url.pathname = `/${name}`
  const database = connectForWriting(url.href)
  const perSecond: number[] = []
  try {
    await migrate(database, 'order', migrations)
    const store = createOrderStore(database)
    const next = orderNumbers()
    for (let round = 0; round <= context.rounds; round++) {
      const activity = { tenantId: 'bench', activityId: `orders-${round}` }
      await takeTerms({ source: '/bench', id: activity.activityId }, termsOf(activity), { store, now: Date.now })
      const writer = createOrderWriter({ store, metrics: new Registry(), maximumGroup: rowsEach })
      const total = round === 0 ? 5_000 : context.purchases
      let submitted = 0
      let stored = 0
      const began = performance.now()
      const submit = async () => {
        while (submitted < total) {
          const purchases = Array.from({ length: rowsEach }, () => ({
            orderNumber: next(),
            userId: `buyer-${submitted++}`,
            quantity: 1,
          }))
          for (const { outcome } of await writer.settle({ ...activity, purchases }))
            if (outcome === 'stored') stored += 1
        }
      }
      await Promise.all(Array.from({ length: ahead }, submit))
      const seconds = (performance.now() - began) / 1_000
      if (stored !== submitted) throw new Error(`${stored} of ${submitted} orders were stored`)
      if (round === 0) continue
      perSecond.push(stored / seconds)
      context.record('orderWriter', { round, orders: stored, seconds })
      context.say(`orderWriter  round ${round}: ${Math.round(stored / seconds)} orders/s`)
    }
  } finally {
    await database.close()
    await rawPool(server).query(`DROP DATABASE IF EXISTS \`${name}\``)
    await server.close()
  }
  return { perSecond: { orderWriter: rounded(median(perSecond), 0) } }
}

function termsOf(activity: { tenantId: string; activityId: string }) {
  return {
    ...activity,
    name: 'Bench',
    variantId: 'variant-1',
    stock: 100_000_000,
    perUserLimit: 1,
    buckets: 1,
    startsAt: '2026-01-01T00:00:00.000Z',
    endsAt: '2036-01-01T00:00:00.000Z',
    priceCents: 1_999,
    currency: 'EUR',
    paymentTimeoutSeconds: 604_800,
  }
}
