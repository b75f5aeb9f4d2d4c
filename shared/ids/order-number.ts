import { randomInt } from 'node:crypto'

/** A ULID: 26 characters of Crockford's base 32, sortable by time. Unique without coordination. */
export type OrderNumber = string

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const counterLimit = 32 ** 4

function encode(value: number, length: number): string {
  let text = ''
  for (let rest = value, i = 0; i < length; i++) {
    text = alphabet.charAt(rest % 32) + text
    rest = Math.floor(rest / 32)
  }
  return text
}

/**
 * Makes a source of order numbers: 48 bits of time in milliseconds, 60 random bits of this source, a counter of 20 bits.
 * Never repeats and never goes back, also when the clock does: then it counts on from the latest time it has seen.
 */
export function orderNumbers(
  now: () => number = Date.now,
  random: (limit: number) => number = randomInt,
): () => OrderNumber {
  const identity = encode(random(32 ** 6), 6) + encode(random(32 ** 6), 6)
  let latestMs = 0
  let prefix = ''
  let counter = 0
  return () => {
    const nowMs = now()
    if (nowMs > latestMs || counter === counterLimit) {
      latestMs = Math.max(nowMs, latestMs + (counter === counterLimit ? 1 : 0))
      prefix = encode(latestMs, 10) + identity
      counter = 0
    }
    const tail = counter++
    return (
      prefix +
      alphabet.charAt(tail >> 15) +
      alphabet.charAt((tail >> 10) & 31) +
      alphabet.charAt((tail >> 5) & 31) +
      alphabet.charAt(tail & 31)
    )
  }
}

/** The time in an order number, milliseconds since the epoch. */
export function orderNumberTimeMs(orderNumber: OrderNumber): number {
  let value = 0
  for (const character of orderNumber.slice(0, 10)) value = value * 32 + alphabet.indexOf(character)
  return value
}
