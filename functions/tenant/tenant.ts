/** What the handlers of tenant need: connections, each change in its transaction, and the access directory that follows. */
import { z } from 'zod'
import type { tenantChanged } from '@stampede/eventing/catalogue/identity-events.ts'
import { createAccessDirectory } from '@stampede/shared/access/directory.ts'
import type { TenantState } from '@stampede/shared/access/types.ts'
import { measureEveryMs } from '@stampede/shared/access/storage-quota.ts'
import { writeAtStart } from '@stampede/shared/access/write-at-start.ts'
import type { AuditActor } from '@stampede/shared/audit/audit-event.ts'
import { gridAfter } from '@stampede/shared/alarms/grid.ts'
import type { HostServices, ReceivedEvent } from '@stampede/shared/function/declaration.ts'
import { connectEventDatabase, type ChangeContext } from '@stampede/shared/function/event-database.ts'
import { Problem } from '@stampede/shared/http/problem.ts'
import { platformTenant } from '@stampede/shared/identity/service-token.ts'
import { connectRedis } from '@stampede/shared/redis/connect.ts'
import { changeQuota, changeSettings, commandTenant, createTenant, noteStorage } from './change-tenant.ts'
import { migrations } from './generated/migrations.ts'
import { createStorageMeter } from './measure-storage.ts'
import { bootstrapTenants, platform, type NewTenant, type TenantSettings } from './settings.ts'
import { findTenant, listTenants, type Tenant } from './store.ts'
import type { TenantCommand } from './tenant-state.ts'

export const tenantConfig = z.object({
  DATABASE_URL: z.string(),
  REDIS_URL: z.string(),
  K_SINK: z.string(),
  K_SINK_TOKEN_FILE: z.string().optional(),
  SERVICE_SECRET: z.string(),
  BOOTSTRAP_TENANTS: bootstrapTenants,
  /** Functions whose rows count towards the quota of rows. */
  ORDER_URL: z.string().optional(),
  INVENTORY_URL: z.string().optional(),
  ACTIVITY_URL: z.string().optional(),
})
export type TenantConfig = z.output<typeof tenantConfig>

/** Tenants that one pass writes into the directory, at most; more would need a directory of another kind. */
const maximumTenants = 100_000
const page = 200

export type Tenants = ReturnType<typeof createTenants>

const counting: AuditActor = { kind: 'system', id: 'measure-storage', tenantId: platformTenant }
const system: AuditActor = { kind: 'system', id: 'bootstrap', tenantId: platformTenant }

export function createTenants(config: TenantConfig, host: HostServices, now: () => number = Date.now) {
  const events = connectEventDatabase(config, host, migrations, now)
  const { database, schema } = events
  const redis = connectRedis(config.REDIS_URL, { connectionName: 'tenant' })
  const directory = createAccessDirectory(redis)

  const rowsOf = createStorageMeter(
    { orderUrl: config.ORDER_URL, inventoryUrl: config.INVENTORY_URL, activityUrl: config.ACTIVITY_URL },
    host.name,
    config.SERVICE_SECRET,
  )

  const put = ({ tenantId, state, quota, version, storageExceeded }: Tenant) =>
    directory.putTenant(tenantId, { state, quota, version, storageExceeded })

  const get = async (tenantId: string): Promise<Tenant> => {
    await schema()
    const tenant = await findTenant(database.forTenant(tenantId))
    if (!tenant) throw new Problem('not-found', `There is no tenant ${tenantId}.`)
    return tenant
  }

  /** The change stands when Redis does not answer: its event and the schedule bring it there. */
  const change = async <T extends Tenant | undefined>(
    tenantId: string,
    actor: AuditActor,
    work: (context: ChangeContext) => Promise<T>,
  ): Promise<T> => {
    const tenant = await events.change(tenantId, actor.id, work)
    if (tenant)
      await put(tenant).catch((error: unknown) =>
        host.log.warn({ err: error, tenantId }, 'the access directory does not follow yet; it is written again'),
      )
    return tenant
  }

  const create = async (input: NewTenant, actor: AuditActor): Promise<Tenant> => {
    const tenant = await change(input.tenantId, actor, async (context) => {
      if (input.quota?.storageRows !== undefined) await context.alarm('measure-storage', now())
      return createTenant(context, input, actor)
    })
    if (!tenant) throw new Problem('conflict', `The tenant ${input.tenantId} exists already.`)
    return tenant
  }

  /** The platform's own tenant and those of the environment; what exists stays as it is. */
  const bootstrap = async () => {
    await schema()
    for (const input of [platform, ...config.BOOTSTRAP_TENANTS]) {
      if (await findTenant(database.forTenant(input.tenantId))) continue
      await change(input.tenantId, system, (context) => createTenant(context, input, system))
    }
  }

  /** Every tenant, so that a Redis that forgot knows them again. A tenant that changes meanwhile wins by its version. */
  const writeDirectory = async () => {
    await bootstrap()
    let after = ''
    for (let written = 0; written < maximumTenants; written += page) {
      if (host.draining.aborted) return
      const tenants = await listTenants(database.forPlatform(), { after, limit: page })
      await Promise.all(tenants.map(put))
      const last = tenants.at(-1)
      if (!last || tenants.length < page) return directory.markComplete()
      after = last.tenantId
    }
    host.log.error({ maximumTenants }, 'there are more tenants than the access directory is written for')
  }

  /**
   * Counts the rows of the tenants that have a quota of them; one that cannot be counted keeps what was counted before. Resolves with
   * when to count again: soon while there are more rows each time.
   */
  const measureStorage = async (): Promise<number | undefined> => {
    await schema()
    let after = ''
    let grows = false
    for (let looked = 0; looked < maximumTenants && !host.draining.aborted; looked += page) {
      const tenants = await listTenants(database.forPlatform(), { after, limit: page })
      for (const { tenantId, quota, state, storageRows } of tenants) {
        if (quota.storageRows === undefined || state === 'closed') continue
        try {
          const rows = await rowsOf(tenantId, quota.storageRows)
          grows ||= rows !== storageRows
          await change(tenantId, counting, (context) => noteStorage(context, rows, counting))
        } catch (error) {
          host.log.warn(
            { err: error, tenantId },
            'the rows of a tenant could not be counted; the next tick tries again',
          )
        }
      }
      const last = tenants.at(-1)
      if (!last || tenants.length < page) break
      after = last.tenantId
    }
    return grows ? gridAfter(now(), measureEveryMs) : undefined
  }

  /** At start: nobody can do anything before the directory is there. */
  const begun = writeAtStart(writeDirectory, host)

  return {
    database,
    schema,
    get,
    create,
    writeDirectory,
    measureStorage,
    begun: () => begun,
    list: async (options: { after: string; state?: TenantState | undefined; limit: number }) => {
      await schema()
      return listTenants(database.forPlatform(), options)
    },
    command: (tenantId: string, command: TenantCommand, reason: string, actor: AuditActor) =>
      change(tenantId, actor, (context) => commandTenant(context, command, reason, actor)),
    changeQuota: (tenantId: string, input: { version: number; quota: Tenant['quota'] }, actor: AuditActor) =>
      change(tenantId, actor, async (context) => {
        if (input.quota.storageRows !== undefined) await context.alarm('measure-storage', now())
        return changeQuota(context, input, actor)
      }),
    changeSettings: (tenantId: string, input: { version: number; settings: TenantSettings }, actor: AuditActor) =>
      change(tenantId, actor, (context) => changeSettings(context, input, actor)),

    /** Again after the commit, because the process may have died between it and the directory. Needs no inbox: an old version changes nothing. */
    async onChanged({ data }: ReceivedEvent<z.output<typeof tenantChanged.data>>) {
      await schema()
      const tenant = await findTenant(database.forTenant(data.tenantId))
      if (tenant) await put(tenant)
    },

    pruneInbox: events.pruneInbox,
    async ready() {
      await events.ready()
      await redis.ping()
    },
    async stop() {
      await begun
      await events.stop()
      redis.disconnect()
    },
  }
}
