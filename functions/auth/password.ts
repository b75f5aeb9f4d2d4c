/**
 * Passwords as Argon2id (RFC 9106), stored as PHC strings: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`. The parameters are in the
 * string, so they can be raised at any time: a password that is checked successfully is then hashed again.
 */
import { argon2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { createWorkQueue } from './work-queue.ts'

export type PasswordParameters = { memoryKib: number; passes: number; parallelism: number }

export type PasswordOptions = PasswordParameters & {
  /** Hashes at once: each takes `memoryKib` and a thread of Node's pool. */
  concurrency: number
  queueLimit: number
}

export type Passwords = {
  /** Throws Problem `overloaded`. */
  hash(password: string, signal?: AbortSignal): Promise<string>
  /**
   * Takes as long when there is no hash (no such account, or one without a password): the answer is then false. `outdated`: matches,
   * and was made with other parameters than today's. Throws Problem `overloaded`.
   */
  matches(
    password: string,
    stored: string | undefined,
    signal?: AbortSignal,
  ): Promise<{ matches: boolean; outdated: boolean }>
}

const argon2id = promisify(argon2)
const saltBytes = 16
const hashBytes = 32
/** A row that somebody changed must not take the memory of the process. */
const maximumMemoryKib = 1_048_576
const phcPattern =
  /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,64})\$([A-Za-z0-9+/]{22,86})$/

const unpadded = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '')

export function createPasswords(options: PasswordOptions): Passwords {
  const { memoryKib, passes, parallelism } = options
  const queue = createWorkQueue(options)
  const current: PasswordParameters = { memoryKib, passes, parallelism }

  const derive = (password: string, salt: Buffer, parameters: PasswordParameters, tagLength: number) =>
    argon2id('argon2id', {
      // The same characters, however a keyboard composes them.
      message: password.normalize('NFKC'),
      nonce: salt,
      memory: parameters.memoryKib,
      passes: parameters.passes,
      parallelism: parameters.parallelism,
      tagLength,
    })

  /** What the password of nobody is compared with. */
  const nobody = { parameters: current, salt: randomBytes(saltBytes), hash: randomBytes(hashBytes) }

  return {
    hash: (password, signal) =>
      queue.run(async () => {
        const salt = randomBytes(saltBytes)
        const hash = await derive(password, salt, current, hashBytes)
        return `$argon2id$v=19$m=${memoryKib},t=${passes},p=${parallelism}$${unpadded(salt)}$${unpadded(hash)}`
      }, signal),
    matches: (password, stored, signal) =>
      queue.run(async () => {
        const known = stored === undefined ? undefined : parsePhc(stored)
        const { parameters, salt, hash } = known ?? nobody
        const derived = await derive(password, salt, parameters, hash.length)
        const matches = timingSafeEqual(derived, hash) && known !== undefined
        return { matches, outdated: matches && !sameParameters(parameters, current) }
      }, signal),
  }
}

const sameParameters = (one: PasswordParameters, other: PasswordParameters) =>
  one.memoryKib === other.memoryKib && one.passes === other.passes && one.parallelism === other.parallelism

/** Undefined for what is no PHC string of ours: it matches no password. */
export function parsePhc(text: string) {
  const [, memory = '', passes = '', parallelism = '', salt = '', hash = ''] = phcPattern.exec(text) ?? []
  if (hash === '' || Number(memory) > maximumMemoryKib) return undefined
  return {
    parameters: { memoryKib: Number(memory), passes: Number(passes), parallelism: Number(parallelism) },
    salt: Buffer.from(salt, 'base64'),
    hash: Buffer.from(hash, 'base64'),
  }
}
