/** A person as the table has them, and what of it only their data key opens. */
import { Problem } from '@stampede/shared/http/problem.ts'
import type { BlindIndex } from '@stampede/shared/personal-data/blind-index.ts'
import type { Contact } from '@stampede/shared/personal-data/contact.ts'
import {
  SealError,
  type KeyRing,
  type RecordSealer,
  type SealContext,
} from '@stampede/shared/personal-data/key-ring.ts'

export const userStates = ['active', 'deactivated', 'erased'] as const
export type UserState = (typeof userStates)[number]

/** Sealed columns as they are stored; null: nothing is known, or it was erased. Times in ms. */
export type Person = {
  tenantId: string
  userId: string
  state: UserState
  version: number
  dataKey: string | null
  dataKeyId: string | null
  name: string | null
  email: string | null
  emailAtMs: number | null
  emailIndex: string | null
  phone: string | null
  phoneAtMs: number | null
  phoneIndex: string | null
  indexKeyId: string | null
  locale: string | null
  defaultAddressId: string | null
  createdAtMs: number
  updatedAtMs: number
  stateAtMs: number
  erasureDueAtMs: number | null
}

export type Keys = { ring: KeyRing; index: BlindIndex }

type SealedColumn = 'name' | 'email' | 'phone'
type PersonId = { tenantId: string; userId: string }

const columnContext = ({ tenantId, userId }: PersonId, column: string): SealContext => ({
  tenantId,
  table: 'user_users',
  column,
  rowId: userId,
})
export const dataKeyContext = (person: PersonId): SealContext => columnContext(person, 'data_key')

/** Somebody of whom nothing is known yet but that they exist. */
export function newPerson({ tenantId, userId }: PersonId, { ring }: Keys, atMs: number): Person {
  return {
    tenantId,
    userId,
    state: 'active',
    version: 1,
    dataKey: ring.newRecordKey(dataKeyContext({ tenantId, userId })),
    dataKeyId: ring.currentKeyId,
    name: null,
    email: null,
    emailAtMs: null,
    emailIndex: null,
    phone: null,
    phoneAtMs: null,
    phoneIndex: null,
    indexKeyId: null,
    locale: null,
    defaultAddressId: null,
    createdAtMs: atMs,
    updatedAtMs: atMs,
    stateAtMs: atMs,
    erasureDueAtMs: null,
  }
}

/** What a person's data key seals and opens. */
export type PersonSealer = {
  open(column: SealedColumn): string | null
  seal(column: SealedColumn, text: string): string
  openAddress(addressId: string, content: string): string
  sealAddress(addressId: string, content: string): string
}

/** Throws Problem `not-found` for an erased person, `dependency-unavailable` when the key that is needed is not in DATA_KEYS. */
export function sealerOf(person: Person, { ring }: Keys): PersonSealer {
  const { dataKey } = person
  if (dataKey === null) throw new Problem('not-found', 'The data of this person was erased.')
  const record = openRecord(ring, dataKey, person)
  const addressContext = (addressId: string): SealContext => ({
    tenantId: person.tenantId,
    table: 'user_addresses',
    column: 'content',
    rowId: `${person.userId}/${addressId}`,
  })
  return {
    open: (column) => {
      const sealed = person[column]
      return sealed === null ? null : record.open(sealed, columnContext(person, column))
    },
    seal: (column, text) => record.seal(text, columnContext(person, column)),
    openAddress: (addressId, content) => record.open(content, addressContext(addressId)),
    sealAddress: (addressId, content) => record.seal(content, addressContext(addressId)),
  }
}

function openRecord(ring: KeyRing, dataKey: string, person: Person): RecordSealer {
  try {
    return ring.openRecord(dataKey, dataKeyContext(person))
  } catch (error) {
    if (error instanceof SealError && error.reason === 'unknown-key')
      throw new Problem('dependency-unavailable', 'The key of this person is not known here yet.', { cause: error })
    throw error
  }
}

/** The columns of a contact that was proved. */
export function withContact(person: Person, contact: Contact, atMs: number, keys: Keys): Person {
  const { kind, value } = contact
  const sealed = sealerOf(person, keys).seal(kind, value)
  const index = keys.index.of(kind, person.tenantId, value)
  const reindexed = withCurrentIndexes(person, keys)
  return kind === 'email'
    ? { ...reindexed, email: sealed, emailAtMs: atMs, emailIndex: index }
    : { ...reindexed, phone: sealed, phoneAtMs: atMs, phoneIndex: index }
}

/** Both indexes by the current index key: a row has only one key id for them. */
export function withCurrentIndexes(person: Person, keys: Keys): Person {
  const { index } = keys
  if (person.indexKeyId === index.currentKeyId) return person
  const sealer = sealerOf(person, keys)
  const indexOf = (kind: 'email' | 'phone') => {
    const value = sealer.open(kind)
    return value === null ? null : index.of(kind, person.tenantId, value)
  }
  return { ...person, emailIndex: indexOf('email'), phoneIndex: indexOf('phone'), indexKeyId: index.currentKeyId }
}

/** Nothing is left but that there was somebody. */
export function erased(person: Person, atMs: number): Person {
  return {
    ...person,
    state: 'erased',
    dataKey: null,
    dataKeyId: null,
    name: null,
    email: null,
    emailAtMs: null,
    emailIndex: null,
    phone: null,
    phoneAtMs: null,
    phoneIndex: null,
    indexKeyId: null,
    locale: null,
    defaultAddressId: null,
    stateAtMs: atMs,
    erasureDueAtMs: null,
  }
}
