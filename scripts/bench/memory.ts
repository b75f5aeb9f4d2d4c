/**
 * Memory of seckill under full load: after the first minute it must not grow. What grows would be what lives: the least that is in use
 * in a minute, which is what is left after a collection. The resident size, which also holds garbage that V8 has not collected
 * yet, is reported beside it. The heap is as large as a container of this function gives it (1 GiB, see its func.yaml).
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import { freePort } from '@stampede/shared/testing/services.ts'
import { ManagedProcess } from '../sale/child.ts'
import { median, rounded, type BenchContext, type BenchFigures } from './context.ts'
import { writePresses } from './presses.ts'
import { residentBytesOf } from './process-figures.ts'
import { admitTenant, benchTenant } from './tenant.ts'

const runSeconds = 10
const pressesPerSecond = 60_000
const firstMs = 60_000
const heapMegabytes = 512

export async function measureMemory(context: BenchContext): Promise<Partial<BenchFigures>> {
  const redis = connectRedis(context.services.REDIS_URL)
  const store = createSaleStore(redis)
  const port = await freePort()
  const server = new ManagedProcess({
    name: 'seckill-memory',
    entry: 'functions/seckill/main.ts',
    nodeArguments: [`--max-old-space-size=${heapMegabytes}`],
    environment: {
      ...context.services,
      ...context.identity,
      K_SINK: 'http://127.0.0.1:9',
      LOG_LEVEL: 'warn',
      PORT: String(port),
      HOST: '127.0.0.1',
      RELAY_TOPIC: `bench-${randomBytes(4).toString('hex')}`,
    },
    logFile: join(context.folder, 'seckill-memory.log'),
    readyUrl: `http://127.0.0.1:${port}/health/readiness`,
  })
  await admitTenant(redis)
  await server.start()
  const samples: Sample[] = []
  const begin = Date.now()
  const sample = async () => {
    const atMs = Date.now() - begin
    const residentBytes = residentBytesOf(server.pid!)
    const text = await fetch(`http://127.0.0.1:${port}/metrics`).then((response) => response.text())
    const usedBytes = gauge(text, 'nodejs_heap_size_used_bytes') + gauge(text, 'nodejs_external_memory_bytes')
    if (residentBytes !== undefined) samples.push({ atMs, residentBytes, usedBytes })
  }
  // One that fails (the server stops) is one figure less.
  const timer = setInterval(() => void sample().catch(() => {}), 1_000)
  let requests = 0
  try {
    const pressesFile = join(context.folder, 'memory-presses')
    while (Date.now() - begin < context.memorySeconds * 1_000) {
      // A new sale for each run: the buyers of the last one have bought.
      const activityId = `memory-${randomBytes(6).toString('hex')}`
      const sale = { tenantId: benchTenant, activityId, buckets: 1 }
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
        `memory       ${Math.round((Date.now() - begin) / 1_000)} s, ${requests} purchases, ${megabytes(samples.at(-1)?.residentBytes ?? 0)} MB resident, ${megabytes(samples.at(-1)?.usedBytes ?? 0)} MB in use`,
      )
    }
  } finally {
    clearInterval(timer)
    await server.stop()
    redis.disconnect()
  }
  const lastMs = samples.at(-1)?.atMs ?? 0
  const early = within(samples, Math.min(firstMs, lastMs / 3), Math.min(2 * firstMs, (2 * lastMs) / 3))
  const late = within(samples, Math.max(lastMs - firstMs, (2 * lastMs) / 3), lastMs + 1)
  context.record('memory', { requests, samples })
  return {
    memoryMegabytes: {
      secondMinute: figuresOf(early),
      lastMinute: figuresOf(late),
      growth: rounded(leastInUse(late) / leastInUse(early)),
    },
    memorySeconds: context.memorySeconds,
  }
}

type Sample = { atMs: number; residentBytes: number; usedBytes: number }

const within = (samples: readonly Sample[], fromMs: number, toMs: number) =>
  samples.filter(({ atMs }) => atMs >= fromMs && atMs < toMs)
const leastInUse = (samples: readonly Sample[]) => Math.min(...samples.map(({ usedBytes }) => usedBytes))
const figuresOf = (samples: readonly Sample[]) => ({
  leastInUse: megabytes(leastInUse(samples)),
  resident: megabytes(median(samples.map(({ residentBytes }) => residentBytes))),
})

/** A value out of Prometheus' text. */
const gauge = (text: string, name: string) =>
  Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1])

const megabytes = (bytes: number): number => Math.round(bytes / 1_048_576)
