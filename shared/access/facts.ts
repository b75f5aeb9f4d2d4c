/**
 * Corrections as facts: each thing that has become untrue in a user's tokens stands on its own with its time, so that merging two
 * corrections never makes one of them count for tokens that it was not about. In Redis a fact is a field `userId:fact` and a
 * value `ms value`:
 *
 *   userId:blocked         `ms 1` or `ms 0`
 *   userId:roles           `ms ["support"]`
 *   userId:signed-out      `ms `
 *   userId:session:<sid>   `ms `
 */
import { maximumPassMs } from '../identity/pass.ts'
import type { Correction } from './types.ts'

/** How long a blocked user and a sign-out everywhere are remembered: longer than anything is valid. */
export const correctionTtlMs = 172_800_000
/** How long revoked sessions are: longer than tokens and passes live. There may be many, so no longer than clocks make needed. */
export const sessionCorrectionTtlMs = maximumPassMs + 600_000
/** How long roles are: access tokens alone name them, and live for an hour at most. */
export const rolesCorrectionTtlMs = 7_200_000

/** What memory holds of a user. */
export type UserFacts = {
  blocked: { atMs: number; value: boolean } | undefined
  roles: { atMs: number; names: readonly string[] } | undefined
  signedOutAtMs: number
  /** Session id → ms. */
  sessions: Map<string, number> | undefined
}

const identifier = /^[A-Za-z0-9_-]{1,64}$/

/** The lines for `access-correct.lua`. Throws a TypeError for what cannot be written down. */
export function factLines(userId: string, correction: Correction): string {
  const { atMs, blocked, roles, revokedSessions = [], signedOut } = correction
  if (!identifier.test(userId)) throw new TypeError('the user id of a correction is not an identifier')
  if (!Number.isSafeInteger(atMs) || atMs <= 0) throw new TypeError('the time of a correction is in whole milliseconds')
  const lines: string[] = []
  if (blocked !== undefined) lines.push(`${userId}:blocked ${atMs} ${correctionTtlMs} ${blocked ? 1 : 0}`)
  if (signedOut) lines.push(`${userId}:signed-out ${atMs} ${correctionTtlMs} `)
  if (roles) lines.push(`${userId}:roles ${atMs} ${rolesCorrectionTtlMs} ${JSON.stringify(roles)}`)
  for (const session of revokedSessions) {
    if (!identifier.test(session)) throw new TypeError('a session id of a correction is not an identifier')
    lines.push(`${userId}:session:${session} ${atMs} ${sessionCorrectionTtlMs} `)
  }
  return lines.join('\n')
}

/** Enters a fact as Redis has it, unless something as new is known. What is malformed is left out. */
export function enterFact(corrections: Map<string, UserFacts>, field: string, text: string): void {
  const [userId = '', fact, sessionId] = field.split(':')
  const space = text.indexOf(' ')
  const atMs = Number(text.slice(0, space))
  if (space < 1 || !Number.isSafeInteger(atMs)) return
  let own = corrections.get(userId)
  if (!own) {
    own = { blocked: undefined, roles: undefined, signedOutAtMs: 0, sessions: undefined }
    corrections.set(userId, own)
  }
  const value = text.slice(space + 1)
  if (fact === 'blocked') {
    if (atMs > (own.blocked?.atMs ?? 0)) own.blocked = { atMs, value: value === '1' }
  } else if (fact === 'signed-out') {
    own.signedOutAtMs = Math.max(own.signedOutAtMs, atMs)
  } else if (fact === 'roles') {
    // A list that cannot be read is none: whoever has no role is allowed nothing.
    if (atMs > (own.roles?.atMs ?? 0)) own.roles = { atMs, names: namesOf(value) }
  } else if (fact === 'session' && sessionId !== undefined) {
    own.sessions ??= new Map()
    own.sessions.set(sessionId, Math.max(own.sessions.get(sessionId) ?? 0, atMs))
  }
}

function namesOf(json: string): readonly string[] {
  try {
    const names: unknown = JSON.parse(json)
    return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : []
  } catch {
    return []
  }
}

/** Forgets what no token can contradict any more. `nowMs` by Redis' clock. */
export function forgetOldFacts(corrections: Map<string, UserFacts>, nowMs: number): void {
  const forAll = nowMs - correctionTtlMs
  const forSessions = nowMs - sessionCorrectionTtlMs
  const forRoles = nowMs - rolesCorrectionTtlMs
  for (const [userId, own] of corrections) {
    if (own.blocked && own.blocked.atMs < forAll) own.blocked = undefined
    if (own.roles && own.roles.atMs < forRoles) own.roles = undefined
    if (own.signedOutAtMs < forAll) own.signedOutAtMs = 0
    for (const [session, atMs] of own.sessions ?? []) if (atMs < forSessions) own.sessions!.delete(session)
    if (own.sessions?.size === 0) own.sessions = undefined
    if (!own.blocked && !own.roles && !own.sessions && own.signedOutAtMs === 0) corrections.delete(userId)
  }
}
