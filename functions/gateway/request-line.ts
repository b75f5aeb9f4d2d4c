/**
 * Is the target of a request one that every server understands in the same way? What two servers may read differently is refused, not
 * repaired: a path that is repaired here may be repaired once more behind.
 */

/** RFC 3986 `path-abempty`, and no segment that is empty but the last. */
const pathPattern = /^(?:\/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*\/?$/
/** A slash, a backslash, a dot, a control character or a percent sign in disguise. */
const disguised = /%(?:2[EeFf5]|5[Cc]|[01][0-9A-Fa-f]|7[Ff])/
const dotSegment = /\/\.{1,2}(?:\/|$)/
/** Browsers leave some characters of a query as they are that the grammar does not have. */
const queryPattern = /^[!"$-;=?-[\]-~]*$/
const malformedEscape = /%(?![0-9A-Fa-f]{2})/

export type RequestTarget = { path: string; query: string }

/** The path, and the query with its question mark; undefined when the target is not in origin form or is ambiguous. */
export function parseTarget(url: string): RequestTarget | undefined {
  const question = url.indexOf('?')
  const path = question < 0 ? url : url.slice(0, question)
  if (!pathPattern.test(path) || path === '') return undefined
  if (path.includes('%') && disguised.test(path)) return undefined
  if (path.includes('/.') && dotSegment.test(path)) return undefined
  if (question < 0) return { path, query: '' }
  const query = url.slice(question)
  if (!queryPattern.test(query) || (query.includes('%') && malformedEscape.test(query))) return undefined
  return { path, query }
}

const hostPattern = /^(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::\d{1,5})?$/

export const isHost = (host: string): boolean => hostPattern.test(host)
