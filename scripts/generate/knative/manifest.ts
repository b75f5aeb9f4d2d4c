/** Manifests of files, and the pods in them. */
import { readFile } from 'node:fs/promises'
import { parseManifests, type Manifest } from '../../cluster/manifest.ts'

export type Container = {
  name: string
  image?: string
  env?: { name: string; value?: string; valueFrom?: EnvironmentReference }[]
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> }
  livenessProbe?: object
  readinessProbe?: object
  securityContext?: SecurityContext
}
type EnvironmentReference = {
  secretKeyRef?: { name: string; key: string }
  configMapKeyRef?: { name: string; key: string }
}
export type SecurityContext = {
  runAsNonRoot?: boolean
  runAsUser?: number
  privileged?: boolean
  allowPrivilegeEscalation?: boolean
  readOnlyRootFilesystem?: boolean
  capabilities?: { drop?: string[]; add?: string[] }
  seccompProfile?: { type?: string }
}
export type PodSpec = {
  serviceAccountName?: string
  automountServiceAccountToken?: boolean
  securityContext?: SecurityContext
  containers: Container[]
  initContainers?: Container[]
  volumes?: Record<string, unknown>[]
}
export type PodTemplate = { metadata?: Partial<Manifest['metadata']>; spec: PodSpec }

export const readManifestFile = async (path: string): Promise<Manifest[]> =>
  parseManifests(await readFile(path, 'utf8'))

/** `serving.knative.dev/Service stampede/order`: the group without the version, because objects keep their name through versions. */
export function titleOf({ apiVersion, kind, metadata }: Manifest): string {
  const group = apiVersion.includes('/') ? `${apiVersion.split('/', 1)[0]}/` : ''
  return `${group}${kind} ${metadata.namespace === undefined ? '' : `${metadata.namespace}/`}${metadata.name}`
}

export const isKnativeService = ({ apiVersion, kind }: Manifest): boolean =>
  kind === 'Service' && apiVersion.startsWith('serving.knative.dev/')

/** Pod templates of Knative Services, Deployments and StatefulSets. */
export function podsOf(manifests: readonly Manifest[]): { title: string; manifest: Manifest; pod: PodTemplate }[] {
  return manifests
    .filter((manifest) => isKnativeService(manifest) || ['Deployment', 'StatefulSet'].includes(manifest.kind))
    .map((manifest) => ({ title: titleOf(manifest), manifest, pod: manifest.spec!['template'] as PodTemplate }))
}

export const containersOf = ({ spec }: PodTemplate): Container[] => [...(spec.initContainers ?? []), ...spec.containers]

const binary = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 } as const

/** `250m` → 0.25, `2Gi` → bytes. @throws RangeError for what is no quantity. */
export function quantity(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(m|Ki|Mi|Gi|Ti)?$/.exec(text)
  if (!match) throw new RangeError(`"${text}" is not a quantity`)
  const unit = match[2]
  if (unit === undefined) return Number(match[1])
  return unit === 'm' ? Number(match[1]) / 1_000 : Number(match[1]) * binary[unit as keyof typeof binary]
}
