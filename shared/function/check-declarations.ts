/** What the types of declarations cannot say, checked when a host starts and before anything is connected. */
import type { AnyFunction } from './declaration.ts'
import { compilePrefix, segmentsOf } from './path.ts'

/** Throws a TypeError for a mount that would hide something, and for a second function that takes what no route matches. */
export function checkDeclarations(definitions: readonly AnyFunction[]): void {
  refuseHidden(definitions)
  const takers = definitions.filter(({ fallback }) => fallback).map(({ name }) => name)
  if (takers.length > 1) {
    throw new TypeError(`${takers.join(' and ')} both take what no route matches; only one function of a process can`)
  }
}

/** A mount is asked before the router: a route below it would never be reached. */
function refuseHidden(definitions: readonly AnyFunction[]): void {
  const prefixes = definitions.flatMap(({ mounts = [] }) => mounts.map(({ prefix }) => prefix))
  const paths = definitions.flatMap(({ routes }) => routes.map(({ path }) => path))
  for (const [index, prefix] of prefixes.entries()) {
    segmentsOf(prefix.length > 1 && prefix.endsWith('/') ? prefix.slice(0, -1) : prefix)
    const match = compilePrefix(prefix)
    const hidden = [...paths, ...prefixes.slice(0, index)].find((path) => match(path))
    if (hidden !== undefined) {
      throw new TypeError(`${hidden} is declared, and would be hidden by what is mounted at ${prefix}`)
    }
  }
}
