/** What the handlers of audit need: the database, recording, checkpoints, verification. */
import { Gauge } from 'prom-client'
import { z } from 'zod'
import { auditCheckpointed, type auditRecorded } from '@stampede/eventing/catalogue/identity-events.ts'
import { isUnavailable } from '@stampede/shared/database/errors.ts'
import { gridAfter } from '@stampede/shared/alarms/grid.ts'
import type { HostServices, ReceivedEvent } from '@stampede/shared/function/declaration.ts'
import { connectEventDatabase } from '@stampede/shared/function/event-database.ts'
import { keysVariable } from '@stampede/shared/personal-data/keys.ts'
import { append, checkFact } from './append.ts'
import type { Fact } from './chain.ts'
import { chainOf, makeCheckpoint } from './checkpoint.ts'
import { gather } from './gather.ts'
import { migrations } from './generated/migrations.ts'
import { createMacs } from './macs.ts'
import { grownChains, listRecords, saveCheckpoint, type RecordFilter } from './store.ts'
import { verifyChain, type Verification } from './verify.ts'

export const auditConfig = z.object({
  DATABASE_URL: z.string(),
  K_SINK: z.string(),
  K_SINK_TOKEN_FILE: z.string().optional(),
  SERVICE_SECRET: z.string(),
  AUDIT_KEY: keysVariable,
})
export type AuditConfig = z.output<typeof auditConfig>

const page = 200
/** A record has a checkpoint behind it after this time, about. */
const checkpointEveryMs = 300_000
const minuteMs = 60_000
/** Chains that one tick looks at, at most. */
const maximumChains = 10_000
/** Records that one request verifies, at most. */
export const maximumVerified = 20_000

export type Audit = ReturnType<typeof createAudit>

export function createAudit(config: AuditConfig, host: HostServices, now: () => number = Date.now) {
  const events = connectEventDatabase(config, host, migrations, now)
  const { database, schema } = events
  const effects = { macs: createMacs(config.AUDIT_KEY), now }
  const brokenChains = new Gauge({
    name: 'audit_broken_chains',
    help: 'Chains that the last look found broken; see the log for where.',
    registers: [host.metrics],
  })
  brokenChains.set(0)

  const record = gather<Fact>({
    store: async (tenantId, facts) => {
      await schema()
      await host.alarms.set('checkpoint', gridAfter(now() + checkpointEveryMs, minuteMs))
      await database.transaction((tx) => append(tx.forTenant(tenantId), facts, effects))
    },
  })

  /** Returns false when the chain is broken. */
  const checkpointOne = async (tenantId: string): Promise<boolean> => {
    const { checkpoint, verification } = await makeCheckpoint(database, tenantId, effects)
    const { finding } = verification
    if (finding) {
      host.log.error({ tenantId, finding }, 'an audit chain is broken')
      return false
    }
    if (!checkpoint) return true
    await events.change(tenantId, host.name, async ({ tx, tenant, outbox }) => {
      await saveCheckpoint(tenant, checkpoint)
      await outbox.add(tx, [
        {
          definition: auditCheckpointed,
          id: `${tenantId}:${checkpoint.sequence}`,
          subject: tenantId,
          time: checkpoint.at,
          data: checkpoint,
        },
      ])
    })
    // Logs are kept elsewhere, too.
    host.log.info({ checkpoint }, 'audit checkpoint')
    return true
  }

  /** One chain that cannot be read does not keep the others from their checkpoints. */
  const checkpointOrTell = (tenantId: string): Promise<boolean> =>
    checkpointOne(tenantId).catch((error: unknown) => {
      if (isUnavailable(error)) throw error
      host.log.error({ error, tenantId }, 'an audit chain got no checkpoint')
      return false
    })

  return {
    database,
    schema,

    async onRecorded({ data, source }: ReceivedEvent<z.output<typeof auditRecorded.data>>) {
      const fact = { ...data, source }
      checkFact(fact)
      await record(data.tenantId, fact)
    },

    async list(tenantId: string, filter: RecordFilter & { before: number; limit: number }) {
      await schema()
      return listRecords(database.forTenant(tenantId), filter)
    },

    async verify(tenantId: string, fromSequence: number): Promise<Verification> {
      await schema()
      return verifyChain(chainOf(database.forTenant(tenantId)), effects.macs, {
        fromSequence,
        maximumRecords: maximumVerified,
      })
    },

    /** The clock. Resolves with when to look again at chains that got no checkpoint: they are broken. */
    async checkpoint(): Promise<number | undefined> {
      await schema()
      let broken = 0
      let after = ''
      for (let looked = 0; looked < maximumChains && !host.draining.aborted; looked += page) {
        const tenantIds = await grownChains(database.forPlatform(), after, page)
        for (const tenantId of tenantIds) if (!(await checkpointOrTell(tenantId))) broken += 1
        const last = tenantIds.at(-1)
        if (last === undefined || tenantIds.length < page) break
        after = last
      }
      brokenChains.set(broken)
      return broken > 0 ? gridAfter(now(), checkpointEveryMs) : undefined
    },

    ready: events.ready,
    stop: events.stop,
  }
}
