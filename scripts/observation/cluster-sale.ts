/** A sale on a cluster: prepared by staff along the routes, and its stored orders read afterwards. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServiceTokens } from '@stampede/shared/identity/service-token.ts'
import { connectDatabase } from '@stampede/shared/database/connect.ts'
import type { JWK } from 'jose'
import { identitySecret, ownAudience, ownIssuer, readSecret, signingSecret, trialStaff } from '../cluster/identity.ts'
import type { Kubectl, KubectlConnection } from '../cluster/kubectl.ts'
import { routeOf, type Route } from '../cluster/route.ts'
import { send } from '../cluster/send.ts'
import { readLedger } from '../sale/audit.ts'
import { createTokenMint, localTenant, type TokenTerms } from '../sale/identity.ts'
import type { FunctionName } from '../sale/platform.ts'
import { Staff, StaffError } from '../sale/staff.ts'
import type { LoadOrders } from './load-orders.ts'
import { readLedgerByRoute, type LedgerReader } from './route-ledger.ts'
import type { StockSample } from './samples.ts'

export type ClusterAccess = {
  kubectl: Kubectl
  connection: KubectlConnection
  namespace: string
  /** `host:port`, given by the user. */
  ingress?: string
}

export type SaleKeys = {
  signingKey: JWK
  tokenTerms: TokenTerms
  passKeys: string | undefined
  serviceSecret: string | undefined
  databaseUrl: string | undefined
}

/** Routes of functions, looked for once each. */
export type Routes = { of(service: string): Promise<Route>; close(): Promise<void> }

export function createRoutes({ kubectl, connection, namespace, ingress }: ClusterAccess): Routes {
  const routes = new Map<string, Promise<Route>>()
  return {
    of(service) {
      const known = routes.get(service)
      if (known) return known
      const found = routeOf(kubectl, {
        namespace,
        service,
        connection,
        ...(ingress === undefined ? {} : { ingress }),
      })
      routes.set(service, found)
      // It is looked for again when somebody asks again.
      found.catch(() => routes.delete(service))
      return found
    },
    async close() {
      for (const route of routes.values()) await route.then(({ close }) => close()).catch(() => undefined)
    },
  }
}

/** @throws Error with the next step when buyers' tokens cannot be made on this cluster. */
export async function readSaleKeys({ kubectl, namespace }: ClusterAccess): Promise<SaleKeys> {
  const [signing, identity, database] = await Promise.all([
    readSecret(kubectl, namespace, signingSecret),
    readSecret(kubectl, namespace, identitySecret),
    readSecret(kubectl, namespace, 'stampede-database'),
  ])
  const privateKey = signing?.['private-jwk']
  if (privateKey === undefined)
    throw new Error(
      `There is no Secret ${signingSecret} in namespace ${namespace}, so no buyers can sign in here. \`scripts/deploy init\` makes it in the overlays local and staging; a cluster with another identity provider is not observed under a load of made-up buyers.`,
    )
  return {
    signingKey: JSON.parse(privateKey) as JWK,
    tokenTerms: { issuer: identity?.['issuer'] ?? ownIssuer, audience: identity?.['audience'] ?? ownAudience },
    passKeys: identity?.['pass-keys'],
    serviceSecret: identity?.['service-secret'],
    databaseUrl: database?.['url'],
  }
}

/** From zero a function takes seconds to answer. */
const requestTimeoutMs = 60_000
const warmWithinMs = 180_000
/** A buyer does not wait longer. */
const answerTimeoutMs = 30_000

export type PreparedSale = {
  /** Of seckill. */
  route: Route
  activityId: string
  stock: number
  startsAtMs: number
  readStock: () => Promise<StockSample>
  /** The end of the sale, by staff. Never rejects: what it left behind ends by itself. */
  close: () => Promise<void>
}

/** The same steps as `npm start` takes, each along the route of its function. */
export async function prepareClusterSale(
  routes: Routes,
  keys: SaleKeys,
  terms: { name: string; stock: number; buckets: number; startsInMs: number; lengthMs: number },
): Promise<PreparedSale> {
  const names = ['activity', 'inventory', 'seckill'] as const satisfies FunctionName[]
  const found = new Map(await Promise.all(names.map(async (name) => [name as string, await routes.of(name)] as const)))
  const byHost = new Map([...found.values()].map((route) => [new URL(route.url).host, route]))
  const mint = await createTokenMint(keys.signingKey, localTenant, 3_600, keys.tokenTerms)
  const staff = new Staff(
    { url: (name) => found.get(name)?.url ?? '' },
    await mint(trialStaff, ['administrator']),
    async (url, { method, headers, body }) => {
      const { host, pathname, search } = new URL(url)
      const route = byHost.get(host)
      if (route === undefined) throw new Error(`no route leads to ${host}`)
      return send(route, `${pathname}${search}`, {
        method,
        headers,
        timeoutMs: requestTimeoutMs,
        ...(body === undefined ? {} : { body }),
      })
    },
  )
  // From zero each needs seconds to wake up; the time to the start counts from when they are awake.
  await Promise.all(
    [...found.values()].map((route) => send(route, '/health/readiness', { timeoutMs: requestTimeoutMs })),
  )
  await untilTenantIsKnown(staff, `${found.get('activity')!.url}/api/v1/activities?limit=1`)
  const startsAtMs = Date.now() + terms.startsInMs
  const activityId = await staff.prepareActivity({
    name: terms.name,
    stock: terms.stock,
    buckets: terms.buckets,
    startsAtMs,
    endsAtMs: startsAtMs + terms.lengthMs,
    warmWithinMs,
  })
  const seckill = found.get('seckill')!
  return {
    route: seckill,
    activityId,
    stock: terms.stock,
    startsAtMs,
    async readStock() {
      const answer = await send(seckill, `/api/v1/seckill/${activityId}/live?tenantId=${localTenant}`, {
        timeoutMs: 2_000,
      })
      if (answer.status !== 200) throw new Error(`the live view answered ${answer.status}`)
      const { left, sold, confirmed, outbox } = JSON.parse(answer.text) as StockSample
      return { left, sold, confirmed, outbox }
    },
    async close() {
      await staff
        .call('POST', `${found.get('activity')!.url}/api/v1/activities/${activityId}/close`)
        .catch(() => undefined)
    },
  }
}

/** Right after a start, or when Redis forgot everything, nobody knows yet who may do what. */
async function untilTenantIsKnown(staff: Staff, url: string): Promise<void> {
  const deadlineMs = performance.now() + warmWithinMs
  for (;;) {
    const { status, body } = await staff.call('GET', url)
    if (status === 200) return
    if (status !== 503 || performance.now() > deadlineMs)
      throw new StaffError(
        `staff may not look at activities (${status} ${JSON.stringify(body)}). Is the tenant ${localTenant} there? It is made by bootstrap-tenants of ConfigMap stampede.`,
        status,
      )
    await sleep(1_000)
  }
}

/** What the load generator needs for a sale. Every call makes buyers that no other run has. */
export function loadOrders(
  keys: SaleKeys,
  { route, activityId }: Pick<PreparedSale, 'route' | 'activityId'>,
  load: Pick<LoadOrders, 'plan' | 'connections' | 'slow'>,
): LoadOrders {
  return {
    url: route.url,
    host: route.host,
    connect: route.connect,
    activityId,
    tenantId: localTenant,
    signingKey: keys.signingKey,
    tokenTerms: keys.tokenTerms,
    ...(keys.passKeys === undefined ? {} : { passKeys: keys.passKeys }),
    buyerPrefix: `observe-${randomBytes(4).toString('hex')}`,
    timeoutMs: answerTimeoutMs,
    ...load,
  }
}

/** The database itself when it can be reached from here, else what `order` tells along its route. */
export async function openLedger(routes: Routes, keys: SaleKeys, activityId: string): Promise<LedgerReader> {
  if (keys.databaseUrl !== undefined) {
    const database = connectDatabase(keys.databaseUrl)
    try {
      await withinMs(5_000, readLedger(database, localTenant, activityId))
      return {
        from: 'the database',
        read: () => readLedger(database, localTenant, activityId),
        close: () => database.close(),
      }
    } catch {
      // Its address often leads nowhere outside of the cluster; the function reads it for us.
      await database.close().catch(() => undefined)
    }
  }
  if (keys.serviceSecret === undefined)
    throw new Error('neither the database nor the secret of the services can be read')
  const token = createServiceTokens({ secret: keys.serviceSecret, service: 'observe' })
  return readLedgerByRoute(await routes.of('order'), () => token(localTenant), activityId)
}

async function withinMs<T>(limitMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${limitMs / 1_000} s`)), limitMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
