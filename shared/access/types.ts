/**
 * Access: what decides, beyond a token's signature, whether a caller may do something now. Tokens live for minutes; a suspended
 * tenant, a deactivated user or a changed role must count within a second. So the functions that own these facts write them into
 * the **access directory** (Redis), and every process keeps what it needs of it in memory, told of changes by a stream.
 */
import type { Principal } from '../function/declaration.ts'
import type { Permission } from './permissions.ts'

export type TenantState = 'active' | 'suspended' | 'closed'

/** Limits of a tenant; undefined: no limit. */
export type TenantQuota = {
  /** Purchases a second, over all activities and processes. */
  requestsPerSecond?: number | undefined
  /** Activities that are not settled or cancelled. */
  activities?: number | undefined
  /** Accepted purchases in a day (UTC). */
  ordersPerDay?: number | undefined
  /** Rows in all tables of all functions. */
  storageRows?: number | undefined
}

/** What the function `tenant` writes. A lower or equal `version` never replaces a higher one. */
export type TenantAccess = {
  state: TenantState
  quota: TenantQuota
  version: number
  /** More rows than `quota.storageRows`, as they were counted last: nothing new is created by staff. */
  storageExceeded?: boolean | undefined
}

/** What the function `permission` writes: every role of the tenant that is not built in, with its effective permissions (inheritance resolved). */
export type RoleAccess = { roles: Readonly<Record<string, readonly Permission[]>>; version: number }

/**
 * What has become untrue in tokens that are still valid. Kept until no token or pass from before can be valid any more (`facts.ts`);
 * new tokens are right by themselves.
 */
export type Correction = {
  /** Tokens and passes issued before this (ms) are what is corrected. */
  atMs: number
  /** The account is deactivated, locked by staff or erased: nothing is allowed. */
  blocked?: boolean
  /** The roles the user has now, instead of those in the token. */
  roles?: readonly string[]
  /** Sessions (`sid` of the token) that were revoked. */
  revokedSessions?: readonly string[]
  /** All tokens issued before `atMs` are void: "log out everywhere". */
  signedOut?: boolean
}

/**
 * `allowed`; `signed-out` (401: user blocked, session revoked); `tenant-suspended` (403); `forbidden` (403: no role has the
 * permission); `unknown` (503: the directory cannot be read and memory is older than a second: fails closed).
 */
export type AccessVerdict = 'allowed' | 'signed-out' | 'tenant-suspended' | 'forbidden' | 'unknown'

export type AccessChecker = {
  /** From memory, microseconds, no I/O. Undefined: this tenant is not in memory, or memory may be out of date: ask `check`. */
  checkSync(principal: Principal, permission?: Permission): AccessVerdict | undefined
  check(principal: Principal, permission?: Permission): Promise<AccessVerdict>
  /** Quota from memory; undefined when the tenant is not in memory. */
  quotaSync(tenantId: string): TenantQuota | undefined
  /** Brings a tenant into memory and keeps it there while changes are followed. Throws Problem `dependency-unavailable`. */
  load(tenantId: string): Promise<TenantAccess>
  close(): Promise<void>
}

/** Written by `tenant`, `permission`, `user` and `auth`. Each call changes Redis and appends to the change stream in one step. */
export type AccessDirectory = {
  putTenant(tenantId: string, access: TenantAccess): Promise<void>
  putRoles(tenantId: string, access: RoleAccess): Promise<void>
  /** Merges with an earlier correction of the user. */
  correct(tenantId: string, userId: string, correction: Correction): Promise<void>
  /** Says that every tenant has been written: from now on a tenant that is not there does not exist, instead of "not known". */
  markComplete(): Promise<void>
}
