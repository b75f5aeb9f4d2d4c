/**
 * Brings people from old keys of the ring under the current one, a bounded number each time, while everything goes on: rows open with
 * any key of the ring. Where it was stands in the rows themselves, so it goes on after a crash, and several may do it at once.
 */
import type { Database } from '@stampede/shared/database/connect.ts'
import { SealError } from '@stampede/shared/personal-data/key-ring.ts'
import { dataKeyContext, withCurrentIndexes, type Keys, type Person } from './person.ts'
import { peopleByKey, peopleUnder, replaceDataKey, replaceIndexes, type KeyUse } from './rotation-store.ts'

export type Rotation = {
  currentKeyIds: Record<KeyUse, string>
  /** Rows that this pass brought under the current keys. */
  rotated: Record<KeyUse, number>
  /** Rows that could not be: their key is not in the ring, or they were tampered with. */
  failed: number
  /** Rows that are under other keys than the current ones. */
  left: Record<KeyUse, number>
  /** People by key. */
  people: Record<KeyUse, Record<string, number>>
}

export type RotationEffects = {
  database: Pick<Database, 'forTenant' | 'forPlatform'>
  keys: Keys
  /** Rows under one key in one pass, at most. */
  maximumRows: number
  /** Asked between rows: a pass ends early when it is true. */
  isOver: () => boolean
  onFailure: (person: Person, error: unknown) => void
}

const page = 100

export async function rotateKeys(effects: RotationEffects): Promise<Rotation> {
  const { keys, database } = effects
  const currentKeyIds = { data: keys.ring.currentKeyId, index: keys.index.currentKeyId }
  const rotated = { data: 0, index: 0 }
  const failed = { count: 0 }
  for (const use of ['data', 'index'] as const) {
    for (const keyId of (await peopleByKey(database.forPlatform(), use)).keys()) {
      if (keyId !== currentKeyIds[use]) rotated[use] += await rotateUnder(effects, use, keyId, failed)
    }
  }
  const people = {
    data: await peopleByKey(database.forPlatform(), 'data'),
    index: await peopleByKey(database.forPlatform(), 'index'),
  }
  const leftOf = (use: KeyUse) =>
    [...people[use]].reduce((sum, [keyId, count]) => sum + (keyId === currentKeyIds[use] ? 0 : count), 0)
  return {
    currentKeyIds,
    rotated,
    failed: failed.count,
    left: { data: leftOf('data'), index: leftOf('index') },
    people: { data: Object.fromEntries(people.data), index: Object.fromEntries(people.index) },
  }
}

async function rotateUnder(
  effects: RotationEffects,
  use: KeyUse,
  keyId: string,
  failed: { count: number },
): Promise<number> {
  let rotated = 0
  let after: Person | undefined
  for (let looked = 0; looked < effects.maximumRows; looked += page) {
    const limit = Math.min(page, effects.maximumRows - looked)
    const people = await peopleUnder(effects.database.forPlatform(), use, { keyId, after, limit })
    for (const person of people) {
      if (effects.isOver()) return rotated
      try {
        if (await rotateOne(effects, use, person)) rotated += 1
      } catch (error) {
        // A database that is away ends the pass; a row that cannot be opened does not.
        if (!(error instanceof SealError) && !(error instanceof Error && error.cause instanceof SealError)) throw error
        failed.count += 1
        effects.onFailure(person, error)
      }
    }
    after = people.at(-1)
    if (people.length < limit) break
  }
  return rotated
}

async function rotateOne({ database, keys }: RotationEffects, use: KeyUse, person: Person): Promise<boolean> {
  const tenant = database.forTenant(person.tenantId)
  const { userId, dataKey: before } = person
  if (before === null) return false
  if (use === 'index') return replaceIndexes(tenant, withCurrentIndexes(person, keys))
  const dataKey = keys.ring.rewrap(before, dataKeyContext(person))
  return replaceDataKey(tenant, { userId, before, dataKey, dataKeyId: keys.ring.currentKeyId })
}
