/**
 * The only source of chance in a simulation: xoshiro128** seeded by splitmix32, all in 32-bit integers, so that one seed gives
 * the same numbers on every machine. https://prng.di.unimi.it/
 */
export type Random = {
  /** Integer in [0, limit). */
  below(limit: number): number
  /** Integer in [low, high]. */
  between(low: number, high: number): number
  /** True with this probability. */
  chance(probability: number): boolean
  pick<T>(items: readonly T[]): T
  /** An own stream that what happens on this one later does not touch. */
  split(): Random
}

function splitmix32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return (z ^ (z >>> 15)) >>> 0
  }
}

const rotate = (value: number, bits: number) => (value << bits) | (value >>> (32 - bits))

/** `seed`: a safe integer ≥ 0. */
export function createRandom(seed: number): Random {
  const low = splitmix32(seed % 2 ** 32)
  const high = splitmix32(Math.floor(seed / 2 ** 32) ^ 0x5bd1e995)
  let a = low() ^ high()
  let b = low() ^ high()
  let c = low() ^ high()
  let d = (low() ^ high()) | 1
  const next = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = rotate(d, 11)
    return result
  }
  const random: Random = {
    below: (limit) => Math.floor((next() / 2 ** 32) * limit),
    between: (lowest, highest) => lowest + random.below(highest - lowest + 1),
    chance: (probability) => next() < probability * 2 ** 32,
    pick: (items) => items[random.below(items.length)]!,
    split: () => createRandom(next() * 2 ** 20 + (next() >>> 12)),
  }
  return random
}

/** The seed of schedule `index` of a run with `seed`: which worker runs it does not matter. */
export function scheduleSeed(seed: number, index: number): number {
  const mix = splitmix32((seed % 2 ** 32) ^ Math.imul(index + 1, 0x85ebca6b) ^ Math.floor(seed / 2 ** 32))
  mix()
  const high = mix() >>> 12
  return high * 2 ** 32 + ((mix() ^ index) >>> 0)
}
