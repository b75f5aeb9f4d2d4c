/** Ids and secrets by chance. The first letter says what an id is of, so that a user's never is a client's. */
import { hash, randomBytes } from 'node:crypto'

/** `u` user, `s` session, `c` client, `n` notification. */
export const newId = (kind: 'u' | 's' | 'c' | 'n'): string => `${kind}${randomBytes(15).toString('base64url')}`

export const newSecret = (): string => randomBytes(32).toString('base64url')

/** For what is kept of a secret that is random: 43 characters. */
export const hashSecret = (secret: string): string => hash('sha256', secret, 'base64url')
