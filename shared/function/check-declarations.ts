/** What the types of declarations cannot say, checked when a host starts and before anything is connected. */
import { permissions } from '../access/permissions.ts'
import type { AnyFunction, RouteAuth } from './declaration.ts'
import { compilePrefix, segmentsOf } from './path.ts'

/** Throws a TypeError for a route without a policy, for a mount that would hide something, and for a second function that takes what no route matches. */
export function checkDeclarations(definitions: readonly AnyFunction[]): void {
  for (const { name, routes } of definitions) {
    for (const { method, path, options } of routes) {
      const problem = policyProblem(options)
      if (problem !== undefined) throw new TypeError(`${name}: ${method} ${path} ${problem}`)
    }
  }
  refuseHidden(definitions)
  const takers = definitions.filter(({ fallback }) => fallback).map(({ name }) => name)
  if (takers.length > 1) {
    throw new TypeError(`${takers.join(' and ')} both take what no route matches; only one function of a process can`)
  }
}

const auths: readonly unknown[] = ['public', 'user', 'staff', 'service'] satisfies RouteAuth[]

/** What is wrong with a route's policy, undefined when nothing is. Declarations may come past the type checker. */
export function policyProblem({ auth, permission }: { auth?: unknown; permission?: unknown }): string | undefined {
  if (!auths.includes(auth)) return 'does not say who may call it: auth is public, user, staff or service'
  if (auth !== 'staff') return permission === undefined ? undefined : 'has a permission, but is not for staff'
  if (permission === undefined) return 'is for staff and declares no permission'
  return (permissions as readonly unknown[]).includes(permission)
    ? undefined
    : `declares a permission that does not exist: ${JSON.stringify(permission)}`
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
