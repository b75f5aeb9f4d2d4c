/** What the operations of auth have: effects by name. */
import type { Logger } from 'pino'
import type { AccessDirectory } from '@stampede/shared/access/types.ts'
import type { EventDatabase } from '@stampede/shared/function/event-database.ts'
import type { BlindIndex } from '@stampede/shared/personal-data/blind-index.ts'
import type { KeyRing } from '@stampede/shared/personal-data/key-ring.ts'
import type { AccessTokens } from './access-tokens.ts'
import type { DelayPolicy, RatePolicy } from './guard.ts'
import type { Passwords } from './password.ts'
import type { SigningKeys } from './signing-keys.ts'

export type Limits = {
  /** Wrong passwords of one contact. */
  contactFailures: DelayPolicy
  /** Failures of any kind from one address. */
  addressFailures: DelayPolicy
  codesPerContact: RatePolicy
  codesPerAddress: RatePolicy
  codeTtlMs: number
  triesPerCode: number
  refreshTtlMs: number
  sessionTtlMs: number
  sessionsPerUser: number
}

export type AuthContext = {
  /** The function's name: who acts where no person does. */
  name: string
  now: () => number
  log: Logger
  events: EventDatabase
  ring: KeyRing
  index: BlindIndex
  passwords: Passwords
  keys: SigningKeys
  tokens: AccessTokens
  directory: AccessDirectory
  gate: Gate
  /** The roles of a user or client. Throws Problem `dependency-unavailable`: nobody gets a token without the roles they have. */
  rolesOf: (tenantId: string, userId: string) => Promise<readonly string[]>
  limits: Limits
  /** Applications are told of ended sessions; call it after the commit. */
  wakeNotices: () => void
  /** Applications are to be told of a logout that is about to be committed. */
  noticeDue: () => Promise<void>
}

export type Gate = {
  /**
   * May tokens of the tenant be issued, and for this user? Throws Problem `forbidden` (tenant suspended or unknown, account blocked) or
   * `dependency-unavailable` (cannot be known).
   */
  mayIssue(tenantId: string, userId?: string): Promise<void>
}
