/**
 * Walks every route of the given definitions, hot ones included, with callers that must be refused, and says where one was
 * not, or not in the right way; where a route declares no policy; and where one is open to everyone without a reason. Refusals must
 * come before anything else, so the requests carry no sensible body. What callers of another tenant get is asked in `tenant-walk.ts`.
 */
import { randomBytes } from 'node:crypto'
import type { Cluster, Redis } from 'ioredis'
import { createAccessDirectory } from '../access/directory.ts'
import { accessKeys } from '../access/keys.ts'
import { policyProblem } from '../function/check-declarations.ts'
import type { AnyFunction, HotRoute, Route } from '../function/declaration.ts'
import type { TestIdentity } from './identity.ts'
import { createMatrixCallers, type Caller } from './matrix-callers.ts'

type AnyRoute = Route<unknown> | HotRoute<unknown>

export type MatrixOptions = {
  /** Where all the definitions are served, with ACCESS_CONTROL=directory. */
  url: string
  definitions: readonly AnyFunction[]
  identity: TestIdentity
  /** Where the host reads its access directory; the walk writes there. */
  redis: Redis | Cluster
  /**
   * Every route that is open to everyone, with the reason: `METHOD /path`, `MOUNT /prefix/`, or `FALLBACK name` for a function that
   * takes the rest.
   */
  publicRoutes: Readonly<Record<string, string>>
  /** `url` is the gateway: nobody outside is a function, so it knows no service tokens. */
  atGateway?: boolean
  /** Values of path parameters by name; default `x1`. */
  parameters?: Record<string, string>
  /** A body for routes that look at it before they look at the caller. Default `{}`. */
  bodyFor?: (route: AnyRoute) => unknown
  /** Routes that a permitted caller is refused by for another reason; they are not asked by one. */
  notAllowedAnyway?: ReadonlySet<string>
}

export type MatrixFinding = { route: string; caller: string; expected: string; got: string }

const requestsAtOnce = 8

/** Every finding is a hole; `checked` counts the requests, so that a walk over nothing is noticed. */
export async function walkPermissions(options: MatrixOptions): Promise<{ checked: number; findings: MatrixFinding[] }> {
  const findings = findPolicies(options.definitions, options.publicRoutes)
  const routes = options.definitions.flatMap(({ routes: own }) => own as readonly AnyRoute[])
  const declared = routes.filter((route) => policyProblem(route.options) === undefined)
  const unique = randomBytes(6).toString('hex')
  const directory = createAccessDirectory(options.redis)
  const callers = await createMatrixCallers(options.identity, directory, unique, options.atGateway)
  const asked: { route: AnyRoute; caller: Caller }[] = []
  let checked = 0
  const askAll = async () => {
    for (let index = 0; index < asked.length; index += requestsAtOnce) {
      const together = asked.slice(index, index + requestsAtOnce)
      const found = await Promise.all(together.map(({ route, caller }) => ask(options, route, caller)))
      findings.push(...found.filter((finding) => finding !== undefined))
    }
    checked += asked.length
    asked.length = 0
  }

  for (const route of declared) {
    const isOpen = route.options.auth === 'public'
    const own = isOpen && route.kind === 'route' ? await callers.onPublicRoutes() : await callers.of(route.options)
    for (const caller of own) {
      const skipped = caller.expected === 'allowed' && options.notAllowedAnyway?.has(nameOf(route))
      if (!skipped) asked.push({ route, caller })
    }
  }
  await directory.markComplete()
  findings.push(...(await untilHostSays(options, declared, 403)))
  await askAll()

  for (const route of declared) {
    for (const caller of await callers.whenIncomplete(route.options)) asked.push({ route, caller })
  }
  await options.redis.del(accessKeys.complete)
  findings.push(...(await untilHostSays(options, declared, 503)))
  await askAll()
  return { checked, findings }
}

const nameOf = ({ method, path }: AnyRoute): string => `${method} ${path}`

/** What the declarations alone tell: routes without a policy, and public ones without a reason. */
export function findPolicies(
  definitions: readonly AnyFunction[],
  publicRoutes: Readonly<Record<string, string>>,
): MatrixFinding[] {
  const findings: MatrixFinding[] = []
  const open = new Set<string>()
  for (const { name, routes, mounts = [], fallback } of definitions) {
    for (const route of routes as readonly AnyRoute[]) {
      const problem = policyProblem(route.options)
      if (problem !== undefined)
        findings.push({ route: nameOf(route), caller: 'anyone', expected: 'a policy', got: problem })
      if (route.options.auth === 'public') open.add(nameOf(route))
    }
    for (const { prefix } of mounts) open.add(`MOUNT ${prefix}`)
    if (fallback) open.add(`FALLBACK ${name}`)
  }
  for (const route of open) {
    if (!publicRoutes[route]) findings.push({ route, caller: 'anyone', expected: 'a reason', got: 'open to everyone' })
  }
  for (const route of Object.keys(publicRoutes)) {
    if (!open.has(route)) findings.push({ route, caller: 'anyone', expected: 'a public route', got: 'a reason alone' })
  }
  return findings
}

/** Of a tenant that is not there: 403 when the directory is complete, 503 when it is not. The host hears of it within a moment. */
async function untilHostSays(
  options: MatrixOptions,
  routes: readonly AnyRoute[],
  status: 403 | 503,
): Promise<MatrixFinding[]> {
  const route = routes.find(({ options: { auth } }) => auth === 'user' || auth === 'staff')
  if (!route) return []
  const endMs = performance.now() + 30_000
  const token = await options.identity.token({ tenantId: 'never-written', roles: ['administrator'] })
  let got = 0
  while (got !== status) {
    got = (await send(options, route, token)).status
    if (performance.now() > endMs) {
      return [{ route: nameOf(route), caller: 'a tenant that is not there', expected: `${status}`, got: `${got}` }]
    }
    if (got !== status) await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return []
}

async function ask(options: MatrixOptions, route: AnyRoute, caller: Caller): Promise<MatrixFinding | undefined> {
  const { expected } = caller
  const { status, code } = await send(options, route, caller.token)
  const right =
    expected === 'allowed'
      ? status !== 0 && status !== 401 && status !== 403
      : status === expected.status && code === expected.code
  if (right) return undefined
  return {
    route: nameOf(route),
    caller: caller.caller,
    expected: expected === 'allowed' ? 'no refusal' : `${expected.status} ${expected.code}`,
    got: `${status} ${code}`,
  }
}

/** `status` 0: no answer. */
async function send(options: MatrixOptions, route: AnyRoute, token: string | undefined) {
  const body = route.method === 'GET' ? undefined : (options.bodyFor?.(route) ?? {})
  const path = route.path.replaceAll(/:([a-zA-Z][a-zA-Z0-9]*)/g, (_, name: string) =>
    encodeURIComponent(options.parameters?.[name] ?? 'x1'),
  )
  try {
    const response = await fetch(`${options.url}${path}`, {
      method: route.method,
      redirect: 'manual',
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    })
    const isProblem = response.headers.get('content-type') === 'application/problem+json'
    const code = isProblem ? String(((await response.json()) as { code?: unknown }).code) : ''
    // A stream would never end.
    await response.body?.cancel().catch(() => {})
    return { status: response.status, code }
  } catch {
    return { status: 0, code: '' }
  }
}
