/**
 * The database of a function that tells of its changes: schema, outbox with its relay to the broker, inbox. One line in `connect`;
 * the tables are `<function>_outbox` and, where `once` is used, `<function>_inbox`, made by the function's first migration.
 */
import { connectDatabase, type Database, type Transaction } from '../database/connect.ts'
import type { Migration } from '../database/migrate.ts'
import { prepareSchema } from '../database/schema.ts'
import type { TenantDatabase } from '../database/sessions.ts'
import { createInbox } from '../events/inbox.ts'
import { createOutbox, startOutboxRelay, type Outbox } from '../events/outbox.ts'
import { createPublisher } from '../events/publish.ts'
import { tokenFromFile } from '../events/sink-token.ts'
import { createServiceTokens, platformTenant } from '../identity/service-token.ts'
import type { HostServices, Principal, ReceivedEvent } from './declaration.ts'
import { wakeTask } from './tasks.ts'

export type EventDatabaseConfig = {
  DATABASE_URL: string
  K_SINK: string
  /** Where the broker asks for OIDC: the token for it. Otherwise the function shows its service token. */
  K_SINK_TOKEN_FILE?: string | undefined
  SERVICE_SECRET: string
}

/** Whoever showed a token; or the name of what acts by itself. */
export type Actor = string | Principal

/** What one change has: its transaction, as its tenant may use it, where its events go, and for whom and by whom it is made. */
export type ChangeContext = {
  tx: Transaction
  tenant: TenantDatabase
  outbox: Outbox
  /** The task is to run at `atMs`, when this transaction is committed. See `HostServices.alarms`. */
  alarm: (task: string, atMs: number) => Promise<void>
  now: () => number
  tenantId: string
  actor: string
  /** Whose token it was; undefined when an event or the clock does it. */
  principal: Principal | undefined
}

export type EventDatabase = {
  database: Database
  /** Resolves when the schema is there; see `prepareSchema`. */
  schema: () => Promise<void>
  /** Call after a commit outside `change` that wrote events. */
  wakeRelay: () => void
  /** One transaction; its events leave right after the commit. `work` may run again after a deadlock. */
  change: <T>(tenantId: string, actor: Actor, work: (context: ChangeContext) => Promise<T>) => Promise<T>
  /** The same for an event: nothing happens when it was handled before. */
  once: <D extends { tenantId: string }>(
    event: ReceivedEvent<D>,
    work: (context: ChangeContext) => Promise<unknown>,
  ) => Promise<void>
  /** Forgets events that no broker delivers again. */
  pruneInbox: () => Promise<void>
  /** Rejects while the database does not answer. */
  ready: () => Promise<void>
  /** Publishes what is there, for a limited time, and closes the connections. */
  stop: () => Promise<void>
}

/** Longer than any broker tries an event again. */
const inboxMs = 7 * 86_400_000

/** The broker, or the database, did not answer: not at once again. */
const wakeAfterMs = 15_000

/** Begins to migrate and to relay at once, without holding up the start. */
export function connectEventDatabase(
  config: EventDatabaseConfig,
  host: HostServices,
  migrations: readonly Migration[],
  now: () => number,
): EventDatabase {
  const database = connectDatabase(config.DATABASE_URL)
  const schema = prepareSchema(database, host.name, migrations)
  const outboxTable = `${host.name}_outbox`
  const outbox = createOutbox(outboxTable)
  const inbox = createInbox(`${host.name}_inbox`)
  const tokens = createServiceTokens({ secret: config.SERVICE_SECRET, service: host.name })
  const relay = startOutboxRelay({
    database,
    table: outboxTable,
    schema,
    publish: createPublisher({
      sink: config.K_SINK,
      token: config.K_SINK_TOKEN_FILE ? tokenFromFile(config.K_SINK_TOKEN_FILE) : () => tokens(platformTenant),
    }),
    log: host.log,
    metrics: host.metrics,
    draining: host.draining,
    retries: () => host.retries().outbox,
  })

  const change: EventDatabase['change'] = async (tenantId, actor, work) => {
    await schema()
    const by = typeof actor === 'string' ? { actor, principal: undefined } : { actor: actor.userId, principal: actor }
    const result = await database.transaction((tx) =>
      work({ tx, tenant: tx.forTenant(tenantId), outbox, alarm: host.alarms.beforeCommit, now, tenantId, ...by }),
    )
    relay.wake()
    return result
  }

  return {
    database,
    schema,
    wakeRelay: () => relay.wake(),
    change,
    once: (event, work) =>
      change(event.data.tenantId, event.source, async (context) => {
        if (await inbox.firstTime(context.tx, event)) await work(context)
      }),
    async pruneInbox() {
      await schema()
      await inbox.prune(database, inboxMs)
    },
    async ready() {
      await schema()
      await database.ping()
    },
    async stop() {
      // Nobody would publish what is left while the function sleeps.
      if (!(await relay.stop())) await host.alarms.set(wakeTask, Date.now() + wakeAfterMs)
      await database.close()
    },
  }
}
