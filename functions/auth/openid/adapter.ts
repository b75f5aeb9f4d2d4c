/** What `oidc-provider` keeps, in our tables. */
import type { Adapter, AdapterPayload } from 'oidc-provider'
import type { TenantDatabase } from '@stampede/shared/database/sessions.ts'
import type { KeyRing } from '@stampede/shared/personal-data/key-ring.ts'
import type { AuthContext } from '../context.ts'
import { hashSecret } from '../ids.ts'
import { findClient, type Client } from './clients.ts'
import {
  consumeRecord,
  listRecordsOfAccount,
  deleteRecord,
  deleteRecordsOfGrant,
  findRecord,
  findRecordByUid,
  putRecord,
  recordContext,
  type StoredRecord,
} from './records.ts'

export type AdapterOptions = {
  auth: AuthContext
  tenantId: string
  /** A grant ends, and the session that it is with it. */
  endGrant: (grantId: string) => Promise<void>
  /** What is thrown for a code or refresh token that somebody else used a moment before. */
  usedTwice: () => Error
  metadataOf: (client: Client) => AdapterPayload
  /** What the library is told of a failure of ours. */
  failure: (error: unknown) => unknown
}

function openRecord(ring: KeyRing, tenantId: string, model: string, record: StoredRecord): AdapterPayload {
  const payload = JSON.parse(
    ring.open(record.payload, recordContext(tenantId, model, record.recordHash)),
  ) as AdapterPayload
  if (record.consumedAt) payload['consumed'] = Math.floor(record.consumedAt.getTime() / 1_000)
  return payload
}

/** What the ID tokens of a person's grants call their session (`sid`), as far as a browser is still signed in. */
export async function sidsOf(ring: KeyRing, db: TenantDatabase, userId: string): Promise<Map<string, string>> {
  const sids = new Map<string, string>()
  for (const record of await listRecordsOfAccount(db, 'Session', userId)) {
    const { authorizations = {} } = openRecord(ring, db.tenantId, 'Session', record)
    for (const { grantId, sid } of Object.values(authorizations)) if (grantId && sid) sids.set(grantId, sid)
  }
  return sids
}

/** No model lives longer; one that does not say keeps this. */
const longestTtlSeconds = 400 * 86_400

export function createAdapter(options: AdapterOptions): (model: string) => Adapter {
  const { auth, tenantId } = options
  const { ring, now } = auth
  const database = (): TenantDatabase => auth.events.database.forTenant(tenantId)
  return (model) => {
    const opened = (record: StoredRecord | undefined) => record && openRecord(ring, tenantId, model, record)
    return guarded(options.failure, {
      async upsert(id, payload, expiresIn) {
        const recordHash = hashSecret(id)
        // A grant is found together with what it issued.
        const grantId = model === 'Grant' ? id : (payload.grantId ?? null)
        await putRecord(database(), {
          model,
          recordHash,
          payload: ring.seal(JSON.stringify(payload), recordContext(tenantId, model, recordHash)),
          grantId,
          uid: payload.uid ?? null,
          accountId: payload.accountId ?? null,
          expiresAt: new Date(now() + Math.min(expiresIn || longestTtlSeconds, longestTtlSeconds) * 1_000),
        })
      },
      async find(id) {
        if (model === 'Client') {
          const client = /^[A-Za-z0-9_-]{1,64}$/.test(id) ? await findClient(database(), id) : undefined
          return client && options.metadataOf(client)
        }
        return opened(await findRecord(database(), model, hashSecret(id)))
      },
      findByUid: async (uid) => opened(await findRecordByUid(database(), model, uid)),
      // Only the device flow asks, which is not offered.
      findByUserCode: async () => undefined,
      async consume(id) {
        const recordHash = hashSecret(id)
        if (await consumeRecord(database(), model, recordHash, new Date(now()))) return
        const grantId = opened(await findRecord(database(), model, recordHash))?.grantId
        if (grantId !== undefined) await options.endGrant(grantId)
        throw options.usedTwice()
      },
      async destroy(id) {
        if (model === 'Grant') await options.endGrant(id)
        else await deleteRecord(database(), model, hashSecret(id))
      },
      revokeByGrantId: (grantId) => deleteRecordsOfGrant(database(), model, grantId),
    })
  }
}

/** The same, with failures that the library can answer. */
function guarded(failure: (error: unknown) => unknown, adapter: Adapter): Adapter {
  const guard =
    <Given extends unknown[], Result>(work: (...given: Given) => Promise<Result>) =>
    async (...given: Given): Promise<Result> => {
      try {
        return await work(...given)
      } catch (error) {
        throw failure(error)
      }
    }
  return {
    upsert: guard(async (...given: Parameters<Adapter['upsert']>) => adapter.upsert(...given)),
    find: guard(async (id: string) => adapter.find(id)),
    findByUid: guard(async (uid: string) => adapter.findByUid(uid)),
    findByUserCode: guard(async (code: string) => adapter.findByUserCode(code)),
    consume: guard(async (id: string) => adapter.consume(id)),
    destroy: guard(async (id: string) => adapter.destroy(id)),
    revokeByGrantId: guard(async (grantId: string) => adapter.revokeByGrantId(grantId)),
  }
}
