/**
 * Proof of work (as Hashcash has it): a text is found whose SHA-256 begins with a number of zero bits. Finding it costs 2^bits tries on
 * average, checking it one hash. This file imports nothing and uses nothing but the language: it runs in Node, in a page and in
 * a web worker.
 *
 * The hash is written out here because both sides need it in a loop of small messages: the part of the message that stays the
 * same is hashed once, so a try is one block. A browser's own `crypto.subtle` is asynchronous, a promise a try.
 */

/** Of an answer: 10^15 tries are more than anyone makes. */
const digits = /^[0-9]{1,15}$/

/** An answer of more bits than this is not asked for. */
export const maximumDifficultyBits = 32

/**
 * The first number from `from` on with which `<challenge>:<number>` has the bits, as text; undefined when `tries` were not enough:
 * call again with the next `from`, so that a page stays alive. Throws a RangeError for a difficulty that nobody may ask for.
 */
export function solveProofOfWork(
  challenge: string,
  difficultyBits: number,
  from = 0,
  tries: number = Number.MAX_SAFE_INTEGER,
): string | undefined {
  if (!Number.isInteger(difficultyBits) || difficultyBits < 0 || difficultyBits > maximumDifficultyBits)
    throw new RangeError(`a difficulty is 0 to ${maximumDifficultyBits} bits`)
  const hashing = prepare(`${challenge}:`)
  for (let counter = from; counter - from < tries; counter++) {
    if (Math.clz32(hashing.firstWord(counter)) >= difficultyBits) return String(counter)
  }
  return undefined
}

/** Whether `answer` is a number with which the challenge has the bits. Never throws. */
export function hasProofOfWork(challenge: string, answer: string, difficultyBits: number): boolean {
  if (!digits.test(answer) || String(Number(answer)) !== answer) return false
  return Math.clz32(prepare(`${challenge}:`).firstWord(Number(answer))) >= difficultyBits
}

/** FIPS 180-4, 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
// Signed everywhere: V8 keeps what may exceed 31 bits without a sign as a floating-point number, four times slower.
const constants = Int32Array.from(primes(64), (prime) => fraction(Math.cbrt(prime)))
/** 5.3.3: of their square roots. */
const start = Int32Array.from(primes(8), (prime) => fraction(Math.sqrt(prime)))

function primes(count: number): number[] {
  const found: number[] = []
  for (let candidate = 2; found.length < count; candidate++) {
    if (found.every((prime) => candidate % prime !== 0)) found.push(candidate)
  }
  return found
}

function fraction(value: number): number {
  return ((value - Math.floor(value)) * 0x1_0000_0000) | 0
}

function prepare(prefix: string): { firstWord: (counter: number) => number } {
  const bytes = new TextEncoder().encode(prefix)
  const whole = bytes.length - (bytes.length % 64)
  const state = Int32Array.from(start)
  const words = new Int32Array(64)
  const block = new Uint8Array(128)
  for (let at = 0; at < whole; at += 64) {
    block.set(bytes.subarray(at, at + 64))
    compress(state, words, block, 0)
  }
  const rest = bytes.length - whole
  const working = new Int32Array(8)
  return {
    firstWord(counter) {
      const text = String(counter)
      block.fill(0)
      block.set(bytes.subarray(whole))
      for (let index = 0; index < text.length; index++) block[rest + index] = text.charCodeAt(index)
      const length = rest + text.length
      block[length] = 0x80
      const end = length + 9 <= 64 ? 64 : 128
      // The length in bits; a challenge is far shorter than 2^32 bits.
      const bits = (whole + length) * 8
      block[end - 4] = bits >>> 24
      block[end - 3] = bits >>> 16
      block[end - 2] = bits >>> 8
      block[end - 1] = bits
      working.set(state)
      compress(working, words, block, 0)
      if (end === 128) compress(working, words, block, 64)
      return working[0]!
    },
  }
}

/** FIPS 180-4, 6.2.2. */
function compress(state: Int32Array, words: Int32Array, block: Uint8Array, at: number): void {
  for (let index = 0; index < 16; index++) {
    const byte = at + index * 4
    words[index] = (block[byte]! << 24) | (block[byte + 1]! << 16) | (block[byte + 2]! << 8) | block[byte + 3]!
  }
  for (let index = 16; index < 64; index++) {
    const fifteen = words[index - 15]!
    const two = words[index - 2]!
    const small0 = rotate(fifteen, 7) ^ rotate(fifteen, 18) ^ (fifteen >>> 3)
    const small1 = rotate(two, 17) ^ rotate(two, 19) ^ (two >>> 10)
    words[index] = (words[index - 16]! + small0 + words[index - 7]! + small1) | 0
  }
  let a = state[0]!
  let b = state[1]!
  let c = state[2]!
  let d = state[3]!
  let e = state[4]!
  let f = state[5]!
  let g = state[6]!
  let h = state[7]!
  for (let index = 0; index < 64; index++) {
    const big1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
    const first = (h + big1 + ((e & f) ^ (~e & g)) + constants[index]! + words[index]!) | 0
    const big0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
    const second = (big0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
    h = g
    g = f
    f = e
    e = (d + first) | 0
    d = c
    c = b
    b = a
    a = (first + second) | 0
  }
  state[0]! += a
  state[1]! += b
  state[2]! += c
  state[3]! += d
  state[4]! += e
  state[5]! += f
  state[6]! += g
  state[7]! += h
}

const rotate = (value: number, bits: number): number => (value >>> bits) | (value << (32 - bits))
