/** What the declarations of all functions say about addresses from outside; `npm run generate` makes the file. */
import type { HttpMethod, RouteAuth } from '@stampede/shared/function/declaration.ts'
import type { Permission } from '@stampede/shared/access/permissions.ts'
import declared from './generated/routes.json' with { type: 'json' }

export type DeclaredRoute = {
  method: HttpMethod
  path: string
  function: string
  auth: Exclude<RouteAuth, 'service'>
  permission?: Permission
  bodyLimitBytes: number
  timeoutMs: number
  /** It answers with server-sent events when it is asked to. */
  streams?: true
}

/** Everything below a prefix, any method; what it is about the library behind it decides. */
export type DeclaredMount = { prefix: string; function: string; bodyLimitBytes: number; timeoutMs: number }

export type Declared = { functions: string[]; routes: DeclaredRoute[]; mounts: DeclaredMount[] }

export const declaredRoutes = declared as Declared
export const functionNames: readonly string[] = declaredRoutes.functions
