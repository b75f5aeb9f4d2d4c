/** Paths with `:name` parameters: parsed once, matched quickly. */
import { isSafeText } from '../http/json.ts'

const parameterSegment = /^:[a-zA-Z][a-zA-Z0-9]*$/
const literalSegment = /^[A-Za-z0-9._~-]+$/

/** The segments of a declared path; throws a TypeError when it is not of the form `/a/:b/c`. */
export function segmentsOf(path: string): string[] {
  if (path === '/') return []
  const segments = path.slice(1).split('/')
  const valid =
    path.startsWith('/') && segments.every((part) => literalSegment.test(part) || parameterSegment.test(part))
  if (!valid) throw new TypeError(`the path "${path}" is not of the form /name/:parameter/name`)
  return segments
}

export function parameterNames(path: string): string[] {
  return segmentsOf(path)
    .filter((segment) => segment.startsWith(':'))
    .map((segment) => segment.slice(1))
}

/**
 * Makes the matcher of a hot route. It looks at the raw URL without parsing it and returns the values of the parameters, or
 * undefined. A URL that needs percent-decoding does not match: identifiers never do, and the ordinary router answers it.
 */
export function compileHotPath(path: string): PathMatcher {
  return compile(path, isEnd)
}

/** The same for a mount: `/oidc/` matches everything below it, a path without a slash at its end itself alone. */
export function compilePrefix(prefix: string): PathMatcher {
  if (!prefix.endsWith('/')) return compile(prefix, isEnd)
  return compile(prefix.slice(0, -1) || '/', (url, position) => url.charCodeAt(position) === slash)
}

export type PathMatcher = (url: string) => readonly string[] | undefined

function compile(path: string, endsAt: (url: string, position: number) => boolean): PathMatcher {
  const literals: string[] = ['']
  for (const segment of segmentsOf(path)) {
    if (segment.startsWith(':')) {
      literals[literals.length - 1] += '/'
      literals.push('')
    } else literals[literals.length - 1] += `/${segment}`
  }
  const [first = '', ...rest] = literals
  return (url) => {
    if (!url.startsWith(first)) return undefined
    let position = first.length
    if (rest.length === 0) return endsAt(url, position) ? none : undefined
    const values: string[] = []
    for (let index = 0; index < rest.length; index++) {
      const literal = rest[index]!
      const start = position
      for (; position < url.length; position++) {
        const code = url.charCodeAt(position)
        if (code === slash || code === question) break
        if (code === percent) return undefined
      }
      if (position === start || !url.startsWith(literal, position)) return undefined
      values.push(url.slice(start, position))
      position += literal.length
    }
    return endsAt(url, position) ? values : undefined
  }
}

const none: readonly string[] = []
const slash = 47
const question = 63
const percent = 37

function isEnd(url: string, position: number): boolean {
  return position === url.length || url.charCodeAt(position) === question
}

/** Percent-decodes a segment of a requested path; undefined when that fails or gives text that is not accepted. */
export function decodeSegment(segment: string): string | undefined {
  if (!segment.includes('%')) return segment
  try {
    const decoded = decodeURIComponent(segment)
    return isSafeText(decoded) ? decoded : undefined
  } catch {
    return undefined
  }
}
