/** tenant served for tests: real MySQL and a Redis of its own, because the access directory is one for all who use a Redis. */
import { randomBytes } from 'node:crypto'
import mysql from 'mysql2/promise'
import { accessKeys } from '@stampede/shared/access/keys.ts'
import type { TenantAccess } from '@stampede/shared/access/types.ts'
import { serve } from '@stampede/shared/function/serve.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { call as callUrl } from '@stampede/shared/testing/call.ts'
import { deliver, ping, startEventSink } from '@stampede/shared/testing/events.ts'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { freshDatabase, startRedis } from '@stampede/shared/testing/services.ts'
import { tenantFunction } from './index.ts'

export const random = () => randomBytes(6).toString('hex')
export type Stage = Awaited<ReturnType<typeof startStage>>

/** Two processes (hosts) of the function on one database and one Redis. */
export async function startStage(environment: Record<string, string> = {}) {
  const [identity, database, ownRedis, sink] = await Promise.all([
    createTestIdentity(),
    freshDatabase(),
    startRedis(),
    startEventSink(),
  ])
  const start = () =>
    serve([tenantFunction], {
      port: 0,
      host: '127.0.0.1',
      environment: {
        ...identity.environment,
        ACCESS_CONTROL: 'directory',
        DATABASE_URL: database.url,
        REDIS_URL: ownRedis.url,
        K_SINK: sink.url,
        LOG_LEVEL: 'silent',
        ...environment,
      },
    })
  const servings = [await start(), await start()]
  const redis = connectRedis(ownRedis.url)
  const sql = await mysql.createConnection({ uri: database.url, timezone: 'Z' })
  await eventually(
    () => redis.exists(accessKeys.complete),
    (complete) => complete === 1,
  )
  const host = { url: servings[0]!.url, identity }
  const platform = await identity.token({
    tenantId: 'platform',
    userId: 'root',
    roles: ['platform-administrator'],
  })
  const callAs =
    (token: string, process = 0) =>
    (method: string, path: string, body?: unknown) =>
      callUrl(`${servings[process]!.url}${path}`, method, token, body)
  return {
    identity,
    sink,
    redis,
    sql,
    call: callAs(platform),
    callAs,
    staffOf: (tenantId: string, roles = ['administrator']) => identity.token({ tenantId, userId: 'chief', roles }),
    serviceOf: (tenantId: string) => identity.serviceToken(tenantId),
    async create(quota: object = {}) {
      const tenantId = `t-${random()}`
      const { status, body } = await callAs(platform)('POST', '/api/v1/tenants', { tenantId, name: 'Acme', quota })
      if (status !== 201) throw new Error(JSON.stringify(body))
      return tenantId
    },
    /** What the access directory has. */
    async directoryOf(tenantId: string): Promise<TenantAccess | undefined> {
      const json = await redis.hget(accessKeys.tenant(tenantId), 'tenant')
      return json === null ? undefined : (JSON.parse(json) as TenantAccess)
    },
    isComplete: async () => (await redis.exists(accessKeys.complete)) === 1,
    deliver: (event: Parameters<typeof deliver>[2]) => deliver(host, 'tenant', event),
    tick: () => ping(host, 'tenant', 'write-directory'),
    measure: () => ping(host, 'tenant', 'measure-storage'),
    restart: async (process: number) => {
      await servings[process]!.stop()
      servings[process] = await start()
      host.url = servings[0]!.url
    },
    stop: async () => {
      for (const serving of servings) await serving.stop()
      redis.disconnect()
      await sql.end()
      await ownRedis.stop()
      await sink.stop()
      await database.drop()
    },
  }
}

/** Looks until it is enough; throws after 20 seconds. */
export async function eventually<T>(look: () => Promise<T>, enough: (value: T) => boolean): Promise<T> {
  const untilMs = performance.now() + 20_000
  for (;;) {
    const value = await look()
    if (enough(value)) return value
    if (performance.now() > untilMs) throw new Error(`still ${JSON.stringify(value)} after 20 s`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
