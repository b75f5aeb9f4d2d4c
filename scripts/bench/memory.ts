/** Memory of seckill under full load: after the first minute it must not grow. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { freePort } from '@stampede/shared/testing/services.ts'
import { ManagedProcess } from '../sale/child.ts'
import { median, rounded, type BenchContext, type BenchFigures } from './context.ts'
import { writePresses } from './presses.ts'
import { residentBytesOf } from './process-figures.ts'

const runSeconds = 10
const pressesPerSecond = 60_000
const firstMs = 60_000

export async function measureMemory(context: BenchContext): Promise<Partial<BenchFigures>> {
  const redis = connectRedis(context.services.REDIS_URL)
  const store = createSaleStore(redis)
  const port = await freePort()
  const server = new ManagedProcess({
    name: 'seckill-memory',
    entry: 'functions/seckill/main.ts',
    environment: {
      ...context.services,
      ...context.identity,
      LOG_LEVEL: 'warn',
      PORT: String(port),
      HOST: '127.0.0.1',
      RELAY_TOPIC: `bench-${randomBytes(4).toString('hex')}`,
    },
    logFile: join(context.folder, 'seckill-memory.log'),
    readyUrl: `http://127.0.0.1:${port}/health/readiness`,
  })
  await server.start()
  const samples: { atMs: number; bytes: number }[] = []
  const begin = Date.now()
  const timer = setInterval(() => {
    const bytes = residentBytesOf(server.pid!)
    if (bytes !== undefined) samples.push({ atMs: Date.now() - begin, bytes })
  }, 1_000)
  let requests = 0
  try {
    const pressesFile = join(context.folder, 'memory-presses')
    while (Date.now() - begin < context.memorySeconds * 1_000) {
      // A new sale for each run: the buyers of the last one have bought.
      const activityId = `memory-${randomBytes(6).toString('hex')}`
      const sale = { tenantId: 'bench', activityId, buckets: 1 }
      await store.warmUp({
        ...sale,
        stock: 100_000_000,
        perUserLimit: 1,
        startsAtMs: 0,
        endsAtMs: Date.now() + 3_600_000,
      })
      await writePresses({
        file: pressesFile,
        passKeys: context.identity['PASS_KEYS']!,
        ...sale,
        count: runSeconds * pressesPerSecond,
        buyers: 'buyer',
      })
      const path = `/api/v1/seckill/${activityId}/purchases`
      const measured = await context.generator.run({
        url: `http://127.0.0.1:${port}`,
        path,
        pressesFile,
        connections: context.connections,
        seconds: runSeconds,
      })
      requests += measured.requests
      await store.expire(sale, 60)
      context.say(
        `memory       ${Math.round((Date.now() - begin) / 1_000)} s, ${requests} purchases, ${megabytes(samples.at(-1)?.bytes ?? 0)} MB`,
      )
    }
  } finally {
    clearInterval(timer)
    await server.stop()
    redis.disconnect()
  }
  // Garbage comes and goes: the level of a stretch is its median.
  const level = (fromMs: number, toMs: number) =>
    median(samples.filter(({ atMs }) => atMs >= fromMs && atMs < toMs).map(({ bytes }) => bytes))
  const lastMs = samples.at(-1)?.atMs ?? 0
  const early = level(Math.min(firstMs, lastMs / 3), Math.min(2 * firstMs, (2 * lastMs) / 3))
  const late = level(Math.max(lastMs - firstMs, (2 * lastMs) / 3), lastMs + 1)
  context.record('memory', { requests, samples })
  return {
    memoryMegabytes: { secondMinute: megabytes(early), lastMinute: megabytes(late), growth: rounded(late / early) },
    memorySeconds: context.memorySeconds,
  }
}

const megabytes = (bytes: number): number => Math.round(bytes / 1_048_576)
