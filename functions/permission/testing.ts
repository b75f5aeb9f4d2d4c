/** permission served for tests: real MySQL and a Redis of its own, because the access directory is one for all who use a Redis. */
import { randomBytes } from 'node:crypto'
import { createAccessDirectory } from '@stampede/shared/access/directory.ts'
import { accessKeys } from '@stampede/shared/access/keys.ts'
import type { TenantState } from '@stampede/shared/access/types.ts'
import { serve } from '@stampede/shared/function/serve.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { request, type Body } from '@stampede/shared/testing/call.ts'
import { deliver, ping, startEventSink } from '@stampede/shared/testing/events.ts'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { freshDatabase, startRedis } from '@stampede/shared/testing/services.ts'
import { permissionFunction } from './index.ts'

export const random = () => randomBytes(6).toString('hex')
export type Stage = Awaited<ReturnType<typeof startStage>>
export type Tenant = Awaited<ReturnType<Stage['tenant']>>

/** Two processes (hosts) of the function on one database and one Redis. */
export async function startStage(environment: Record<string, string> = {}) {
  const [identity, database, ownRedis, sink] = await Promise.all([
    createTestIdentity(),
    freshDatabase(),
    startRedis(),
    startEventSink(),
  ])
  const start = () =>
    serve([permissionFunction], {
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
  const directory = createAccessDirectory(redis)
  const host = { url: servings[0]!.url, identity }

  const call = async (process: number, token: string, method: string, path: string, body?: unknown) => {
    const response = await request(`${servings[process]!.url}${path}`, method, token, body)
    const text = await response.text()
    return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Body }
  }
  /** What a person of a tenant does, with a token that lasts. */
  const personOf = async (tenantId: string, userId: string, roles: readonly string[]) => {
    const token = await identity.token({ tenantId, userId, roles })
    return {
      userId,
      token,
      ask: (method: string, path: string, body?: unknown) => call(0, token, method, path, body),
      elsewhere: (method: string, path: string, body?: unknown) => call(1, token, method, path, body),
    }
  }
  const root = await personOf('platform', 'root', ['platform-administrator'])
  return {
    identity,
    sink,
    redis,
    directory,
    root,
    personOf,
    /** A tenant in the access directory, with an administrator. */
    async tenant(state: TenantState = 'active') {
      const tenantId = `t-${random()}`
      await directory.putTenant(tenantId, { state, quota: {}, version: 1 })
      const chief = await personOf(tenantId, 'chief', ['administrator'])
      const made = await root.ask('POST', `/api/v1/tenants/${tenantId}/administrators`, { userId: 'chief' })
      if (made.status !== 200) throw new Error(JSON.stringify(made))
      const service = await identity.serviceToken(tenantId)
      return {
        tenantId,
        ...chief,
        person: (userId: string, roles: readonly string[] = []) => personOf(tenantId, userId, roles),
        asService: (method: string, path: string, body?: unknown) => call(0, service, method, path, body),
        role: async (role: string, permissions: readonly string[], inherits: readonly string[] = []) =>
          chief.ask('POST', '/api/v1/roles', { role, permissions, inherits }),
        /** Gives a user these roles, whatever they had. */
        assign: async (userId: string, roles: readonly string[]) => {
          const { body } = await chief.ask('GET', `/api/v1/users/${userId}/roles`)
          return chief.ask('PUT', `/api/v1/users/${userId}/roles`, { version: body['version'], roles })
        },
        rolesInDirectory: async (): Promise<Record<string, string[]> | undefined> => {
          const json = await redis.hget(accessKeys.tenant(tenantId), 'roles')
          return json === null ? undefined : (JSON.parse(json) as { roles: Record<string, string[]> }).roles
        },
        correctionOf: async (userId: string): Promise<string[] | undefined> => {
          const fact = await redis.hget(accessKeys.corrections(tenantId), `${userId}:roles`)
          return fact === null ? undefined : (JSON.parse(fact.slice(fact.indexOf(' ') + 1)) as string[])
        },
      }
    },
    deliver: (event: Parameters<typeof deliver>[2]) => deliver(host, 'permission', event),
    tick: () => ping(host, 'permission', 'write-directory'),
    stop: async () => {
      for (const serving of servings) await serving.stop()
      redis.disconnect()
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
