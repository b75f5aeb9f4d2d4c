/**
 * One text for one value: the JSON Canonicalization Scheme (RFC 8785). Members sorted by UTF-16 units, no white space, numbers and
 * texts as ECMAScript writes them.
 */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json }

/** Throws a TypeError for what has no such text: numbers that are not finite, lone surrogates, undefined. */
export function canonicalJson(value: Json): string {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new TypeError('a text is not well-formed Unicode')
    return JSON.stringify(value)
  }
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError('a number is not finite')
  if (value === null || typeof value !== 'object') {
    const text = JSON.stringify(value) as string | undefined
    if (text === undefined) throw new TypeError(`a ${typeof value} is no JSON value`)
    return text
  }
  if (isList(value)) return `[${value.map(canonicalJson).join(',')}]`
  const members = Object.keys(value)
    .sort()
    .map((name) => `${canonicalJson(name)}:${canonicalJson(value[name] as Json)}`)
  return `{${members.join(',')}}`
}

const isList = (value: object): value is readonly Json[] => Array.isArray(value)
