/** Ids and secrets by chance. The first letter says what an id is of, so that a user's never is a client's. */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto'

/** `u` user, `s` session, `c` client, `n` notification. */
export const newId = (kind: 'u' | 's' | 'c' | 'n'): string => `${kind}${randomBytes(15).toString('base64url')}`

export const newSecret = (): string => randomBytes(32).toString('base64url')

/** For what is kept of a secret that is random: 43 characters. */
export const hashSecret = (secret: string): string => hash('sha256', secret, 'base64url')

/** Takes as long wherever the two differ. */
export function isSameText(one: string, other: string): boolean {
  const [first, second] = [Buffer.from(one), Buffer.from(other)]
  return first.length === second.length && timingSafeEqual(first, second)
}
