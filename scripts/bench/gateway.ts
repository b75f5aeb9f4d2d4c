/**
 * What the gateway costs. All three rows send the same presses to the same yardstick:
 *
 *   gatewayDirect  without anything between
 *   gatewayPlain   through a plain Node http proxy with undici
 *   gateway        through the gateway: routes, headers, and a rate limit in Redis that lets everybody in
 *
 * `ratios.gateway` is gateway / gatewayPlain of the same round. `tokenCheckMicros`, `permissionCheckMicros`: a token that was verified
 * before, and what a role permits, from memory.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SignJWT, exportJWK, generateKeyPair } from 'jose'
import { createAccessChecker } from '@stampede/shared/access/checker.ts'
import { createAccessDirectory } from '@stampede/shared/access/directory.ts'
import { createTokenVerifier } from '@stampede/shared/identity/access-token.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { freePort } from '@stampede/shared/testing/services.ts'
import { ManagedProcess } from '../sale/child.ts'
import { median, rounded, type BenchContext, type BenchFigures } from './context.ts'
import type { Measured } from './generator.ts'
import { writePresses } from './presses.ts'
import { watchCpu } from './process-figures.ts'

const rows = ['gatewayDirect', 'gatewayPlain', 'gateway'] as const
type Row = (typeof rows)[number]

const activityId = 'gateway'
const path = `/api/v1/seckill/${activityId}/purchases`
const pressesPerSecond = 40_000

export async function measureGateway(context: BenchContext): Promise<Partial<BenchFigures>> {
  const servers = await startServers(context)
  const measured = new Map<Row, (Measured & { cpu: number; ratio: number })[]>()
  const pressesFile = join(context.folder, 'gateway-presses')
  await writePresses({
    file: pressesFile,
    passKeys: context.identity['PASS_KEYS']!,
    tenantId: 'bench',
    activityId,
    count: (context.seconds + 1) * pressesPerSecond,
    buyers: 'buyer',
  })
  const run = (row: Row, seconds: number) =>
    context.generator.run({
      url: new URL(servers[row].plan.readyUrl).origin,
      path,
      pressesFile,
      connections: context.connections,
      seconds,
    })
  try {
    for (const row of rows) await run(row, 4)
    for (let round = 1; round <= context.rounds; round++) {
      let plain = Number.NaN
      for (const row of rows) {
        const watch = watchCpu({ server: servers[row].pid })
        const result = await run(row, context.seconds)
        const cpu = rounded((watch.read()['server'] ?? Number.NaN) / result.requests, 1)
        if (row === 'gatewayPlain') plain = result.perSecond
        const figures = { ...result, cpu, ratio: rounded(result.perSecond / plain, 3) }
        measured.set(row, [...(measured.get(row) ?? []), figures])
        context.record(row, { round, ...figures })
        context.say(
          `${row.padEnd(13)} round ${round}: ${Math.round(result.perSecond)}/s, p99 ${result.p99Ms} ms, ${cpu} µs`,
        )
        if (result.refused + result.failed > result.requests * 0.001) {
          throw new Error(
            `${row}: ${result.refused} of ${result.requests} requests were refused and ${result.failed} failed`,
          )
        }
      }
    }
  } finally {
    await Promise.all(Object.values(servers).map((server) => server.stop()))
  }
  const figures: Partial<BenchFigures> = { ratios: {}, perSecond: {}, cpuMicros: {}, ...(await measureChecks(context)) }
  for (const row of rows) {
    const of = (value: (result: Measured & { cpu: number; ratio: number }) => number, digits = 2) =>
      rounded(median(measured.get(row)!.map(value)), digits)
    figures.perSecond![row] = of(({ perSecond }) => perSecond, 0)
    figures.cpuMicros![row] = of(({ cpu }) => cpu, 1)
    if (row === 'gateway') figures.ratios![row] = of(({ ratio }) => ratio)
  }
  figures['gatewayP99Ms'] = rounded(median(measured.get('gateway')!.map(({ p99Ms }) => p99Ms)), 1)
  figures['gatewayPlainP99Ms'] = rounded(median(measured.get('gatewayPlain')!.map(({ p99Ms }) => p99Ms)), 1)
  return figures
}

async function startServers(context: BenchContext): Promise<Record<Row, ManagedProcess>> {
  const ports = { gatewayDirect: await freePort(), gatewayPlain: await freePort(), gateway: await freePort() }
  const upstream = `http://127.0.0.1:${ports.gatewayDirect}`
  const folder = join(context.folder, 'gateway-configuration')
  await mkdir(folder, { recursive: true })
  const limits = [{ name: 'flash-sale', by: 'route', functions: ['seckill'], rate: 1_000_000, burst: 1_000_000 }]
  await writeFile(join(folder, 'gateway.yaml'), JSON.stringify({ version: 'bench', limits, accessLog: { share: 0 } }))
  const plan = (name: Row, entry: string, readyPath: string, environment: Record<string, string>) =>
    new ManagedProcess({
      name,
      entry,
      environment: { ...environment, PORT: String(ports[name]), HOST: '127.0.0.1' },
      logFile: join(context.folder, `${name}.log`),
      readyUrl: `http://127.0.0.1:${ports[name]}${readyPath}`,
    })
  const servers = {
    gatewayDirect: plan('gatewayDirect', 'scripts/bench/yardstick.ts', '/', {}),
    gatewayPlain: plan('gatewayPlain', 'scripts/bench/plain-proxy.ts', '/', { UPSTREAM: upstream }),
    gateway: plan('gateway', 'functions/gateway/main.ts', '/health/readiness', {
      ...context.services,
      ...context.identity,
      LOG_LEVEL: 'warn',
      SECKILL_URL: upstream,
      CONFIGURATION_FOLDER: folder,
    }),
  }
  try {
    for (const server of Object.values(servers)) await server.start()
  } catch (error) {
    await Promise.all(Object.values(servers).map((server) => server.stop()))
    throw error
  }
  return servers
}

const checks = 200_000
const people = 1_000

/** In this process: there is nothing in it but two look-ups. */
async function measureChecks({ services }: BenchContext) {
  const tenantId = `bench-${Date.now()}`
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const verifier = createTokenVerifier({
    jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: 'bench', alg: 'ES256' }] },
    issuer: 'https://bench.example',
    audience: 'bench',
  })
  const tokens = await Promise.all(
    Array.from({ length: people }, (_, index) =>
      new SignJWT({ tenant: tenantId, roles: ['operator'] })
        .setProtectedHeader({ alg: 'ES256', kid: 'bench' })
        .setIssuer('https://bench.example')
        .setAudience('bench')
        .setSubject(`user-${index}`)
        .setIssuedAt()
        .setExpirationTime('10m')
        .sign(privateKey),
    ),
  )
  const principals = await Promise.all(tokens.map((token) => verifier.verify(token)))
  const redis = connectRedis(services.REDIS_URL)
  await createAccessDirectory(redis).putTenant(tenantId, { state: 'active', quota: {}, version: 1 })
  // The loop below lets nothing in that would keep memory fresh.
  const access = createAccessChecker({ redisUrl: services.REDIS_URL, staleMs: 60_000, timeoutMs: 5_000 })
  for (const principal of principals) {
    if ((await access.check(principal, 'orders.read')) !== 'allowed')
      throw new Error('the access directory does not answer')
  }
  const micros = (work: (index: number) => unknown): number => {
    for (let index = 0; index < checks / 10; index++) work(index % people)
    const began = performance.now()
    for (let index = 0; index < checks; index++) work(index % people)
    return rounded(((performance.now() - began) * 1_000) / checks, 3)
  }
  const tokenCheckMicros = micros((index) => verifier.verifySync(tokens[index]!))
  const permissionCheckMicros = micros((index) => {
    if (access.checkSync(principals[index]!, 'orders.read') !== 'allowed') throw new Error('not from memory')
  })
  await access.close()
  redis.disconnect()
  return { tokenCheckMicros, permissionCheckMicros }
}
