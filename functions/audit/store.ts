/** All SQL of audit. Records and checkpoints are inserted and read; nothing updates or deletes them. */
import { platformStatement, tenantStatement } from '@stampede/shared/database/statement.ts'
import type { PlatformDatabase, Row, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { canonicalJson } from './canonical-json.ts'
import type { AuditRecord, Fact } from './chain.ts'
import type { Checkpoint, Head, Signature } from './macs.ts'

const selectRecords = tenantStatement(
  'audit.selectRecords',
  `SELECT sequence, record_id, source, actor_kind, actor_id, actor_tenant_id, action, subject, details, at, recorded_at, previous_hash, hash
   FROM audit_records WHERE tenant_id = :tenantId AND sequence > :after ORDER BY sequence LIMIT :limit`,
)
const listNewest = tenantStatement(
  'audit.listNewest',
  `SELECT sequence, record_id, source, actor_kind, actor_id, actor_tenant_id, action, subject, details, at, recorded_at, previous_hash, hash
   FROM audit_records WHERE tenant_id = :tenantId AND sequence < :before
     AND (:actor IS NULL OR actor_id = :actor) AND (:action IS NULL OR action = :action)
     AND (:subject IS NULL OR subject = :subject) AND (:since IS NULL OR at >= :since) AND (:until IS NULL OR at < :until)
   ORDER BY sequence DESC LIMIT :limit`,
)
const selectKnown = tenantStatement(
  'audit.selectKnown',
  'SELECT record_id FROM audit_records WHERE tenant_id = :tenantId AND record_id IN (:recordIds)',
)
const insertRecord = tenantStatement(
  'audit.insertRecord',
  `INSERT INTO audit_records (tenant_id, sequence, record_id, source, actor_kind, actor_id, actor_tenant_id, action, subject, details, at,
     recorded_at, previous_hash, hash)
   VALUES (:tenantId, :sequence, :recordId, :source, :actorKind, :actorId, :actorTenantId, :action, :subject, :details, :at,
     :recordedAt, :previousHash, :hash)`,
)
const selectLast = tenantStatement(
  'audit.selectLast',
  'SELECT MAX(sequence) AS sequence FROM audit_records WHERE tenant_id = :tenantId',
)
const selectHead = tenantStatement(
  'audit.selectHead',
  'SELECT sequence, hash, key_id, mac FROM audit_chains WHERE tenant_id = :tenantId',
)
const selectHeadForUpdate = tenantStatement(
  'audit.selectHeadForUpdate',
  'SELECT sequence, hash, key_id, mac FROM audit_chains WHERE tenant_id = :tenantId FOR UPDATE',
)
const insertHead = tenantStatement(
  'audit.insertHead',
  `INSERT INTO audit_chains (tenant_id, sequence, hash, key_id, mac) VALUES (:tenantId, :sequence, :hash, :keyId, :mac)
   ON DUPLICATE KEY UPDATE tenant_id = tenant_id`,
)
const updateHead = tenantStatement(
  'audit.updateHead',
  'UPDATE audit_chains SET sequence = :sequence, hash = :hash, key_id = :keyId, mac = :mac WHERE tenant_id = :tenantId',
)
const selectCheckpoints = tenantStatement(
  'audit.selectCheckpoints',
  `SELECT sequence, hash, at, key_id, mac FROM audit_checkpoints WHERE tenant_id = :tenantId AND sequence >= :least AND sequence <= :most
   ORDER BY sequence`,
)
const selectLastCheckpoint = tenantStatement(
  'audit.selectLastCheckpoint',
  `SELECT sequence, hash, at, key_id, mac FROM audit_checkpoints WHERE tenant_id = :tenantId ORDER BY sequence DESC LIMIT 1`,
)
const insertCheckpoint = tenantStatement(
  'audit.insertCheckpoint',
  `INSERT INTO audit_checkpoints (tenant_id, sequence, hash, at, key_id, mac) VALUES (:tenantId, :sequence, :hash, :at, :keyId, :mac)
   ON DUPLICATE KEY UPDATE tenant_id = tenant_id`,
)
const selectGrown = platformStatement(
  'audit.selectGrown',
  `SELECT c.tenant_id AS tenantId FROM audit_chains c WHERE c.tenant_id > :after AND NOT EXISTS
     (SELECT 1 FROM audit_checkpoints p WHERE p.tenant_id = c.tenant_id AND p.sequence = c.sequence)
   ORDER BY c.tenant_id LIMIT :limit`,
  'the clock looks for the chains of all tenants that have grown',
)
const selectTenants = platformStatement(
  'audit.selectTenants',
  `SELECT tenant_id AS tenantId FROM audit_chains WHERE tenant_id > :after
   UNION SELECT DISTINCT tenant_id FROM audit_records WHERE tenant_id > :after ORDER BY tenantId LIMIT :limit`,
  'the command verifies the chains of all tenants',
)

export type RecordFilter = {
  actor?: string | undefined
  action?: string | undefined
  subject?: string | undefined
  since?: string | undefined
  until?: string | undefined
}

/** `details` as it is stored: a text that is not canonical was changed. */
export type StoredRecord = AuditRecord & { detailsText: string }

const isoOf = (value: unknown): string => (value as Date).toISOString()

function toRecord(tenantId: string, row: Row): StoredRecord {
  const detailsText = String(row['details'])
  return {
    tenantId,
    sequence: Number(row['sequence']),
    recordId: String(row['record_id']),
    source: String(row['source']),
    actor: {
      kind: row['actor_kind'] as Fact['actor']['kind'],
      id: String(row['actor_id']),
      tenantId: String(row['actor_tenant_id']),
    },
    action: String(row['action']),
    subject: String(row['subject']),
    details: detailsOf(detailsText),
    detailsText,
    at: isoOf(row['at']),
    recordedAt: isoOf(row['recorded_at']),
    previousHash: String(row['previous_hash']),
    hash: String(row['hash']),
  }
}

function detailsOf(text: string): Fact['details'] {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fact['details']
  } catch {
    // Somebody changed it; the verification says so.
  }
  return {}
}

const toHead = (tenantId: string, row: Row): Head => ({
  tenantId,
  sequence: Number(row['sequence']),
  hash: String(row['hash']),
  keyId: String(row['key_id']),
  mac: String(row['mac']),
})
const toCheckpoint = (tenantId: string, row: Row): Checkpoint => ({ ...toHead(tenantId, row), at: isoOf(row['at']) })

/** In order, those behind `after`. */
export async function readRecords(tenant: TenantDatabase, after: number, limit: number): Promise<StoredRecord[]> {
  return (await tenant.rows(selectRecords, { after, limit })).map((row) => toRecord(tenant.tenantId, row))
}

/** Newest first, those before `before`. */
export async function listRecords(
  tenant: TenantDatabase,
  filter: RecordFilter & { before: number; limit: number },
): Promise<StoredRecord[]> {
  const { actor = null, action = null, subject = null, since, until, before, limit } = filter
  const time = (text: string | undefined) => (text === undefined ? null : new Date(text))
  const values = { actor, action, subject, since: time(since), until: time(until), before, limit }
  return (await tenant.rows(listNewest, values)).map((row) => toRecord(tenant.tenantId, row))
}

export async function knownRecordIds(tenant: TenantDatabase, recordIds: readonly string[]): Promise<Set<string>> {
  return new Set((await tenant.rows(selectKnown, { recordIds })).map((row) => String(row['record_id'])))
}

export async function insertRecords(tenant: TenantDatabase, records: readonly AuditRecord[]): Promise<void> {
  await tenant.changeAll(
    insertRecord,
    records.map(({ sequence, recordId, source, actor, action, subject, details, previousHash, hash, ...record }) => ({
      sequence,
      recordId,
      source,
      actorKind: actor.kind,
      actorId: actor.id,
      actorTenantId: actor.tenantId,
      action,
      subject,
      details: canonicalJson(details),
      at: new Date(record.at),
      recordedAt: new Date(record.recordedAt),
      previousHash,
      hash,
    })),
  )
}

/** The number of the newest record; 0 without any. */
export async function lastSequence(tenant: TenantDatabase): Promise<number> {
  return Number((await tenant.row(selectLast, {}))?.['sequence'] ?? 0)
}

export async function findHead(tenant: TenantDatabase): Promise<Head | undefined> {
  const row = await tenant.row(selectHead, {})
  return row && toHead(tenant.tenantId, row)
}

export async function lockHead(tenant: TenantDatabase): Promise<Head | undefined> {
  const row = await tenant.row(selectHeadForUpdate, {})
  return row && toHead(tenant.tenantId, row)
}

type NewHead = { sequence: number; hash: string } & Signature

/** Nothing happens when there is one. */
export async function createHead(tenant: TenantDatabase, { sequence, hash, keyId, mac }: NewHead): Promise<void> {
  await tenant.change(insertHead, { sequence, hash, keyId, mac })
}

export async function moveHead(tenant: TenantDatabase, { sequence, hash, keyId, mac }: NewHead): Promise<void> {
  await tenant.change(updateHead, { sequence, hash, keyId, mac })
}

export async function readCheckpoints(tenant: TenantDatabase, least: number, most: number): Promise<Checkpoint[]> {
  return (await tenant.rows(selectCheckpoints, { least, most })).map((row) => toCheckpoint(tenant.tenantId, row))
}

export async function lastCheckpoint(tenant: TenantDatabase): Promise<Checkpoint | undefined> {
  const row = await tenant.row(selectLastCheckpoint, {})
  return row && toCheckpoint(tenant.tenantId, row)
}

/** Nothing happens when another process wrote one for the same end. */
export async function saveCheckpoint(tenant: TenantDatabase, checkpoint: Checkpoint): Promise<void> {
  const { sequence, hash, at, keyId, mac } = checkpoint
  await tenant.change(insertCheckpoint, { sequence, hash, at: new Date(at), keyId, mac })
}

const tenantIds = (rows: readonly Row[]): string[] => rows.map((row) => String(row['tenantId']))

/** Tenants whose chain has an end without a checkpoint, by id. */
export async function grownChains(platform: PlatformDatabase, after: string, limit: number): Promise<string[]> {
  return tenantIds(await platform.rows(selectGrown, { after, limit }))
}

/** Every tenant with a chain or with records, by id. */
export async function chainTenants(platform: PlatformDatabase, after: string, limit: number): Promise<string[]> {
  return tenantIds(await platform.rows(selectTenants, { after, limit }))
}
