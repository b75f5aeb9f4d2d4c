/**
 * Reads JSON from outside. Beyond the grammar it refuses what has no honest use and has broken parsers, databases or
 * prototypes: deep nesting, `__proto__` keys, NUL, lone surrogates, and numbers that do not fit a double.
 */
import { Problem } from './problem.ts'
import type { InputError } from './problem.ts'

export const maximumJsonDepth = 32

const decoder = new TextDecoder('utf-8', { fatal: true })

/** Throws Problem `invalid-request`. The bytes must be UTF-8. */
export function parseJson(bytes: Uint8Array): unknown {
  let value: unknown
  try {
    value = JSON.parse(decoder.decode(bytes))
  } catch {
    // The parser's message quotes the input; where it broke is not worth sending it back.
    throw new Problem('invalid-request', 'The body is not valid JSON in UTF-8.', {
      errors: [{ pointer: '', detail: 'not valid JSON' }],
    })
  }
  const error = findUnsafe(value, '', 1)
  if (error) throw new Problem('invalid-request', 'The body holds something that is not accepted.', { errors: [error] })
  return value
}

/** Text that no schema has to think about: no NUL, no half of a surrogate pair. */
export function isSafeText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed()
}

/** The first part of a JSON value that is refused, or undefined. */
export function findUnsafe(value: unknown, pointer: string, depth: number): InputError | undefined {
  if (typeof value === 'string') {
    return isSafeText(value) ? undefined : { pointer, detail: 'text with NUL or a lone surrogate' }
  }
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : { pointer, detail: 'number out of range' }
  if (typeof value !== 'object' || value === null) return undefined
  if (depth > maximumJsonDepth) return { pointer: '', detail: `nested deeper than ${maximumJsonDepth} levels` }
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const found = findUnsafe(value[index], `${pointer}/${index}`, depth + 1)
      if (found) return found
    }
    return undefined
  }
  for (const key of Object.keys(value)) {
    if (key === '__proto__' || !isSafeText(key)) return { pointer, detail: 'a key that is not accepted' }
    const found = findUnsafe((value as Record<string, unknown>)[key], `${pointer}/${escapePointer(key)}`, depth + 1)
    if (found) return found
  }
  return undefined
}

/** One reference token of a JSON pointer (RFC 6901). */
export function escapePointer(token: string): string {
  return token.replaceAll('~', '~0').replaceAll('/', '~1')
}
