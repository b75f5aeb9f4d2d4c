/** The trial function on the cluster: its images and its Service, in the namespace of the test. */
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildImage } from '../building/images.ts'
import { routeOf, type Route } from '../cluster/route.ts'
import { send } from '../cluster/send.ts'
import type { ImageSettings, PartContext } from './part.ts'

const source = join(import.meta.dirname, 'trial-function')

/** The image of one version. Another version has another name. */
export async function trialImage(
  { tool, registry, command }: ImageSettings,
  behaviour: { version: string; fails: boolean },
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'stampede-trial-'))
  try {
    await mkdir(join(folder, 'dist'))
    await cp(join(source, 'package.json'), join(folder, 'package.json'))
    await cp(join(source, 'main.js'), join(folder, 'dist', 'main.js'))
    await writeFile(join(folder, 'dist', 'behaviour.json'), `${JSON.stringify(behaviour)}\n`)
    return await buildImage({
      name: 'trial',
      folder,
      tool,
      ...(registry === undefined ? {} : { registry }),
      ...(command === undefined ? {} : { command }),
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

export const serviceKind = 'services.serving.knative.dev'
const readyWithinSeconds = 180

/** Ready, with a route that leads there, when this resolves; taken away at the end of the part. */
export async function deployTrial(
  context: PartContext,
  name: string,
  image: string,
  annotations: Record<string, string> = {},
): Promise<Route> {
  const { kubectl, trialNamespace: namespace, connection, ingress, defer } = context
  await kubectl.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }))
  await kubectl.apply(JSON.stringify(manifest(namespace, name, image, annotations)))
  defer(() => kubectl.run(['-n', namespace, 'delete', serviceKind, name, '--ignore-not-found', '--wait=false']))
  await kubectl.run(
    ['-n', namespace, 'wait', serviceKind, name, '--for=condition=Ready', `--timeout=${readyWithinSeconds}s`],
    { timeoutMs: (readyWithinSeconds + 10) * 1_000 },
  )
  const route = await routeOf(kubectl, {
    namespace,
    service: name,
    connection,
    ...(ingress === undefined ? {} : { ingress }),
  })
  defer(() => route.close())
  return route
}

const manifest = (namespace: string, name: string, image: string, annotations: Record<string, string>) => ({
  apiVersion: 'serving.knative.dev/v1',
  kind: 'Service',
  metadata: { name, namespace },
  spec: {
    template: {
      metadata: { annotations: { 'autoscaling.knative.dev/window': '6s', ...annotations } },
      spec: {
        containerConcurrency: 0,
        timeoutSeconds: 60,
        containers: [
          {
            image,
            ports: [{ containerPort: 8080 }],
            readinessProbe: { httpGet: { path: '/health/readiness', port: 0 } },
            resources: { requests: { cpu: '10m', memory: '48Mi' }, limits: { memory: '128Mi' } },
            securityContext: {
              allowPrivilegeEscalation: false,
              runAsNonRoot: true,
              capabilities: { drop: ['ALL'] },
              seccompProfile: { type: 'RuntimeDefault' },
            },
          },
        ],
      },
    },
  },
})

export type Sent = { answered: number; failed: number; versions: Set<string> }
export type SteadyLoad = { sent: Sent; stop: () => Promise<Sent> }

const maximumInFlight = 50

/** Requests at a steady pace until it is stopped. */
export function steadyLoad(route: Route, options: { perSecond: number; path: string; timeoutMs?: number }): SteadyLoad {
  const sent: Sent = { answered: 0, failed: 0, versions: new Set() }
  const inFlight = new Set<Promise<void>>()
  const stopping = new AbortController()
  const one = async () => {
    try {
      const { status, headers } = await send(route, options.path, { timeoutMs: options.timeoutMs ?? 30_000 })
      if (status === 200) sent.answered += 1
      else sent.failed += 1
      const version = headers['x-trial-version']
      if (typeof version === 'string') sent.versions.add(version)
    } catch {
      sent.failed += 1
    }
  }
  const loop = (async () => {
    while (!stopping.signal.aborted) {
      if (inFlight.size < maximumInFlight) {
        const request = one()
        inFlight.add(request)
        void request.finally(() => inFlight.delete(request))
      }
      await sleep(1_000 / options.perSecond)
    }
    await Promise.all(inFlight)
  })()
  return {
    sent,
    async stop() {
      stopping.abort()
      await loop
      return sent
    },
  }
}
