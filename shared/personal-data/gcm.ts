/** AES-256-GCM as texts: base64url of nonce, cipher text and tag. */
import { createCipheriv, createDecipheriv, randomBytes as systemRandom } from 'node:crypto'

const algorithm = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16
export const dataKeyBytes = 32

export type RandomBytes = (size: number) => Buffer

/**
 * Why a sealed value cannot be opened. `malformed`: it is no sealed value. `unknown-key`: its key is not in the ring (any more, or
 * yet). `refused`: it was changed, or belongs to another row, column or tenant. Messages hold neither values nor keys.
 */
export class SealError extends Error {
  override readonly name = 'SealError'
  readonly reason: 'malformed' | 'unknown-key' | 'refused'
  constructor(reason: SealError['reason'], message: string) {
    super(message)
    this.reason = reason
  }
}

export type Encrypted = { nonce: string; cipherText: string; tag: string }

export function encrypt(
  key: Buffer,
  plain: Buffer,
  boundTo: string,
  randomBytes: RandomBytes = systemRandom,
): Encrypted {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
  cipher.setAAD(Buffer.from(boundTo))
  const cipherText = Buffer.concat([cipher.update(plain), cipher.final()])
  return {
    nonce: nonce.toString('base64url'),
    cipherText: cipherText.toString('base64url'),
    tag: cipher.getAuthTag().toString('base64url'),
  }
}

/** Throws SealError `malformed` or `refused`. */
export function decrypt(key: Buffer, encrypted: Encrypted, boundTo: string): Buffer {
  const decipher = createDecipheriv(algorithm, key, bytesOf(encrypted.nonce, nonceBytes), { authTagLength: tagBytes })
  decipher.setAAD(Buffer.from(boundTo))
  decipher.setAuthTag(bytesOf(encrypted.tag, tagBytes))
  const cipherText = bytesOf(encrypted.cipherText)
  try {
    return Buffer.concat([decipher.update(cipherText), decipher.final()])
  } catch {
    throw new SealError('refused', 'a sealed value was changed, or does not belong to where it was found')
  }
}

/** Decodes only what encodes to the very same text: Node's decoder ignores unused bits and foreign characters. */
function bytesOf(text: string, length?: number): Buffer {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.toString('base64url') !== text || (length !== undefined && bytes.length !== length))
    throw new SealError('malformed', 'a sealed value is not in the form that values are sealed in')
  return bytes
}
