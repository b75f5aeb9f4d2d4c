/**
 * Where requests to a Knative Service go. Three ways lead there: its name when the DNS knows it, the address of the ingress with
 * the name as Host header, or a port that kubectl forwards to the ingress.
 */
import { lookup } from 'node:dns/promises'
import { connect as connectSocket } from 'node:net'
import { keepProgram } from './kept-program.ts'
import { KubectlError, type Kubectl, type KubectlConnection } from './kubectl.ts'

export type Route = {
  /** The Service's own URL, for people: `http://seckill.stampede.example.com`. */
  url: string
  /** The Host header. */
  host: string
  /** Where the connection goes: `host:port`. */
  connect: string
  /** How it was found. */
  by: 'given' | 'name' | 'ingress' | 'port-forward'
  /** Ends the port forwarding, if there is one. Until then it is opened again, at the same address, whenever it breaks. */
  close: () => Promise<void>
}

export type RouteRequest = {
  namespace: string
  service: string
  /** `host:port`, given by the user. */
  ingress?: string
  /** For the port forwarding: the same as the kubectl's. */
  connection?: KubectlConnection
}

type Forwarding = { connect: string; close: () => Promise<void> }

/** What it asks of the network. */
export type RouteEffects = {
  /** Does the name have an address? */
  resolves(name: string): Promise<boolean>
  /** Does somebody accept a connection there? */
  accepts(host: string, port: number): Promise<boolean>
  forward(target: { namespace: string; service: string; port: number }): Promise<Forwarding>
}

type ServiceAddress = {
  spec?: { clusterIP?: string; externalIPs?: string[]; ports?: { name?: string; port: number; nodePort?: number }[] }
  status?: { loadBalancer?: { ingress?: { ip?: string; hostname?: string }[] } }
}

/** Ingresses of Knative Serving, the usual one first. */
const publicIngresses = [
  { namespace: 'kourier-system', service: 'kourier' },
  { namespace: 'istio-system', service: 'istio-ingressgateway' },
  { namespace: 'contour-external', service: 'envoy' },
] as const

/** Services that only the cluster sees are served by others. */
const clusterLocalIngresses = [
  { namespace: 'kourier-system', service: 'kourier-internal' },
  { namespace: 'istio-system', service: 'knative-local-gateway' },
  { namespace: 'contour-internal', service: 'envoy' },
] as const

/** @throws Error when the Service has no URL yet or no ingress is found. */
export async function routeOf(
  kubectl: Kubectl,
  request: RouteRequest,
  effects = networkEffects(request.connection),
): Promise<Route> {
  const { namespace, service } = request
  const found = await kubectl.json<{ status?: { url?: string } }>([
    '-n',
    namespace,
    'get',
    'services.serving.knative.dev',
    service,
  ])
  const url = found.status?.url
  if (url === undefined)
    throw new Error(
      `${service} has no URL yet. See why: kubectl -n ${namespace} get services.serving.knative.dev ${service} -o yaml`,
    )
  const { hostname: host, port, protocol } = new URL(url)
  const own = Number(port) || (protocol === 'https:' ? 443 : 80)
  const route = (connect: string, by: Route['by'], close = async () => {}): Route => ({ url, host, connect, by, close })
  if (request.ingress !== undefined) return route(withPort(request.ingress, own), 'given')
  if ((await effects.resolves(host)) && (await effects.accepts(host, own))) return route(`${host}:${own}`, 'name')

  const ingresses = /\.svc(\.|$)/.test(host) ? clusterLocalIngresses : publicIngresses
  const problems: string[] = []
  for (const ingress of ingresses) {
    const address = await readService(kubectl, ingress)
    if (address === undefined) continue
    for (const [name, at] of addressesOf(address, own)) {
      if (await effects.accepts(name, at)) return route(joinAddress(name, at), 'ingress')
    }
    try {
      const forwarded = await effects.forward({ ...ingress, port: own })
      return route(forwarded.connect, 'port-forward', forwarded.close)
    } catch (error) {
      problems.push(
        `${ingress.namespace}/${ingress.service}: ${error instanceof Error ? error.message : String(error)}`,
      )
    }
  }
  throw new Error(
    problems.length > 0
      ? `The ingress cannot be reached. ${problems.join('; ')}. Give its address with --ingress host:port.`
      : `No ingress of Knative was found (looked for ${ingresses.map((one) => `${one.namespace}/${one.service}`).join(', ')}). Give its address with --ingress host:port.`,
  )
}

async function readService(
  kubectl: Kubectl,
  { namespace, service }: { namespace: string; service: string },
): Promise<ServiceAddress | undefined> {
  try {
    return await kubectl.json<ServiceAddress>(['-n', namespace, 'get', 'service', service])
  } catch (error) {
    // Somebody who may only see their own namespace can still name the ingress.
    if (error instanceof KubectlError && (error.failure === 'not-found' || error.failure === 'forbidden'))
      return undefined
    throw error
  }
}

/** Addresses worth trying, the public ones first. */
function addressesOf({ spec = {}, status }: ServiceAddress, port: number): [string, number][] {
  const public_ = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip ?? hostname ?? '')
  const internal = spec.clusterIP === undefined || spec.clusterIP === 'None' ? [] : [spec.clusterIP]
  return [...public_, ...(spec.externalIPs ?? []), ...internal]
    .filter((name) => name !== '')
    .map((name) => [name, port])
}

const joinAddress = (host: string, port: number) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)

const withPort = (address: string, port: number) => (/:\d+$/.test(address) ? address : joinAddress(address, port))

const connectWithinMs = 1_500

/** kubectl holds on to the one pod that it began with, also when that is gone: then it goes on listening and leads nowhere. */
const lostForwarding =
  /lost connection to pod|error creating (error|forwarding) stream|error forwarding port .*(failed to connect|not running|not found|No such)/i

function networkEffects(connection: KubectlConnection = {}): RouteEffects {
  return {
    async resolves(name) {
      try {
        await lookup(name)
        return true
      } catch {
        return false
      }
    },
    accepts(host, port) {
      return new Promise((resolve) => {
        const socket = connectSocket({ host, port, timeout: connectWithinMs })
        const end = (accepted: boolean) => {
          socket.destroy()
          resolve(accepted)
        }
        socket.once('connect', () => end(true))
        socket.once('timeout', () => end(false))
        socket.once('error', () => end(false))
      })
    },
    async forward({ namespace, service, port }) {
      const { address, close } = await keepProgram({
        program: connection.program ?? 'kubectl',
        args: (local) => [
          ...(connection.context === undefined ? [] : [`--context=${connection.context}`]),
          ...(connection.kubeconfig === undefined ? [] : [`--kubeconfig=${connection.kubeconfig}`]),
          '-n',
          namespace,
          'port-forward',
          '--address=127.0.0.1',
          `service/${service}`,
          `${local === 0 ? '' : local}:${port}`,
        ],
        says: /Forwarding from (127\.0\.0\.1:\d+)/,
        lost: lostForwarding,
        title: `the way to ${namespace}/${service}`,
        tell: connection.tell,
      })
      return { connect: address, close }
    },
  }
}
