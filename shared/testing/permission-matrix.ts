/**
 * Walks every route of the given definitions, hot ones included, with callers that must be refused, and says where one was
 * not. Refusals must come before anything else, so the requests carry no sensible body unless a hot route needs one. What callers of another
 * tenant get is asked in `tenant-walk.ts`.
 */
import type { AnyFunction, HotRoute, Route, RouteAuth } from '../function/declaration.ts'
import type { TestIdentity } from './identity.ts'

type AnyRoute = Route<unknown> | HotRoute<unknown>
type Probe = { path: string; body?: unknown; headers?: Record<string, string> }

export type MatrixOptions = {
  /** Where all the definitions are served. */
  url: string
  definitions: readonly AnyFunction[]
  identity: TestIdentity
  /** Values of path parameters by name; default `x1`. */
  parameters?: Record<string, string>
  /** A body for routes that look at it before they look at the caller. Default `{}`. */
  bodyFor?: (route: AnyRoute) => unknown
}

/** `status` 0: no answer. */
export type MatrixFinding = { route: string; caller: string; expected: string; status: number }

/** Every finding is a hole; `checked` counts the requests, so that a walk over nothing is noticed. */
export async function walkPermissions(options: MatrixOptions): Promise<{ checked: number; findings: MatrixFinding[] }> {
  const { definitions, identity } = options
  const invalid = await identity.invalidTokens({ roles: ['administrator'] })
  const wrong = await wrongKinds(identity)
  const findings: MatrixFinding[] = []
  let checked = 0
  const expect = async (
    route: AnyRoute,
    caller: string,
    probe: Probe,
    token: string | undefined,
    statuses: readonly number[],
  ) => {
    const status = await send(options.url, route, probe, token)
    checked++
    if (statuses.includes(status)) return
    findings.push({ route: `${route.method} ${route.path}`, caller, expected: statuses.join(' or '), status })
  }
  for (const route of definitions.flatMap(({ routes }) => routes as readonly AnyRoute[])) {
    const probe: Probe = { path: pathOf(route, options.parameters ?? {}), body: options.bodyFor?.(route) ?? {} }
    const { auth } = route.options
    if (auth !== 'public') {
      await expect(route, 'no token', probe, undefined, [401])
      for (const [caller, token] of Object.entries(invalid)) await expect(route, caller, probe, token, [401])
      for (const { caller, token } of wrong[auth]) await expect(route, caller, probe, token, [403])
    }
  }
  return { checked, findings }
}

type Caller = { caller: string; token: string }

async function wrongKinds(identity: TestIdentity): Promise<Record<Exclude<RouteAuth, 'public'>, Caller[]>> {
  const user = { caller: 'a user', token: await identity.token() }
  const staff = { caller: 'staff', token: await identity.token({ roles: ['administrator'] }) }
  const service = { caller: 'a service', token: await identity.serviceToken() }
  const pretender = { caller: 'a user who claims to be a service', token: await identity.token({ roles: ['service'] }) }
  return { user: [service], staff: [user, service, pretender], service: [user, staff, pretender] }
}

function pathOf(route: AnyRoute, parameters: Record<string, string>): string {
  return route.path.replaceAll(/:([a-zA-Z][a-zA-Z0-9]*)/g, (_, name: string) =>
    encodeURIComponent(parameters[name] ?? 'x1'),
  )
}

async function send(url: string, route: AnyRoute, probe: Probe, token: string | undefined): Promise<number> {
  const withBody = route.method !== 'GET' && probe.body !== undefined
  try {
    const response = await fetch(`${url}${probe.path}`, {
      method: route.method,
      headers: {
        ...(withBody ? { 'content-type': 'application/json' } : {}),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...probe.headers,
      },
      ...(withBody ? { body: JSON.stringify(probe.body) } : {}),
      signal: AbortSignal.timeout(5_000),
    })
    await response.body?.cancel()
    return response.status
  } catch {
    return 0
  }
}
