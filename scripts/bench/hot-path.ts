/**
 * The rows over HTTP: each round measures the yardstick first and then the others, and a ratio is always one of the same round.
 *
 *   yardstick     plain Node http POST, JSON in and out
 *   runtimeRoute  faas-js-runtime's own route, the same work
 *   buyAllWin     distinct buyers with a pass, everybody wins
 *   firstPress    the same, with all that a careful client sends: a pass bound to its device, an idempotency key
 *   buySoldOut    distinct buyers with a pass after the last unit is gone
 *   crowd         buyAllWin at 1,000 connections, each as fast as it can: its tail
 *   steadyCrowd   buyAllWin at 1,000 connections that offer 0.6 of the yardstick's rate: its tail when the machine is not saturated
 *   plainCrowd    the yardstick at 1,000 connections: what of that tail is the machine's
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { createSaleStore } from '@stampede/shared/sale/redis-sale-store.ts'
import type { SaleStore } from '@stampede/shared/sale/types.ts'
import { freePort } from '@stampede/shared/testing/services.ts'
import { ManagedProcess } from '../sale/child.ts'
import { median, rounded, type BenchContext, type BenchFigures } from './context.ts'
import type { Measured } from './generator.ts'
import { writePresses } from './presses.ts'
import { watchCpu } from './process-figures.ts'
import { redisPid } from './redis-process.ts'
import { admitTenant, benchTenant } from './tenant.ts'

export const hotPathRows = [
  'yardstick',
  'runtimeRoute',
  'buyAllWin',
  'firstPress',
  'buySoldOut',
  'crowd',
  'steadyCrowd',
  'plainCrowd',
] as const
export type HotPathRow = (typeof hotPathRows)[number]

const tenantId = benchTenant
const crowdConnections = 1_000
const crowds: readonly HotPathRow[] = ['crowd', 'steadyCrowd', 'plainCrowd']
/** Share of the yardstick's rate that the steady crowd offers. */
const steadyShare = 0.6
/** Presses minted for each second: more than any row here answers. */
const pressesPerSecond = 60_000
const soldOutStock = 1_000

type Servers = { yardstick: ManagedProcess; runtimeRoute: ManagedProcess; seckill: ManagedProcess }

export async function measureHotPath(
  context: BenchContext,
  rows: readonly HotPathRow[],
): Promise<Partial<BenchFigures>> {
  const redis = connectRedis(context.services.REDIS_URL)
  const store = createSaleStore(redis)
  // Access is decided from the directory, as in production; here nobody else writes it.
  await admitTenant(redis)
  const servers = await startServers(context)
  const redisProcess = await redisPid(context.services.REDIS_URL)
  const measured = new Map<HotPathRow, (Measured & { ratio: number; cpu: Record<string, number> })[]>()
  // Without the yardstick of the same round no figure says anything.
  const order = ['yardstick' as const, ...rows.filter((row) => row !== 'yardstick')]
  try {
    await warmUp(context, servers, store)
    for (let round = 1; round <= context.rounds; round++) {
      let yardstick = Number.NaN
      for (const row of order) {
        const server = servers[serverOf(row)]
        const load = {
          ...(await prepare(row, context, server, store)),
          ...(row === 'steadyCrowd' ? { perSecond: Math.round(steadyShare * yardstick) } : {}),
        }
        const watch = watchCpu({ server: server.pid, redis: redisProcess })
        const result = await context.generator.run(load)
        const cpu = watch.read()
        const perRequest = Object.fromEntries(
          Object.entries(cpu).map(([name, micros]) => [name, rounded(micros / result.requests, 1)]),
        )
        if (row === 'yardstick') yardstick = result.perSecond
        const figures = { ...result, ratio: rounded(result.perSecond / yardstick, 3), cpu: perRequest }
        measured.set(row, [...(measured.get(row) ?? []), figures])
        context.record(row, { round, connections: load.connections, ...figures })
        context.say(line(row, round, figures))
        assertAnswers(row, result)
      }
    }
  } finally {
    await stopAll(servers)
    redis.disconnect()
  }
  return summary(measured)
}

function serverOf(row: HotPathRow): keyof Servers {
  if (row === 'plainCrowd') return 'yardstick'
  return row === 'yardstick' || row === 'runtimeRoute' ? row : 'seckill'
}

async function startServers(context: BenchContext): Promise<Servers> {
  const plan = async (name: string, entry: string, readyPath: string, environment: Record<string, string>) => {
    const port = await freePort()
    return new ManagedProcess({
      name,
      entry,
      environment: { ...environment, PORT: String(port), HOST: '127.0.0.1' },
      logFile: join(context.folder, `${name}.log`),
      readyUrl: `http://127.0.0.1:${port}${readyPath}`,
    })
  }
  const servers = {
    yardstick: await plan('yardstick', 'scripts/bench/yardstick.ts', '/', {}),
    runtimeRoute: await plan('runtimeRoute', 'scripts/bench/runtime-route.ts', '/', {}),
    seckill: await plan('seckill', 'functions/seckill/main.ts', '/health/readiness', {
      ...context.services,
      ...context.identity,
      K_SINK: 'http://127.0.0.1:9',
      LOG_LEVEL: 'warn',
      RELAY_TOPIC: `bench-${randomBytes(4).toString('hex')}`,
    }),
  }
  try {
    for (const server of Object.values(servers)) await server.start()
  } catch (error) {
    await stopAll(servers)
    throw error
  }
  return servers
}

const stopAll = (servers: Servers) => Promise.all(Object.values(servers).map((server) => server.stop()))

const urlOf = (server: ManagedProcess): string => new URL(server.plan.readyUrl).origin

/** The compiler of a fresh process has seen nothing: a few seconds of load before anything is measured. */
async function warmUp(context: BenchContext, servers: Servers, store: SaleStore): Promise<void> {
  context.say('Warming up …')
  for (const row of ['yardstick', 'runtimeRoute', 'buyAllWin', 'buySoldOut', 'crowd'] as const) {
    const server = servers[serverOf(row)]
    const load = await prepare(row, { ...context, seconds: 2 }, server, store)
    await context.generator.run(load)
  }
}

async function prepare(row: HotPathRow, context: BenchContext, server: ManagedProcess, store: SaleStore) {
  const { generator, seconds, identity } = context
  const activityId = `${row}-${randomBytes(6).toString('hex')}`
  const pressesFile = join(context.folder, 'presses')
  const url = urlOf(server)
  const path = row === 'runtimeRoute' ? '/' : `/api/v1/seckill/${activityId}/purchases`
  const plan = { file: pressesFile, passKeys: identity['PASS_KEYS']!, tenantId, activityId }
  if (serverOf(row) === 'seckill') {
    await store.warmUp({
      tenantId,
      activityId,
      stock: row === 'buySoldOut' ? soldOutStock : 100_000_000,
      perUserLimit: 1,
      buckets: 1,
      startsAtMs: 0,
      endsAtMs: Date.now() + 3_600_000,
    })
  }
  if (row === 'buySoldOut') {
    await writePresses({ ...plan, count: 4 * soldOutStock, buyers: 'winner' })
    await generator.run({ url, path, pressesFile, connections: 8, seconds: 1 })
    // Until the process has noticed by itself.
    await sleep(2_500)
  }
  await writePresses({ ...plan, count: (seconds + 1) * pressesPerSecond, buyers: 'buyer', full: row === 'firstPress' })
  return { url, path, pressesFile, seconds, connections: crowds.includes(row) ? crowdConnections : context.connections }
}

/** A fast answer that is not the one that was meant is no figure. */
function assertAnswers(row: HotPathRow, { requests, refused, failed }: Measured): void {
  const expected = row === 'buySoldOut' ? requests : 0
  if (Math.abs(refused - expected) > requests * 0.001 || failed > requests * 0.001) {
    throw new Error(
      `${row}: ${refused} of ${requests} requests were refused and ${failed} failed; expected ${expected} refusals`,
    )
  }
}

function line(
  row: string,
  round: number,
  { perSecond, ratio, p99Ms, cpu, generatorCpu }: Measured & { ratio: number; cpu: Record<string, number> },
) {
  const micros = Object.entries(cpu).map(([name, value]) => `${name} ${value} µs`)
  return `${row.padEnd(12)} round ${round}: ${Math.round(perSecond)}/s, ratio ${ratio}, p99 ${p99Ms} ms, ${micros.join(', ')}, generator ${rounded(generatorCpu)} of a core`
}

function summary(
  measured: Map<HotPathRow, (Measured & { ratio: number; cpu: Record<string, number> })[]>,
): Partial<BenchFigures> {
  const figures: Partial<BenchFigures> = { ratios: {}, perSecond: {}, cpuMicros: {}, p99Ms: {}, generatorCpu: {} }
  for (const [row, results] of measured) {
    const of = (value: (result: (typeof results)[number]) => number, digits = 2) =>
      rounded(median(results.map(value)), digits)
    figures.ratios![row] = of(({ ratio }) => ratio)
    figures.perSecond![row] = of(({ perSecond }) => perSecond, 0)
    figures.cpuMicros![row] = of(({ cpu }) => cpu['server'] ?? Number.NaN, 1)
    if (row !== 'yardstick' && row !== 'runtimeRoute')
      figures.cpuMicros![`${row}Redis`] = of(({ cpu }) => cpu['redis'] ?? Number.NaN, 1)
    ;(figures['p99Ms'] as Record<string, number>)[row] = of(({ p99Ms }) => p99Ms, 1)
    ;(figures['generatorCpu'] as Record<string, number>)[row] = of(({ generatorCpu }) => generatorCpu)
  }
  return figures
}
