/**
 * Personal data is stored and sent sealed. Every value has a data key of its own; the data key is wrapped by a key of the ring
 * (envelope encryption), so that a rotation wraps a few bytes again instead of encrypting everything again.
 *
 *   `v1.<key id>.<wrapped data key>.<nonce>.<cipher text>.<tag>`   a value with its own data key: `seal`
 *   `k1.<key id>.<wrapped data key>`                                the data key of a record: `newRecordKey`
 *   `r1.<nonce>.<cipher text>.<tag>`                                a value of that record
 *
 * A record key is for rows with several sealed columns, or with rows that belong to them: one wrap for a rotation, and what
 * destroys the key destroys everything that was sealed with it.
 */
import { randomBytes as systemRandom } from 'node:crypto'
import { dataKeyBytes, decrypt, encrypt, SealError, type Encrypted, type RandomBytes } from './gcm.ts'
import { parseKeys } from './keys.ts'

export { SealError } from './gcm.ts'

/** Where a sealed value belongs. It opens nowhere else. For something that is sent: `table` names the message, `rowId` its id. */
export type SealContext = { tenantId: string; table: string; column: string; rowId: string }

export type RecordSealer = {
  seal(text: string, context: SealContext): string
  /** Throws SealError. */
  open(sealed: string, context: SealContext): string
}

export type KeyRing = {
  /** What is sealed now is sealed with this key. */
  readonly currentKeyId: string
  /** The current one first. */
  readonly keyIds: readonly string[]
  seal(text: string, context: SealContext): string
  /** Throws SealError. */
  open(sealed: string, context: SealContext): string
  /** The ring's key that a value of `seal` or `newRecordKey` needs. Throws SealError `malformed`. */
  keyIdOf(sealed: string): string
  /** Wraps the data key again with the current key; the cipher text stays. What has the current key comes back as it is. Throws SealError. */
  rewrap(sealed: string, context: SealContext): string
  newRecordKey(context: SealContext): string
  /** Throws SealError. */
  openRecord(recordKey: string, context: SealContext): RecordSealer
}

/** Longer ones are no personal data of one field. */
const maximumTextBytes = 65_536
const maximumSealedLength = 100_000

/** @param dataKeys `DATA_KEYS`: `id:base64(32 bytes),…`. Throws a TypeError for people. */
export function createKeyRing(dataKeys: string, randomBytes: RandomBytes = systemRandom): KeyRing {
  const keys = parseKeys(dataKeys)
  const [current] = keys
  const byId = new Map(keys.map(({ id, bytes }) => [id, bytes]))

  const wrap = (dataKey: Buffer, context: SealContext): string => {
    const { nonce, cipherText, tag } = encrypt(current.bytes, dataKey, boundTo('key', context), randomBytes)
    // One part of the text; the three have fixed lengths.
    return `${current.id}.${nonce}${cipherText}${tag}`
  }
  const unwrap = ({ keyId, wrapped }: { keyId: string; wrapped: string }, context: SealContext): Buffer => {
    const key = byId.get(keyId)
    if (!key)
      throw new SealError(
        'unknown-key',
        `a value is sealed with the key "${keyId}", which is not in the ring (it has ${[...byId.keys()].join(', ')})`,
      )
    return decrypt(key, splitWrapped(wrapped), boundTo('key', context))
  }

  const rewrap = (sealed: string, context: SealContext): string => {
    const parts = parseSealed(sealed)
    if (parts.keyId === current.id) return sealed
    const dataKey = unwrap(parts, context)
    return [parts.version, wrap(dataKey, context), ...(parts.value === undefined ? [] : [parts.value])].join('.')
  }

  return {
    currentKeyId: current.id,
    keyIds: [...byId.keys()],
    seal: (text, context) => {
      const dataKey = randomBytes(dataKeyBytes)
      return `v1.${wrap(dataKey, context)}.${encryptText(dataKey, text, context, randomBytes)}`
    },
    open: (sealed, context) => {
      const { value, ...parts } = parseSealed(sealed)
      if (value === undefined) throw malformed()
      return decryptText(unwrap(parts, context), value, context)
    },
    keyIdOf: (sealed) => parseSealed(sealed).keyId,
    rewrap,
    newRecordKey: (context) => `k1.${wrap(randomBytes(dataKeyBytes), context)}`,
    openRecord: (recordKey, context) => {
      const parts = parseSealed(recordKey)
      if (parts.version !== 'k1') throw malformed()
      const dataKey = unwrap(parts, context)
      return {
        seal: (text, of) => `r1.${encryptText(dataKey, text, of, randomBytes)}`,
        open: (sealed, of) => {
          if (sealed.length > maximumSealedLength || !sealed.startsWith('r1.')) throw malformed()
          return decryptText(dataKey, sealed.slice('r1.'.length), of)
        },
      }
    },
  }
}

/** One text for one place; JSON keeps `["a","bc"]` and `["ab","c"]` apart. */
const boundTo = (what: 'key' | 'value', { tenantId, table, column, rowId }: SealContext): string =>
  JSON.stringify(['stampede', what, tenantId, table, column, rowId])

function encryptText(dataKey: Buffer, text: string, context: SealContext, randomBytes: RandomBytes): string {
  // A lone surrogate would come back as another character.
  if (!text.isWellFormed()) throw new TypeError('a text to be sealed is not well-formed Unicode')
  const plain = Buffer.from(text)
  if (plain.length > maximumTextBytes)
    throw new RangeError(`a text to be sealed has ${plain.length} bytes, more than ${maximumTextBytes}`)
  const { nonce, cipherText, tag } = encrypt(dataKey, plain, boundTo('value', context), randomBytes)
  return `${nonce}.${cipherText}.${tag}`
}

function decryptText(dataKey: Buffer, value: string, context: SealContext): string {
  const [nonce, cipherText, tag, ...more] = value.split('.')
  if (nonce === undefined || cipherText === undefined || tag === undefined || more.length > 0) throw malformed()
  return decrypt(dataKey, { nonce, cipherText, tag }, boundTo('value', context)).toString()
}

const nonceLength = 16
const keyLength = 43
const tagLength = 22

function splitWrapped(wrapped: string): Encrypted {
  if (wrapped.length !== nonceLength + keyLength + tagLength) throw malformed()
  return {
    nonce: wrapped.slice(0, nonceLength),
    cipherText: wrapped.slice(nonceLength, nonceLength + keyLength),
    tag: wrapped.slice(nonceLength + keyLength),
  }
}

type Parts = { version: 'v1' | 'k1'; keyId: string; wrapped: string; value: string | undefined }

function parseSealed(sealed: string): Parts {
  if (sealed.length > maximumSealedLength) throw malformed()
  const [version, keyId, wrapped, ...rest] = sealed.split('.')
  if (!keyId || wrapped === undefined) throw malformed()
  if (version === 'v1' && rest.length === 3) return { version, keyId, wrapped, value: rest.join('.') }
  if (version === 'k1' && rest.length === 0) return { version, keyId, wrapped, value: undefined }
  throw malformed()
}

const malformed = () => new SealError('malformed', 'a sealed value is not in the form that values are sealed in')
