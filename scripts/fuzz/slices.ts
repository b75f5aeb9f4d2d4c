/**
 * The served OpenAPI document in slices, one for each kind of caller: Schemathesis sends the same headers with every request of a
 * run, and a request that is refused for its token never reaches what lies behind.
 */
import { openApiOf } from '@stampede/shared/function/openapi.ts'
import type { AnyFunction, RouteAuth } from '@stampede/shared/function/declaration.ts'

type Json = Record<string, unknown>

export type Caller = RouteAuth | 'platform'

export type Slice = { caller: Caller; operations: number; document: Json }

/** Ids of things that exist, by the name of the path parameter: without them every request ends at "not found". */
export type KnownIds = Readonly<Record<string, readonly string[]>>

const callers: readonly Caller[] = ['public', 'user', 'staff', 'platform', 'service']

/** One slice for each caller that has routes. `isPlatform` tells which permissions only staff of the platform's tenant hold. */
export function slicesOf(
  definitions: readonly AnyFunction[],
  ids: KnownIds,
  isPlatform: (permission: string) => boolean,
): Slice[] {
  const callerOf = (options: { auth: RouteAuth; permission?: string }): Caller =>
    options.permission !== undefined && isPlatform(options.permission) ? 'platform' : options.auth
  return callers.flatMap((caller) => {
    const own = definitions
      .map((definition) => ({
        ...definition,
        routes: definition.routes.filter((route) => 'options' in route && callerOf(route.options) === caller),
      }))
      .filter(({ routes }) => routes.length > 0)
    if (own.length === 0) return []
    const document = withKnownIds(openApiOf(own), ids)
    return [{ caller, document, operations: own.reduce((sum, { routes }) => sum + routes.length, 0) }]
  })
}

const unknownId = '01HZZZZZZZZZZZZZZZZZZZZZZZ'

/** Lets path parameters be ids that exist. */
function withKnownIds(document: Json, ids: KnownIds): Json {
  for (const item of Object.values(document['paths'] as Record<string, Record<string, Json>>)) {
    for (const operation of Object.values(item)) {
      for (const parameter of operation['parameters'] as Json[]) {
        const known = ids[String(parameter['name'])]
        if (parameter['in'] === 'path' && known) {
          // Beside what is there something that is not; other texts come from the fuzzer's own changes.
          parameter['schema'] = { type: 'string', enum: [...known, unknownId] }
        }
        // A long poll shows nothing more by taking longer.
        if (parameter['name'] === 'waitSeconds') parameter['schema'] = { type: 'integer', minimum: 0, maximum: 1 }
      }
    }
  }
  return document
}
