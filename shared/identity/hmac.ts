/**
 * HMAC-SHA256 (RFC 2104) out of two one-shot hashes with the padded keys prepared once. Measured on Node 24: 1.2 µs against
 * 18 µs for `createHmac`, which builds a native stream object on every call. A test proves that both give the same.
 */
import { hash } from 'node:crypto'

const blockBytes = 64
const digestBytes = 32

/** Returns `(message) => mac` in base64url; `message` is at most `maximumMessageBytes` long in UTF-8, or a RangeError is thrown. */
export function createHmacSha256(secret: Uint8Array, maximumMessageBytes = 1_024): (message: string) => string {
  // A key longer than a block is replaced by its hash, a shorter one is filled with zeros.
  const key = secret.length > blockBytes ? hash('sha256', secret, 'buffer') : secret
  const inner = Buffer.alloc(blockBytes + maximumMessageBytes)
  const outer = Buffer.alloc(blockBytes + digestBytes)
  for (let index = 0; index < blockBytes; index++) {
    const byte = key[index] ?? 0
    inner[index] = byte ^ 0x36
    outer[index] = byte ^ 0x5c
  }
  // `subarray` allocates an object; one view for each length that occurs is kept.
  const views: (Buffer | undefined)[] = Array.from({ length: maximumMessageBytes + 1 }, () => undefined)
  return (message) => {
    // UTF-8, not Latin-1: there two characters with the same low byte would give the same MAC.
    const tooLong = message.length > maximumMessageBytes
    const length = tooLong ? 0 : inner.write(message, blockBytes)
    // `write` stops before a character that does not fit; a cut message must not get a MAC.
    if (tooLong || (length > maximumMessageBytes - 4 && Buffer.byteLength(message) > maximumMessageBytes)) {
      throw new RangeError('the message is longer than this HMAC was made for')
    }
    const view = (views[length] ??= inner.subarray(0, blockBytes + length))
    outer.write(hash('sha256', view, 'hex'), blockBytes, 'hex')
    return hash('sha256', outer, 'base64url')
  }
}
