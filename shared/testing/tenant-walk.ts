/**
 * Asks every route of the given definitions for the things of one tenant with the token of another. A route that has no probe
 * is a finding, so that a new route cannot be forgotten; a probe that means nothing is one too, because its owner must get past
 * the same request.
 */
import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { AnyFunction, HotRoute, Route, RouteAuth } from '../function/declaration.ts'
import type { TestIdentity, TestPerson } from './identity.ts'

/** `path` as it is sent, with the ids of real things of the owner. */
export type TenantProbe = {
  path: string
  body?: unknown
  headers?: Record<string, string>
  /**
   * What the stranger is answered. Default: 403 or 404. Given only for routes that answer from the stranger's own, empty
   * tenant: a list, totals, or something new under the same id. `body`: the whole answer.
   */
  stranger?: { status: number; body?: unknown }
  /** Whom the token names; default: the owner's `userId`. The stranger has the same name, in another tenant. */
  userId?: string
  /** Who must get past it, where that is nobody of the owner's tenant: staff of the platform. The stranger stays who it is. */
  owner?: TestPerson
}

export type TenantWalkOptions = {
  /** Where all the definitions are served. */
  url: string
  definitions: readonly AnyFunction[]
  identity: TestIdentity
  owner: { tenantId: string; userId: string }
  /** By `METHOD /path` as it is declared; a reason instead of probes for a route that shows nothing of any tenant. */
  probes: Readonly<Record<string, readonly TenantProbe[] | string>>
}

export type TenantFinding = { probe: string; problem: string }

type AnyRoute = Route<unknown> | HotRoute<unknown>

/** The strangers' half: no answer may show or change what is the owner's. Returns how many requests were made. */
export async function askAsStrangers(
  options: TenantWalkOptions,
): Promise<{ asked: number; findings: TenantFinding[] }> {
  const { planned, findings } = plan(options)
  for (const { route, probe } of planned) {
    // A tenant for each probe: what one creates is not in the lists of the next.
    const tenantId = `stranger-${randomBytes(6).toString('hex')}`
    const { status, body } = await send(options, route, probe, tenantId)
    const { stranger } = probe
    const problem = (text: string) =>
      findings.push({ probe: `${route.method} ${probe.path}`, problem: `${text}: ${status} ${JSON.stringify(body)}` })
    if (stranger ? status !== stranger.status : status !== 403 && status !== 404) problem('a stranger was answered')
    else if (stranger?.body !== undefined && !isDeepStrictEqual(body, stranger.body)) problem('a stranger saw')
  }
  return { asked: planned.length, findings }
}

/** The owner's half, after it: the same requests are not refused. They change things. */
export async function askAsOwner(options: TenantWalkOptions): Promise<TenantFinding[]> {
  const { planned, findings } = plan(options)
  for (const { route, probe } of planned) {
    const { status, body } = await send(options, route, probe, options.owner.tenantId, probe.owner)
    if (status === 0 || [400, 401, 403, 404, 405].includes(status) || status >= 500)
      findings.push({
        probe: `${route.method} ${probe.path}`,
        problem: `the probe proves nothing, its owner is refused too: ${status} ${JSON.stringify(body)}`,
      })
    else if (probe.stranger?.body !== undefined && isDeepStrictEqual(body, probe.stranger.body))
      findings.push({
        probe: `${route.method} ${probe.path}`,
        problem: `the probe proves nothing, its owner sees the same: ${JSON.stringify(body)}`,
      })
  }
  return findings
}

function plan({ definitions, probes }: TenantWalkOptions) {
  const findings: TenantFinding[] = []
  const planned: { route: AnyRoute; probe: TenantProbe }[] = []
  const routes = definitions.flatMap(({ routes }) => routes as readonly AnyRoute[])
  const names = new Set<string>()
  for (const route of routes) {
    const name = `${route.method} ${route.path}`
    names.add(name)
    const given = probes[name]
    if (given === undefined || given.length === 0) findings.push({ probe: name, problem: 'the route has no probe' })
    else if (typeof given !== 'string') for (const probe of given) planned.push({ route, probe })
  }
  for (const name of Object.keys(probes))
    if (!names.has(name)) findings.push({ probe: name, problem: 'there is no such route' })
  return { planned, findings }
}

async function tokenFor(identity: TestIdentity, auth: RouteAuth, tenantId: string, userId: string): Promise<string> {
  if (auth === 'service') return identity.serviceToken(tenantId)
  return identity.token({ tenantId, userId, roles: auth === 'staff' ? ['administrator'] : [] })
}

async function send(
  options: TenantWalkOptions,
  route: AnyRoute,
  probe: TenantProbe,
  tenantId: string,
  person?: TestPerson,
) {
  const { identity, owner, url } = options
  const token = person
    ? await identity.token(person)
    : await tokenFor(identity, route.options.auth, tenantId, probe.userId ?? owner.userId)
  const withBody = probe.body !== undefined
  try {
    const response = await fetch(`${url}${probe.path}`, {
      method: route.method,
      headers: {
        ...(withBody ? { 'content-type': 'application/json' } : {}),
        authorization: `Bearer ${token}`,
        ...probe.headers,
      },
      ...(withBody ? { body: JSON.stringify(probe.body) } : {}),
      signal: AbortSignal.timeout(30_000),
    })
    const text = await response.text()
    const isJson = /json/.test(response.headers.get('content-type') ?? '')
    return { status: response.status, body: isJson ? (JSON.parse(text) as unknown) : text }
  } catch (error) {
    return { status: 0, body: String(error) }
  }
}
