/**
 * The whole way on this machine: presses over HTTP until so many are accepted, through Redis, the relay, Kafka, the engine and
 * order, until the last order is in the database. seckill, order and the engine are processes of their own, as in production.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RowDataPacket } from 'mysql2/promise'
import { connectDatabase } from '@stampede/shared/database/connect.ts'
import { rawPool } from '@stampede/shared/database/raw.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { bucketKeys } from '@stampede/shared/sale/keys.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { createTokenMint, localTenant } from '../sale/identity.ts'
import { splitPlatform } from '../sale/platform.ts'
import { Staff } from '../sale/staff.ts'
import { rounded, type BenchContext, type BenchFigures } from './context.ts'
import { writePresses } from './presses.ts'
import { admitTenant } from './tenant.ts'

/** An activity begins in the future; until then it is warmed up. */
const untilStartMs = 8_000
const limitMs = 300_000
const settleLimitMs = 60_000

export async function measurePipeline(context: BenchContext): Promise<Partial<BenchFigures>> {
  const server = connectDatabase(context.services.DATABASE_URL)
  const name = `stampede_bench_${randomBytes(6).toString('hex')}`
  await rawPool(server).query(`CREATE DATABASE \`${name}\` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`)
  const url = new URL(context.services.DATABASE_URL)
  url.pathname = `/${name}`
  const services = { ...context.services, DATABASE_URL: url.href }
  const database = connectDatabase(url.href)
  const redis = connectRedis(context.services.REDIS_URL)
  const store = createSaleStore(redis)
  const platform = await splitPlatform({ services, identity: context.identity, logFolder: context.folder })
  try {
    // The rows before this one have made the directory complete, in which the shop would be nobody at first.
    await admitTenant(redis, localTenant)
    await platform.start()
    const mint = await createTokenMint(context.signingKey)
    const staff = new Staff(platform, await mint('staff-1', ['administrator']))
    const startsAtMs = Date.now() + untilStartMs
    const activityId = await staff.prepareActivity({
      name: 'Bench',
      stock: context.purchases,
      startsAtMs,
      endsAtMs: Date.now() + 3_600_000,
      paymentTimeoutSeconds: 86_400,
    })
    const pressesFile = join(context.folder, 'pipeline-presses')
    const plan = { file: pressesFile, passKeys: context.identity['PASS_KEYS']!, tenantId: localTenant, activityId }
    await writePresses({ ...plan, count: Math.ceil(context.purchases * 1.5), buyers: 'buyer' })
    const path = `/api/v1/seckill/${activityId}/purchases`
    const bucket = { tenantId: localTenant, activityId, bucket: 0 }

    await sleep(Math.max(0, startsAtMs - Date.now()) + 100)
    const beganMs = Date.now()
    const soldOut = new AbortController()
    const load = async () => {
      const { generator, connections } = context
      const url = platform.url('seckill')
      const measured = await generator.run({
        url,
        path,
        pressesFile,
        connections,
        seconds: limitMs / 1_000,
        stop: soldOut.signal,
      })
      context.record('pipelineLoad', { ...measured })
    }
    const watch = async () => {
      let saidAtMs = Date.now()
      for (;;) {
        const snapshot = await store.snapshot(bucket)
        if (snapshot?.left === 0) soldOut.abort()
        const [rows] = await rawPool(database).query<RowDataPacket[]>(
          'SELECT sold, (SELECT MAX(created_at) FROM order_orders) AS last FROM order_allocations WHERE activity_id = ?',
          [activityId],
        )
        const stored = Number(rows[0]?.['sold'] ?? 0)
        if (stored >= context.purchases) return Date.now()
        if (Date.now() - beganMs > limitMs)
          throw new Error(`only ${stored} of ${context.purchases} orders were stored in time`)
        if (Date.now() - saidAtMs > 5_000) {
          saidAtMs = Date.now()
          const snapshot = await store.snapshot(bucket)
          context.say(
            `pipeline     accepted ${snapshot?.sold}, outbox ${snapshot?.outboxLength} entries, stored ${stored}`,
          )
        }
        await sleep(250)
      }
    }
    const [endMs] = await Promise.all([watch().finally(() => soldOut.abort()), load()])
    const seconds = (endMs - beganMs) / 1_000
    const ordersStoredPerSecond = rounded(context.purchases / seconds, 0)
    context.say(
      `pipeline     ${context.purchases} purchases were stored as orders after ${seconds.toFixed(1)} s: ${ordersStoredPerSecond}/s`,
    )
    const bytes = await redisBytes(context, redis, store, bucket)
    context.record('pipeline', {
      purchases: context.purchases,
      seconds,
      ordersStoredPerSecond,
      redisBytesPerPurchase: bytes,
    })
    return { ordersStoredPerSecond, redisBytesPerPurchase: bytes }
  } finally {
    await platform.stop()
    redis.disconnect()
    await database.close()
    await rawPool(server).query(`DROP DATABASE IF EXISTS \`${name}\``)
    await server.close()
  }
}

/** What a purchase still takes in Redis when the sale is settled: everything confirmed, the outbox empty. */
async function redisBytes(
  context: BenchContext,
  redis: ReturnType<typeof connectRedis>,
  store: ReturnType<typeof createSaleStore>,
  bucket: { tenantId: string; activityId: string; bucket: number },
): Promise<number> {
  const untilMs = Date.now() + settleLimitMs
  let snapshot = await store.snapshot(bucket)
  while (Date.now() < untilMs && snapshot && (snapshot.outboxLength > 0 || snapshot.confirmed < context.purchases)) {
    await sleep(250)
    snapshot = await store.snapshot(bucket)
  }
  const sizes = await Promise.all(
    Object.values(bucketKeys(bucket)).map((key) => redis.memory('USAGE', key, 'SAMPLES', 1_000)),
  )
  const bytes = sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0) / context.purchases
  context.say(
    `redisBytes   ${rounded(bytes, 0)} bytes for each purchase; confirmed ${snapshot?.confirmed}, outbox ${snapshot?.outboxLength}`,
  )
  return rounded(bytes, 0)
}
