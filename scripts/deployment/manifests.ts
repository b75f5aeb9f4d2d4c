/**
 * The overlay as objects, each assigned to the step that applies it. One rendering for all steps: what is in the overlay is
 * deployed by exactly one of them.
 */
import { join } from 'node:path'
import type { Kubectl } from '../cluster/kubectl.ts'
import { parseManifests, type Manifest } from '../cluster/manifest.ts'
import { repositoryFolder } from '../sale/child.ts'
import { DeployError, type Overlay } from './context.ts'

export const stages = ['init', 'infra', 'eventing', 'services', 'gateway', 'monitoring'] as const
export type Stage = (typeof stages)[number]

/** Each object carries it, so that `cleanup` finds what was deployed, and nothing else. */
export const stageLabel = 'stampede.io/stage'

const foundations = new Set([
  'Namespace',
  'ServiceAccount',
  'Role',
  'RoleBinding',
  'ClusterRole',
  'ClusterRoleBinding',
  'ResourceQuota',
  'LimitRange',
  'NetworkPolicy',
  'PriorityClass',
])
const eventingGroups = [
  'eventing.knative.dev',
  'sources.knative.dev',
  'messaging.knative.dev',
  'sinks.knative.dev',
  'keda.sh',
]
const gatewayKinds = new Set(['DomainMapping', 'ClusterDomainClaim', 'Certificate', 'ClusterIssuer', 'Issuer'])

/** The engine that stands in for the Kafka broker and what belongs to it. */
const isEngine = ({ metadata }: Manifest) =>
  metadata.name.startsWith('eventing-engine') || metadata.labels?.['app.kubernetes.io/name'] === 'eventing-engine'

export const groupOf = ({ apiVersion }: Pick<Manifest, 'apiVersion'>): string =>
  apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''

export function stageOf(manifest: Manifest): Stage {
  const { kind, metadata } = manifest
  const group = groupOf(manifest)
  if (foundations.has(kind)) return 'init'
  if (kind === 'ConfigMap' && metadata.name === 'stampede') return 'init'
  if (group === 'monitoring.coreos.com') return 'monitoring'
  if (gatewayKinds.has(kind) || group.endsWith('istio.io') || group === 'gateway.networking.k8s.io') return 'gateway'
  if (group === 'serving.knative.dev') return 'services'
  if (eventingGroups.includes(group) || isEngine(manifest)) return 'eventing'
  if (kind === 'ConfigMap') return 'eventing'
  if (kind === 'StatefulSet') return 'infra'
  return 'services'
}

/** @throws DeployError with where the text came from */
function readManifests(text: string, origin: string): Manifest[] {
  try {
    const manifests = parseManifests(text)
    for (const { kind, metadata } of manifests)
      if (typeof kind !== 'string' || typeof metadata?.name !== 'string')
        throw new TypeError('a document has no kind or no name.')
    return manifests
  } catch (error) {
    throw new DeployError(`${origin}: ${(error as Error).message}`, { cause: error })
  }
}

/** Renders a folder with a kustomization. `folder` is relative to the repository. */
export async function renderFolder(kubectl: Kubectl, folder: string): Promise<Manifest[]> {
  return readManifests(await kubectl.run(['kustomize', join(repositoryFolder, folder)]), folder)
}

export const renderOverlay = (kubectl: Kubectl, overlay: Overlay): Promise<Manifest[]> =>
  renderFolder(kubectl, join('knative', 'overlays', overlay))

export const ofStage = (manifests: readonly Manifest[], stage: Stage): Manifest[] =>
  manifests.filter((manifest) => stageOf(manifest) === stage)

/** `Service/seckill`, for people. */
export const titleOf = ({ kind, metadata }: Manifest): string => `${kind}/${metadata.name}`

/** Containers of a workload or of a Knative Service. */
export function containersOf(manifest: Manifest): { name?: string; image?: string }[] {
  const template = manifest.spec?.['template'] as
    { spec?: { containers?: unknown; initContainers?: unknown } } | undefined
  const { containers = [], initContainers = [] } = (template?.spec ?? {}) as {
    containers?: { image?: string }[]
    initContainers?: { image?: string }[]
  }
  return [...initContainers, ...containers]
}

const ownImage = /^stampede\/([a-z0-9-]+)(?::[\w.-]+)?$/

/** Names of the images that the manifests take from this repository: `seckill` for `stampede/seckill`. */
export function ownImagesOf(manifests: readonly Manifest[]): string[] {
  const names = manifests.flatMap((manifest) =>
    containersOf(manifest).map(({ image = '' }) => ownImage.exec(image)?.[1] ?? ''),
  )
  return [...new Set(names.filter((name) => name !== ''))].sort()
}

/** A copy in which `stampede/<name>` is the image that was built for it. Names without an image stay. */
export function withImages(manifests: readonly Manifest[], images: ReadonlyMap<string, string>): Manifest[] {
  return manifests.map((manifest) => {
    const copy = structuredClone(manifest)
    for (const container of containersOf(copy)) {
      const image = images.get(ownImage.exec(container.image ?? '')?.[1] ?? '')
      if (image !== undefined) container.image = image
    }
    return copy
  })
}
