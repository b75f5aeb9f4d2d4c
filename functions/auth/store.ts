/** SQL of accounts and their contacts. Codes and counters, sessions, keys and OpenID Connect have stores of their own. */
import type { Row, TenantDatabase } from '@stampede/shared/database/sessions.ts'
import { tenantStatement } from '@stampede/shared/database/statement.ts'
import type { ContactKind } from '@stampede/shared/personal-data/contact.ts'

export type AccountState = 'active' | 'deactivated' | 'erased'
export type Account = {
  userId: string
  state: AccountState
  stateAt: Date
  passwordHash: string | undefined
}

const toAccount = (row: Row | undefined): Account | undefined =>
  row && {
    userId: String(row['userId']),
    state: row['state'] as AccountState,
    stateAt: row['stateAt'] as Date,
    passwordHash: (row['passwordHash'] as string | null) ?? undefined,
  }

const byContact = tenantStatement(
  'auth.findAccountByContact',
  `SELECT a.user_id AS userId, a.state, a.state_at AS stateAt, a.password_hash AS passwordHash
   FROM auth_contacts c JOIN auth_accounts a ON a.tenant_id = c.tenant_id AND a.user_id = c.user_id
   WHERE c.tenant_id = :tenantId AND c.contact_index IN (:indexes)`,
)
/** `indexes`: the contact under each index key, so that one that a rotation has not reached is found. */
export async function findAccountByContact(
  db: TenantDatabase,
  indexes: readonly string[],
): Promise<Account | undefined> {
  return toAccount(await db.row(byContact, { indexes }))
}

const byId = tenantStatement(
  'auth.findAccount',
  `SELECT user_id AS userId, state, state_at AS stateAt, password_hash AS passwordHash FROM auth_accounts
   WHERE tenant_id = :tenantId AND user_id = :userId`,
)
export async function findAccount(db: TenantDatabase, userId: string): Promise<Account | undefined> {
  return toAccount(await db.row(byId, { userId }))
}

const lockById = tenantStatement(
  'auth.lockAccount',
  `SELECT user_id AS userId, state, state_at AS stateAt, password_hash AS passwordHash FROM auth_accounts
   WHERE tenant_id = :tenantId AND user_id = :userId FOR UPDATE`,
)
/** Whoever begins a session or changes the state locks the account first: no session begins beside a deactivation. */
export async function lockAccount(db: TenantDatabase, userId: string): Promise<Account | undefined> {
  return toAccount(await db.row(lockById, { userId }))
}

const insert = tenantStatement(
  'auth.insertAccount',
  `INSERT INTO auth_accounts (tenant_id, user_id, state, state_at, password_hash, password_at, created_at)
   VALUES (:tenantId, :userId, 'active', :at, :passwordHash, :passwordAt, :at)`,
)
export async function insertAccount(
  db: TenantDatabase,
  { userId, passwordHash, at }: { userId: string; passwordHash: string | undefined; at: Date },
): Promise<void> {
  await db.change(insert, {
    userId,
    at,
    passwordHash: passwordHash ?? null,
    passwordAt: passwordHash === undefined ? null : at,
  })
}

export type StoredContact = { index: string; kind: ContactKind; sealed: string }

const addContact = tenantStatement(
  'auth.insertContact',
  `INSERT INTO auth_contacts (tenant_id, contact_index, kind, user_id, sealed_contact, verified_at)
   VALUES (:tenantId, :index, :kind, :userId, :sealed, :at)`,
)
/** Throws the database's duplicate-key error when somebody has the contact. */
export async function insertContact(
  db: TenantDatabase,
  contact: StoredContact & { userId: string; at: Date },
): Promise<void> {
  await db.change(addContact, contact)
}

const contactsOf = tenantStatement(
  'auth.listContacts',
  `SELECT contact_index AS contactIndex, kind, sealed_contact AS sealed FROM auth_contacts
   WHERE tenant_id = :tenantId AND user_id = :userId ORDER BY verified_at, contact_index LIMIT 20`,
)
export async function listContacts(db: TenantDatabase, userId: string): Promise<StoredContact[]> {
  const rows = await db.rows(contactsOf, { userId })
  return rows.map((row) => ({
    index: String(row['contactIndex']),
    kind: row['kind'] as ContactKind,
    sealed: String(row['sealed']),
  }))
}

const removeContacts = tenantStatement(
  'auth.deleteContacts',
  'DELETE FROM auth_contacts WHERE tenant_id = :tenantId AND user_id = :userId',
)
export async function deleteContacts(db: TenantDatabase, userId: string): Promise<void> {
  await db.change(removeContacts, { userId })
}

const password = tenantStatement(
  'auth.setPassword',
  `UPDATE auth_accounts SET password_hash = :passwordHash, password_at = :at WHERE tenant_id = :tenantId AND user_id = :userId`,
)
export async function setPassword(
  db: TenantDatabase,
  userId: string,
  passwordHash: string | null,
  at: Date,
): Promise<void> {
  await db.change(password, { userId, passwordHash, at })
}

const state = tenantStatement(
  'auth.setAccountState',
  `UPDATE auth_accounts SET state = :state, state_at = :at WHERE tenant_id = :tenantId AND user_id = :userId`,
)
export async function setAccountState(
  db: TenantDatabase,
  userId: string,
  newState: AccountState,
  at: Date,
): Promise<void> {
  await db.change(state, { userId, state: newState, at })
}
