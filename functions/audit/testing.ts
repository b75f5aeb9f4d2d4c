/** audit served for tests: real MySQL; facts are delivered as the broker delivers them. */
import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import mysql, { type RowDataPacket } from 'mysql2/promise'
import { auditEvent, type AuditFact } from '@stampede/shared/audit/audit-event.ts'
import { connectDatabase } from '@stampede/shared/database/connect.ts'
import { serve } from '@stampede/shared/function/serve.ts'
import { call as callUrl } from '@stampede/shared/testing/call.ts'
import { deliver, ping, startEventSink } from '@stampede/shared/testing/events.ts'
import { createTestIdentity } from '@stampede/shared/testing/identity.ts'
import { freshDatabase, serviceAddresses } from '@stampede/shared/testing/services.ts'
import { chainOf } from './checkpoint.ts'
import { auditFunction } from './index.ts'
import { createMacs, type Macs } from './macs.ts'
import { verifyChain, type Finding, type Verification, type VerifyOptions } from './verify.ts'

export const random = () => randomBytes(6).toString('hex')
export const newKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`
export const checkpointedType = 'io.stampede.audit.checkpointed.v1'

/** One tenant of its own. */
export type Tenant = {
  tenantId: string
  fact: (overrides?: Partial<AuditFact>) => ReturnType<typeof auditEvent>
  /** Returns the status. */
  tell: (overrides?: Partial<AuditFact>) => Promise<number>
  call: (method: string, path: string, body?: unknown, token?: string) => ReturnType<typeof callUrl>
  /** Records one after the other, so that their order is known. */
  fill: (count: number) => Promise<void>
  records: () => Promise<RowDataPacket[]>
  verify: (options?: VerifyOptions, signatures?: Macs) => Promise<Verification>
}

export async function startStage() {
  const identity = await createTestIdentity()
  const [database, sink] = await Promise.all([freshDatabase(), startEventSink()])
  const auditKey = newKey('a1')
  const serving = await serve([auditFunction], {
    port: 0,
    host: '127.0.0.1',
    environment: {
      ...identity.environment,
      DATABASE_URL: database.url,
      REDIS_URL: serviceAddresses().redisUrl,
      K_SINK: sink.url,
      AUDIT_KEY: auditKey,
      LOG_LEVEL: 'silent',
    },
  })
  const host = { url: serving.url, identity }
  const sql = await mysql.createConnection({ uri: database.url, timezone: 'Z' })
  const reader = connectDatabase(database.url)
  const macs = createMacs(auditKey)

  const tenant = async (): Promise<Tenant> => {
    const tenantId = `t-${random()}`
    const staff = await identity.token({ tenantId, userId: 'keeper', roles: ['administrator'] })
    const fact = (overrides: Partial<AuditFact> = {}) =>
      auditEvent({
        by: 'tenant',
        tenantId,
        actor: { kind: 'staff', id: 'keeper', tenantId },
        action: 'thing.changed',
        subject: 'thing/1',
        details: { from: 1, to: 'two', note: 'ü😀 "quoted"' },
        atMs: Date.now(),
        ...overrides,
      })
    const tell = (overrides: Partial<AuditFact> = {}) => deliver(host, 'audit', fact(overrides))
    const call = (method: string, path: string, body?: unknown, token = staff) =>
      callUrl(`${serving.url}${path}`, method, token, body)
    return {
      tenantId,
      fact,
      tell,
      call,
      fill: async (count: number) => {
        for (let index = 1; index <= count; index++) {
          const status = await tell({
            recordId: `r-${index}`,
            subject: `thing/${index}`,
            action: `thing.n-${'x'.repeat(index)}`,
          })
          if (status !== 204) throw new Error(`answered ${status}`)
        }
      },
      records: async () => {
        const [rows] = await sql.query<RowDataPacket[]>(
          'SELECT * FROM audit_records WHERE tenant_id = ? ORDER BY sequence',
          [tenantId],
        )
        return rows
      },
      verify: (options: VerifyOptions = {}, signatures = macs) =>
        verifyChain(chainOf(reader.forTenant(tenantId)), signatures, options),
    }
  }
  /** `$T` is the tenant. */
  const run = (of: { tenantId: string }, statement: string, ...values: unknown[]) =>
    sql.query<RowDataPacket[]>(statement.replaceAll('$T', sql.escape(of.tenantId)), values)
  /** A tenant with records r-1, r-2 … of which nothing is wrong yet. */
  const filled = async (count = 6) => {
    const filledTenant = await tenant()
    await filledTenant.fill(count)
    if (await findingOf(filledTenant)) throw new Error('broken before it was touched')
    return filledTenant
  }
  return {
    run,
    filled,
    host,
    sink,
    sql,
    tenant,
    macs,
    auditKey,
    databaseUrl: database.url,
    deliver: (event: Parameters<typeof deliver>[2]) => deliver(host, 'audit', event),
    checkpoint: () => ping(host, 'audit', 'checkpoint'),
    stop: async () => {
      await serving.stop()
      await reader.close()
      await sql.end()
      await sink.stop()
      await database.drop()
    },
  }
}

/** What is found; the size of pages must not matter. */
export async function findingOf(tenant: Tenant, options: VerifyOptions = {}): Promise<Finding | null> {
  const [large, small] = [await tenant.verify(options), await tenant.verify({ ...options, pageSize: 2 })]
  if (!isDeepStrictEqual(large, small)) throw new Error('the size of pages makes a difference')
  return large.finding
}

export type Stage = Awaited<ReturnType<typeof startStage>>
