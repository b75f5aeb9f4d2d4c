/** Finds the route of a path among everything that the functions declare for outside; nothing else exists. */
import { compilePrefix, type PathMatcher } from '@stampede/shared/function/path.ts'
import { createRouter } from '@stampede/shared/function/router.ts'
import type { Declared, DeclaredRoute } from './declared.ts'
import type { GatewayDocument } from './document.ts'
import type { BucketLimit } from './limits/bucket.ts'
import type { Spread } from './choose-upstream.ts'

export type GatewayRoute = {
  /** `POST /api/v1/orders/:orderId/pay`: in metrics, logs and the configuration. */
  label: string
  function: string
  auth: DeclaredRoute['auth']
  permission: DeclaredRoute['permission']
  bodyLimitBytes: number
  timeoutMs: number
  headerLimits: { count: number; bytes: number }
  /** It answers with server-sent events when it is asked to. */
  streams: boolean
  /** It may take as long as a stream; it uses the connections of streams. */
  long: boolean
  spread: Spread
  limits: readonly BucketLimit[]
  /** Of the version of the API. */
  headers: readonly string[]
}

export type Found =
  | { kind: 'found'; route: GatewayRoute; path: string }
  | { kind: 'other-methods'; allowed: readonly string[] }
  | { kind: 'unknown-version'; versions: readonly string[] }
  | { kind: 'none' }

export type RouteTable = {
  find(method: string, path: string): Found
  routes: readonly GatewayRoute[]
  versions: readonly string[]
}

/** An answer that may take longer than this is waited for on a connection of its own. */
const longMs = 20_000
const versionPattern = /^\/api\/(v[1-9][0-9]{0,3})(?:\/|$)/

export function createRouteTable(
  declared: Declared,
  document: GatewayDocument,
  spreads: ReadonlyMap<string, Spread>,
  limitsOf: (label: string, functionName: string) => readonly BucketLimit[],
): RouteTable {
  const versions = new Set(Object.keys(document.versions))
  const make = (label: string, path: string, from: Omit<DeclaredRoute, 'method' | 'path'>): GatewayRoute => {
    const version = versionPattern.exec(path)?.[1]
    if (version !== undefined) versions.add(version)
    const changed = Object.assign(
      {},
      ...document.routes.filter(({ route }) => matchesPattern(route, label)),
    ) as Partial<GatewayDocument['routes'][number]>
    const timeoutMs = changed.timeoutMs ?? from.timeoutMs
    return {
      label,
      function: from.function,
      auth: from.auth,
      permission: from.permission,
      bodyLimitBytes: changed.bodyLimitBytes ?? from.bodyLimitBytes,
      timeoutMs,
      headerLimits: {
        count: changed.headerCount ?? document.headers.count,
        bytes: changed.headerBytes ?? document.headers.bytes,
      },
      streams: from.streams ?? false,
      long: timeoutMs > longMs,
      spread: spreads.get(from.function)!,
      limits: limitsOf(label, from.function),
      headers: version === undefined ? [] : versionHeaders(document, version),
    }
  }
  const router = createRouter<GatewayRoute>()
  const routes: GatewayRoute[] = []
  for (const one of declared.routes) {
    const route = make(`${one.method} ${one.path}`, one.path, one)
    routes.push(route)
    router.add(one.method, one.path, route)
  }
  const mounts = declared.mounts.map((one): { match: PathMatcher; route: GatewayRoute } => {
    const route = make(`* ${one.prefix}`, one.prefix, { ...one, auth: 'public' })
    routes.push(route)
    return { match: compilePrefix(one.prefix), route }
  })
  const known = [...versions].sort()

  return {
    routes,
    versions: known,
    find(method, asked) {
      const path = withoutAlias(asked, document.aliases)
      const match = router.find(method, path)
      if (match.kind === 'found') return { kind: 'found', route: match.target, path }
      for (const { match: matches, route } of mounts) if (matches(path)) return { kind: 'found', route, path }
      if (match.kind === 'other-methods') return { kind: 'other-methods', allowed: match.allowed }
      const version = versionPattern.exec(path)?.[1]
      if (version !== undefined && !versions.has(version)) return { kind: 'unknown-version', versions: known }
      return { kind: 'none' }
    },
  }
}

function withoutAlias(path: string, aliases: GatewayDocument['aliases']): string {
  for (const { from, to } of aliases) {
    if (path.startsWith(from) && (path.length === from.length || path.charCodeAt(from.length) === 47)) {
      return to + path.slice(from.length)
    }
  }
  return path
}

/** `* /api/v1/orders*`: the method or any, the path as declared or its beginning. */
export function matchesPattern(pattern: string, label: string): boolean {
  const [method = '', path = ''] = pattern.split(' ')
  const [ownMethod = '', ownPath = ''] = label.split(' ')
  if (method !== '*' && method !== ownMethod && ownMethod !== '*') return false
  return path.endsWith('*') ? ownPath.startsWith(path.slice(0, -1)) : path === ownPath
}

function versionHeaders(document: GatewayDocument, version: string): string[] {
  const { deprecatedAt, sunsetAt, link } = document.versions[version] ?? {}
  const headers: string[] = []
  if (deprecatedAt !== undefined) headers.push('deprecation', `@${Math.floor(Date.parse(deprecatedAt) / 1_000)}`)
  if (sunsetAt !== undefined) headers.push('sunset', new Date(sunsetAt).toUTCString())
  if (link !== undefined) {
    const relations = [deprecatedAt && 'deprecation', sunsetAt && 'sunset'].filter((one) => one)
    if (relations.length > 0)
      headers.push('link', relations.map((relation) => `<${link}>; rel="${relation}"`).join(', '))
  }
  return headers
}
