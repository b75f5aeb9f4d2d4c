/** The configuration made ready for requests. A request keeps the rules it began with; what they say never changes. */
import { createAddressRules, type AddressRules } from './addresses.ts'
import type { Spread } from './choose-upstream.ts'
import { createCors, type Cors } from './cors.ts'
import type { Declared } from './declared.ts'
import { defaultUpstream, type GatewayDocument, type UpstreamSettings } from './document.ts'
import { bucketLimit, type BucketLimit } from './limits/bucket.ts'
import { createRouteTable, matchesPattern, type RouteTable } from './route-table.ts'
import type { Upstream } from './upstream.ts'

export type Rules = {
  document: GatewayDocument
  table: RouteTable
  addresses: AddressRules
  cors: Cors | undefined
  upstreams: ReadonlyMap<string, Upstream>
  invalidTokens: BucketLimit
  /** Requests that began under these rules and have not ended. */
  users: number
  /** Set when other rules apply: called when the last of these requests has ended. */
  unused: (() => void) | undefined
}

export type UpstreamPlan = { name: string; settings: UpstreamSettings; addresses: { url: string; weight: number }[] }

/** Which upstreams there are. Throws an Error that says which has no address. */
export function planUpstreams(
  document: GatewayDocument,
  functions: readonly string[],
  addresses: ReadonlyMap<string, string>,
): UpstreamPlan[] {
  const named = new Set(Object.keys(document.upstreams))
  for (const name of functions) named.add(document.functions[name]?.upstream ?? name)
  for (const [name, { overflow, canary }] of Object.entries(document.functions)) {
    if (!functions.includes(name)) throw new Error(`functions/${name}: there is no such function`)
    for (const other of [overflow?.upstream, canary?.upstream]) if (other !== undefined) named.add(other)
  }
  return [...named].map((name) => {
    const settings = document.upstreams[name] ?? defaultUpstream()
    const fromEnvironment = addresses.get(name)
    const own = settings.addresses ?? (fromEnvironment === undefined ? [] : [{ url: fromEnvironment, weight: 1 }])
    // A function that nobody has deployed is no reason not to start; one that the document names is a mistake.
    if (own.length === 0 && !functions.includes(name)) throw new Error(`upstreams/${name}: it has no address`)
    return { name, settings, addresses: own }
  })
}

export function compileRules(
  document: GatewayDocument,
  declared: Declared,
  upstreams: ReadonlyMap<string, Upstream>,
): Rules {
  const spreads = new Map<string, Spread>()
  for (const name of declared.functions) {
    const settings = document.functions[name]
    const primary = upstreams.get(settings?.upstream ?? name)!
    const { overflow, canary } = settings ?? {}
    spreads.set(name, {
      function: name,
      primary,
      overflow: overflow && {
        upstream: upstreams.get(overflow.upstream)!,
        inFlight: overflow.inFlight ?? Number.POSITIVE_INFINITY,
        latencyMs: overflow.latencyMs ?? Number.POSITIVE_INFINITY,
      },
      canary: canary && {
        upstream: upstreams.get(canary.upstream)!,
        weight: canary.weight,
        header: canary.header,
        tenants: new Set(canary.tenants),
      },
    })
  }
  const limits = document.limits.map((settings) => ({ settings, limit: bucketLimit(settings) }))
  const limitsOf = (label: string, functionName: string) =>
    limits
      .filter(
        ({ settings: { routes, functions } }) =>
          (routes.length === 0 && functions.length === 0) ||
          functions.includes(functionName) ||
          routes.some((pattern) => matchesPattern(pattern, label)),
      )
      .map(({ limit }) => limit)
  return {
    document,
    table: createRouteTable(declared, document, spreads, limitsOf),
    addresses: createAddressRules(document.addresses),
    cors: createCors(document.cors),
    upstreams,
    invalidTokens: bucketLimit({ name: 'invalid-tokens', by: 'ip', onOutage: 'local', ...document.invalidTokens }),
    users: 0,
    unused: undefined,
  }
}

/** A pattern that matches nothing is a spelling mistake, and then a limit that does not hold. */
export function checkPatterns(document: GatewayDocument, declared: Declared): void {
  const labels = [
    ...declared.routes.map(({ method, path }) => `${method} ${path}`),
    ...declared.mounts.map(({ prefix }) => `* ${prefix}`),
  ]
  const patterns = [
    ...document.limits.flatMap(({ name, routes }) => routes.map((pattern) => ({ where: `limits/${name}`, pattern }))),
    ...document.routes.map(({ route }) => ({ where: 'routes', pattern: route })),
  ]
  for (const { where, pattern } of patterns) {
    if (!labels.some((label) => matchesPattern(pattern, label)))
      throw new Error(`${where}: there is no route "${pattern}"`)
  }
  for (const { name, functions } of document.limits) {
    const unknown = functions.find((one) => !declared.functions.includes(one))
    if (unknown !== undefined) throw new Error(`limits/${name}: there is no function "${unknown}"`)
  }
}
