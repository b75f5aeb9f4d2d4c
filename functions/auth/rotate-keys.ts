/**
 * What older keys sealed and indexed is brought to the newest ones, row by row, while everything runs: readers know all keys of the
 * ring, and each UPDATE is of the row as it was read. When nothing is left, the old keys can be taken away.
 */
import type { PlatformDatabase, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { platformStatement, tenantStatement } from '@stampede/shared/database/statement.ts'
import type { ContactKind } from '@stampede/shared/personal-data/contact.ts'
import { SealError } from '@stampede/shared/personal-data/key-ring.ts'
import { indexContact } from './contact.ts'
import type { AuthContext } from './context.ts'
import { recordContext } from './openid/records.ts'
import { contactContext } from './register.ts'

const page = 200
/** Rows that one run of the clock looks at, at most. */
const maximumRows = 50_000

const oldContacts = platformStatement(
  'auth.contactsOfOldKeys',
  `SELECT tenant_id AS tenantId, contact_index AS contactIndex, kind, sealed_contact AS sealed FROM auth_contacts
   WHERE (sealed_contact NOT LIKE :sealedNow OR contact_index NOT LIKE :indexedNow)
     AND (tenant_id > :tenantAfter OR (tenant_id = :tenantAfter AND contact_index > :indexAfter))
   ORDER BY tenant_id, contact_index LIMIT :limit`,
  'the contacts of all tenants get the newest keys by the clock',
)
const moveContact = tenantStatement(
  'auth.moveContact',
  `UPDATE auth_contacts SET contact_index = :newIndex, sealed_contact = :newSealed
   WHERE tenant_id = :tenantId AND contact_index = :contactIndex AND sealed_contact = :sealed`,
)
const oldRecords = platformStatement(
  'auth.recordsOfOldKeys',
  `SELECT tenant_id AS tenantId, model, record_hash AS recordHash, payload FROM auth_oidc_records
   WHERE payload NOT LIKE :sealedNow
     AND (tenant_id > :tenantAfter OR (tenant_id = :tenantAfter AND (model > :modelAfter OR (model = :modelAfter AND record_hash > :hashAfter))))
   ORDER BY tenant_id, model, record_hash LIMIT :limit`,
  'what the providers of all tenants remember gets the newest key by the clock',
)
const moveRecord = tenantStatement(
  'auth.moveRecord',
  `UPDATE auth_oidc_records SET payload = :newPayload
   WHERE tenant_id = :tenantId AND model = :model AND record_hash = :recordHash AND payload = :payload`,
)

type OldContact = { tenantId: string; contactIndex: string; kind: ContactKind; sealed: string }
type OldRecord = { tenantId: string; model: string; recordHash: string; payload: string }
/** Ids of keys have no `%`; `_` stands for itself here. */
const prefix = (text: string) => `${text.replaceAll('_', String.raw`\_`)}.%`

/** Returns how many rows have the newest keys now. A row that cannot be opened is left and told of. */
export async function rotateKeys(auth: AuthContext, stopping: AbortSignal): Promise<number> {
  await auth.events.schema()
  const platform = auth.events.database.forPlatform()
  const sealedNow = prefix(`v1.${auth.ring.currentKeyId}`)
  return (
    (await rotateContacts(auth, platform, sealedNow, stopping)) +
    (await rotateRecords(auth, platform, sealedNow, stopping))
  )
}

async function rotateContacts(auth: AuthContext, platform: PlatformDatabase, sealedNow: string, stopping: AbortSignal) {
  const indexedNow = prefix(auth.index.currentKeyId)
  let after = { tenantAfter: '', indexAfter: '' }
  let moved = 0
  for (let looked = 0; looked < maximumRows && !stopping.aborted; looked += page) {
    const rows = (await platform.rows(oldContacts, { sealedNow, indexedNow, ...after, limit: page })) as OldContact[]
    for (const row of rows) moved += await guarded(auth, row.tenantId, (db) => moveOneContact(auth, db, row))
    const last = rows.at(-1)
    if (!last || rows.length < page) break
    after = { tenantAfter: last.tenantId, indexAfter: last.contactIndex }
  }
  return moved
}

async function moveOneContact(auth: AuthContext, db: TenantDatabase, row: OldContact): Promise<number> {
  const { tenantId, contactIndex, kind, sealed } = row
  const value = auth.ring.open(sealed, contactContext(tenantId, contactIndex))
  const { index } = indexContact(auth.index, tenantId, { kind, value })
  // What is sealed is bound to its row's key, so it is sealed again.
  const newSealed = auth.ring.seal(value, contactContext(tenantId, index))
  return db.change(moveContact, { contactIndex, sealed, newIndex: index, newSealed })
}

async function rotateRecords(auth: AuthContext, platform: PlatformDatabase, sealedNow: string, stopping: AbortSignal) {
  let after = { tenantAfter: '', modelAfter: '', hashAfter: '' }
  let moved = 0
  for (let looked = 0; looked < maximumRows && !stopping.aborted; looked += page) {
    const rows = (await platform.rows(oldRecords, { sealedNow, ...after, limit: page })) as OldRecord[]
    for (const { tenantId, model, recordHash, payload } of rows) {
      moved += await guarded(auth, tenantId, (db) => {
        const newPayload = auth.ring.rewrap(payload, recordContext(tenantId, model, recordHash))
        return db.change(moveRecord, { model, recordHash, payload, newPayload })
      })
    }
    const last = rows.at(-1)
    if (!last || rows.length < page) break
    after = { tenantAfter: last.tenantId, modelAfter: last.model, hashAfter: last.recordHash }
  }
  return moved
}

async function guarded(auth: AuthContext, tenantId: string, work: (db: TenantDatabase) => Promise<number>) {
  try {
    return await work(auth.events.database.forTenant(tenantId))
  } catch (error) {
    if (!(error instanceof SealError)) throw error
    auth.log.error({ err: error, tenantId }, 'a row cannot be opened, so it keeps its old key')
    return 0
  }
}
